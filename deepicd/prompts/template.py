"""A prompt: turns of a chat whose contents are Jinja2 templates.

    name: terse-1
    messages:
    - role: system
      content: You explain diagnoses.
    - role: user
      content: |-
        {{ note }}
        {% if guidelines %}
        The rules: {{ guidelines }}
        {% endif %}
        Argue for {{ icd_code }} ({{ title }}).
    - role: assistant          # optional, for teacher and judge: how the answer begins
      content: "<think>\n"

Each kind of prompt says which variables there are (`Kind`). A template is tried with made-up values when it is read, so
that an unknown variable, a text that may be absent and is printed unasked, or a note that is cut is an error before
anything runs. Values are put in as they are: braces in a note mean nothing.
"""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd.config import Config, read_values
from deepicd.engines.base import Message
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Turns = Sequence[Mapping[str, str]]

ROLES = ("system", "user", "assistant")
LONG_TEXT = "Long texts " * 10_000  # 110 kB: longer than any note, so that whatever cuts it shows
COLLECT_EVERY = 64  # renderings: a template's macros form cycles that hold its texts, and our commands collect rarely
_ADVICE = "See what there is with: deepicd prompt show"


@dataclass(frozen=True, eq=False)
class Kind:
    """What a kind of prompt is for, and the variables of its templates."""

    who: str
    """'teacher', 'student' or 'judge'."""
    own: Path
    """File of our own words; its stem is their version."""
    values: Mapping[str, object]
    """Made-up values of every variable."""
    optional: frozenset[str] = frozenset()
    """Variables that are None in some rows."""
    once: tuple[str, ...] = ("note",)
    """Variables that are long: the template shows each at most once and whole, so that lengths can be planned."""
    required: tuple[str, ...] = ("note",)
    has_opening: bool = True
    """Whether a last turn of the assistant may say how the answer begins."""

    @property
    def version(self) -> str:
        return self.own.stem


class PromptFile(Config):
    """A prompt as its YAML file has it."""

    name: str
    messages: list[dict[str, str]]


def load_prompt(path: Path, kind: Kind) -> PromptFile:
    """Load a prompt from a YAML file, tried out. Raises DeepicdError."""
    loaded = PromptFile.parse(*read_values(path, kind.own.parent, "prompt", _ADVICE))
    if loaded.name == kind.version and path.stem != kind.version:
        raise DeepicdError(f"{path} is named {kind.version!r}, as our own words are.", "Give it another `name`.")
    PromptTemplate(kind, loaded.messages)
    return loaded


@lru_cache
def load_own(kind: Kind) -> "PromptTemplate":
    """Return our own prompt of a kind."""
    return PromptTemplate(kind, PromptFile.parse(*read_values(kind.own, kind.own.parent)).messages)


def choose_template(kind: Kind, name: str, turns: Turns) -> "PromptTemplate":
    """Return the prompt of a recipe: its own `messages`, or ours where it has none. Raises DeepicdError."""
    if not turns:
        if name != kind.version:
            raise DeepicdError(
                f"The recipe asks for the prompt {name!r}, and has no messages.",
                f"This version writes {kind.version!r}: put that name into the recipe, or add the prompt's `messages`.",
            )
        return load_own(kind)
    if name == kind.version:
        raise DeepicdError(
            f"The recipe has messages of its own under the name {name!r}, which is that of ours.",
            "Give `prompt` another name: traces and records show it.",
        )
    return _compile(kind, tuple(tuple(turn.items()) for turn in turns))


@lru_cache(maxsize=16)
def _compile(kind: Kind, turns: tuple[tuple[tuple[str, str], ...], ...]) -> "PromptTemplate":
    return PromptTemplate(kind, [dict(turn) for turn in turns])


class PromptTemplate:
    """A prompt that has been tried out. Raises DeepicdError for one that cannot work."""

    def __init__(self, kind: Kind, turns: Turns) -> None:
        self.kind = kind
        self.turns = [{"role": _read_role(turn), "content": turn.get("content", "")} for turn in turns]
        self._check_roles()
        self._rendered = 0
        self._templates = [self._compile_turn(turn["content"]) for turn in self.turns]
        self._try_out()

    def render(self, values: Mapping[str, object]) -> list[Message]:
        """Return the chat for these values, without the beginning of the answer."""
        self._rendered += 1
        if self._rendered % COLLECT_EVERY == 0:
            gc.collect(0)
        rendered = [
            {"role": turn["role"], "content": template.render(values)}
            for turn, template in zip(self.turns, self._templates, strict=True)
        ]
        return rendered[:-1] if self._opens else rendered

    @cached_property
    def opening(self) -> str | None:
        """How the answer begins; None where the prompt does not say."""
        return self._templates[-1].render() if self._opens else None

    @property
    def _opens(self) -> bool:
        return self.turns[-1]["role"] == "assistant"

    def _check_roles(self) -> None:
        roles = [turn["role"] for turn in self.turns]
        asked = roles[:-1] if self.kind.has_opening and roles[-1:] == ["assistant"] else roles
        if asked not in (["user"], ["system", "user"]):
            raise DeepicdError(
                f"A prompt for the {self.kind.who} has the turns {', '.join(roles) or 'none'}.",
                "It needs one of the user, at most one of the system before it"
                + (", and may end with one of the assistant." if self.kind.has_opening else "."),
            )

    def _compile_turn(self, content: str) -> "Template":
        from jinja2 import TemplateSyntaxError, meta

        environment = _build_environment()
        try:
            unknown = meta.find_undeclared_variables(environment.parse(content)) - self.kind.values.keys()
            template = environment.from_string(content)
        except RecursionError as error:
            raise DeepicdError(f"The prompt for the {self.kind.who} is nested too deeply.", _ADVICE) from error
        except ValueError as error:
            raise DeepicdError(f"The prompt for the {self.kind.who} has a number that is too long.", _ADVICE) from error
        except TemplateSyntaxError as error:
            raise DeepicdError(
                f"Line {error.lineno} of the prompt for the {self.kind.who} is not Jinja2: {error.message}.", _ADVICE
            ) from error
        if unknown:
            raise DeepicdError(
                f"The prompt for the {self.kind.who} uses {', '.join(sorted(unknown))}.",
                f"Its variables are: {', '.join(self.kind.values)}.",
            )
        return template

    def _try_out(self) -> None:
        marks = {name: f"\x00{name} {LONG_TEXT}\x00" for name in self.kind.once}
        full = self._render_sample(dict(self.kind.values) | marks)
        self._render_sample(dict(self.kind.values) | dict.fromkeys(self.kind.optional))
        self._render_sample(dict(self.kind.values) | self._find_empty_lists())
        for name, mark in marks.items():
            times = full.count(mark)
            if times > 1 or (times == 0 and name in self.kind.required):
                raise DeepicdError(
                    f"The prompt for the {self.kind.who} shows the {name} {'not at all' if not times else 'twice'},"
                    " or only a part of it.",
                    f"Write {{{{ {name} }}}} once: nothing of it is cut, so that lengths can be planned.",
                )
        for name in set(self.kind.required) - set(self.kind.once):
            other = {**self.kind.values, **marks, name: "\x00"}
            if self._render_sample(other) == full:
                raise DeepicdError(f"The prompt for the {self.kind.who} never uses {name}.", f"Add {{{{ {name} }}}}.")

    def _find_empty_lists(self) -> dict[str, object]:
        return {name: () for name, value in self.kind.values.items() if isinstance(value, tuple)}

    @cached_property
    def shows_lists(self) -> bool:
        """Whether it shows what may come in any number: examples."""
        return self._render_sample(self.kind.values) != self._render_sample(
            {**self.kind.values, **self._find_empty_lists()}
        )

    def _render_sample(self, values: Mapping[str, object]) -> str:
        from jinja2 import TemplateError

        try:
            opening = [] if self.opening is None else [self.opening]
            return "\n".join([message["content"] for message in self.render(values)] + opening)
        except (MemoryError, RecursionError) as error:
            raise DeepicdError(
                f"The prompt for the {self.kind.who} needs more memory than there is, or is nested too deeply.", _ADVICE
            ) from error
        except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
            raise DeepicdError(f"The prompt for the {self.kind.who} fails: {error}.", _ADVICE) from error


def _read_role(turn: Mapping[str, str]) -> str:
    if set(turn) != {"role", "content"} or turn["role"] not in ROLES:
        raise DeepicdError(
            f"A turn of a prompt has the fields {', '.join(turn) or 'none'}.",
            f"It needs `role` ({', '.join(ROLES)}) and `content`.",
        )
    return turn["role"]


@lru_cache
def _build_environment() -> "Environment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # plain text, so nothing is escaped; a recipe may come from somebody else, so templates are sandboxed
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        finalize=_refuse_none,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # a prompt that differs from one rendering to the next is found in no ledger
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def _refuse_none(value: Any) -> Any:
    from jinja2 import TemplateRuntimeError

    if value is None:
        raise TemplateRuntimeError(
            "it prints a text that some rows do not have; write {{ description or '(none)' }} or {% if description %}"
        )
    return value
