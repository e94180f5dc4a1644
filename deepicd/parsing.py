"""JSON and YAML from anywhere, within bounds: of size, of depth, of digits. Nothing else in deepicd parses either.

    parse_json(b'{"rows": 3}')      # {'rows': 3}
    parse_yaml("temperature: 2e-5") # {'temperature': '2e-5'}

What is read may be damaged, or made to do damage: a file of 100,000 opening brackets ends PyYAML's C loader with a
segmentation fault and json with a RecursionError, and a number of 30 digits or half of a surrogate pair pass here and
fail where they are written again. All of these are one ParseError, which says where and quotes nothing.

A YAML value is what JSON can hold, too: no dates, sets or bytes, no key twice, and no anchors, with which one kilobyte
stands for a gigabyte.
"""

import json
import math
import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.resolver import Resolver

if TYPE_CHECKING or hasattr(yaml, "CSafeLoader"):
    from yaml._yaml import CParser

    class _Base(Composer, CParser, SafeConstructor, Resolver):
        """CSafeLoader, but composed in Python, where depth can be counted; just as fast."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            for base in (Composer, SafeConstructor, Resolver):
                base.__init__(self)

else:  # PyYAML without libyaml: ten times slower
    _Base = yaml.SafeLoader

MAX_BYTES = 64 * 2**20
"""Of a JSON text; the records and chapters that deepicd writes are a thousandth of it."""
MAX_YAML_BYTES = 2**20
"""A YAML text takes a thousand times its size in memory at worst; the longest of ours has 40 kB."""
MAX_DEPTH = 100
"""Of lists and mappings in each other; the deepest document, a chapter of the guidelines, has some 15."""
MAX_INTEGER = 2**63 - 1

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class ParseError(ValueError):
    """A text that is not what it should be; the message fits behind a colon."""


def parse_json(text: str | bytes, *, is_lenient: bool = False) -> Any:
    """Return the value of a JSON text in UTF-8. Raises ParseError.

    NaN and infinity pass, as Python writes them. `is_lenient`: they are None, and so are numbers longer than 64 bits
    hold, instead of an error; halves of surrogate pairs stay.

    >>> parse_json('{"n": 1e999}', is_lenient=True)
    {'n': None}
    """
    text = _decode(text, MAX_BYTES, is_lenient=is_lenient)
    try:
        value = (_LENIENT if is_lenient else _STRICT).decode(text)
    except json.JSONDecodeError as error:
        raise ParseError(f"{error.msg}: line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise ParseError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value)
    if not is_lenient and _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def parse_yaml(text: str | bytes) -> Any:
    """Return the value of a YAML text in UTF-8. Raises ParseError."""
    text = _decode(text, MAX_YAML_BYTES)
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f": line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ParseError(f"{error.problem or error.context}{place}") from None
    except yaml.YAMLError:
        raise ParseError("it has a character that YAML does not allow") from None
    except ParseError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # PyYAML's own, for '!!int x' and the like
        raise ParseError(f"a value does not have the form of its tag ({type(error).__name__})") from None


def _decode(text: str | bytes, most_bytes: int, *, is_lenient: bool = False) -> str:
    if len(text) > most_bytes:
        raise ParseError(f"it is larger than {most_bytes // 2**20} MiB")
    try:
        if isinstance(text, bytes):
            text = text.decode(errors="surrogatepass" if is_lenient else "strict")
        elif not is_lenient:
            text.encode()
    except UnicodeDecodeError as error:
        raise ParseError(f"byte {error.start + 1:,} is not UTF-8") from None
    except UnicodeEncodeError as error:
        raise ParseError(f"character {error.start + 1:,} is half of a surrogate pair") from None
    return text.removeprefix("\ufeff")


def _check_depth(value: object) -> None:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        children = (child for entry in level for child in (entry.values() if isinstance(entry, dict) else entry))
        if not (level := [child for child in children if isinstance(child, (dict, list))]):
            return
    raise ParseError(f"it is nested deeper than {MAX_DEPTH} levels")


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ParseError("a text has half of a surrogate pair") from None


def _parse_int(digits: str) -> int:
    if (value := _drop_long_int(digits)) is None:
        raise ParseError("a number has more than 64 bits")
    return value


def _drop_long_int(digits: str) -> int | None:
    value = int(digits[:21])
    return value if abs(value) <= MAX_INTEGER else None


def _drop_large_float(digits: str) -> float | None:
    return value if math.isfinite(value := float(digits)) else None


_STRICT = json.JSONDecoder(parse_int=_parse_int)
_LENIENT = json.JSONDecoder(
    parse_int=_drop_long_int,
    parse_float=_drop_large_float,
    parse_constant=lambda _: None,
)


class _Loader(_Base):
    """A loader of values that JSON can hold."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ParseError("it has anchors (&name, *name), which are not allowed here; write the value out")
        if self._depth > MAX_DEPTH:
            raise ParseError(f"it is nested deeper than {MAX_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_int(self, node: ScalarNode) -> int:
        if len(node.value) > 80 or abs(value := int(self.construct_yaml_int(node))) > MAX_INTEGER:
            raise ParseError("a number has more than 64 bits")
        return value

    def construct_map(self, node: MappingNode) -> dict[Any, Any]:
        value = self.construct_mapping(node, deep=True)
        if len(value) < len(node.value):
            raise ParseError(f"it sets a key twice: line {node.start_mark.line + 1} and below")
        return value


_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{name}": constructor
    for name, constructor in {
        "null": _Loader.construct_yaml_null,
        "bool": _Loader.construct_yaml_bool,
        "int": _Loader.construct_int,
        "float": _Loader.construct_yaml_float,
        "str": _Loader.construct_yaml_str,
        "timestamp": _Loader.construct_yaml_str,  # a date stays the text that it is
        "seq": lambda loader, node: loader.construct_sequence(node, deep=True),
        "map": _Loader.construct_map,
    }.items()
} | {None: _Loader.construct_undefined}
