"""Render the templates of the reading room: every value is escaped, and characters that steer a text are made visible.

A note may hold tags, `</think>` or right-to-left marks. Jinja2 escapes the first two; the marks would reorder what
stands beside them and are shown by their number instead: ⟦U+202E⟧.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd.icd10cm import CHAPTERS, SHORT_NAMES, Code

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
STATIC = HERE / "static"
_STEERING = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def reveal(value: Any) -> Any:
    """Return a text with each control and direction mark shown by its number; anything else as it is.

    >>> reveal("a\\u202eb"), reveal(3)
    ('a⟦U+202E⟧b', 3)
    """
    if type(value) is not str:  # Markup is ours, and numbers have no marks
        return value
    return _STEERING.sub(lambda match: "" if match[0] == "\r" else f"⟦U+{ord(match[0]):04X}⟧", value)


def render(template: str, fields: Mapping[str, Any]) -> str:
    """Return a page. An unknown field is an error."""
    return _load_environment().get_template(template).render(**fields)


@cache
def _load_environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=reveal,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"dotted": lambda code: str(Code(code)), "roman": lambda number: CHAPTERS[number - 1].roman,
                            "chapter_title": lambda number: CHAPTERS[number - 1].title,
                            "chapter_name": lambda number: SHORT_NAMES[CHAPTERS[number - 1].roman]}  # fmt: skip
    environment.globals["chapters"] = CHAPTERS
    return environment
