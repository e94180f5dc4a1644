"""Reads the prompt files of the paper's authors, whose wording is theirs to share, into our form.

    deepicd prompt import DeepICD-R1/src/prompts/oracle_reasoning_prompt.csv out/teacher.yaml --for teacher

Their files (github.com/DATEXIS/DeepICD-R1, src/prompts) are CSV with the columns role and content, or JSON with SYSTEM
and USER. What is filled in stands there as `$$$NOTE$$$`, `$$ADMISSION_NOTE$$` or `{note}`, and becomes the variable of
ours with that meaning. A placeholder without a counterpart is an error. Everything else stays as it is, character for
character: braces and percent signs of theirs are made literal.
"""

import csv
import re
from pathlib import Path

import yaml

from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json
from deepicd.prompts.template import Kind, PromptFile, PromptTemplate

MAX_BYTES = 1_000_000
VARIABLES = {
    "NOTE": "note",
    "ADMISSION_NOTE": "note",
    "CODE": "icd_code",
    "ICD": "icd_code",
    "TRACE": "trace",
    "SYMPTOMS": "description or ''",
    "GUIDELINES": "guidelines or ''",
    "ICD_CHAPTER": "guidelines or ''",
    "CHAPTERNAME": "chapter",
}
"""Placeholder of theirs → expression of ours."""
_PLACEHOLDER = re.compile(r"\${2,3}([A-Z_]+)\${2,3}|(?<!\{)\{([a-z_]+)\}(?!\})")
_LITERAL = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}")


def import_prompt(path: Path, kind: Kind, name: str) -> PromptFile:
    """Return the prompt in a file of the authors, tried out as one for this kind. Raises DeepicdError."""
    turns = [{"role": role, "content": translate(content)} for role, content in _read_turns(path)]
    if not kind.has_opening and turns[-1]["role"] == "assistant":
        turns.pop()  # training and evaluation have an option for how an answer begins
    PromptTemplate(kind, turns)
    return PromptFile(name=name, messages=turns)


def translate(content: str) -> str:
    """Return a text with its placeholders as variables.

    >>> translate("Note: $$$NOTE$$$ as {json}?")
    Traceback (most recent call last):
    deepicd.errors.DeepicdError: The file has a placeholder 'json' that nothing here corresponds to.
    Known are: ADMISSION_NOTE, CHAPTERNAME, CODE, GUIDELINES, ICD, ICD_CHAPTER, NOTE, SYMPTOMS, TRACE.
    >>> translate("{note}: return {{'score': 3}}")
    "{{ note }}: return {{ '{{' }}'score': 3{{ '}}' }}"
    """
    parts, end = [], 0
    for match in _PLACEHOLDER.finditer(content):
        written = match[1] or match[2]
        if (variable := VARIABLES.get(written.upper())) is None:
            raise DeepicdError(
                f"The file has a placeholder {written!r} that nothing here corresponds to.",
                f"Known are: {', '.join(sorted(VARIABLES))}.",
            )
        parts += [_make_literal(content[end : match.start()]), f"{{{{ {variable} }}}}"]
        end = match.end()
    return "".join([*parts, _make_literal(content[end:])])


def write_prompt(prompt: PromptFile, path: Path) -> None:
    """Write a prompt as a YAML file. Raises DeepicdError for one that exists."""
    if path.exists():
        raise DeepicdError(f"{path} exists.", "Name another file, or remove it first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(format_prompt(prompt), encoding="utf-8")


def format_prompt(prompt: PromptFile) -> str:
    """Return a prompt as YAML, with texts as blocks where YAML can."""
    return yaml.dump(dict(prompt), Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=2**20)


class _BlockDumper(yaml.SafeDumper):
    """Writes a text of several lines as a block."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _represent_text)


def _make_literal(text: str) -> str:
    return _LITERAL.sub(lambda match: f"{{{{ '{match[0]}' }}}}", text)


def _read_turns(path: Path) -> list[tuple[str, str]]:
    """Return (role, content) of each turn."""
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise DeepicdError(f"{path} is not a file of at most {MAX_BYTES:,} bytes.", "Name a file of src/prompts.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            turns = [(str(role).lower(), content) for role, content in parse_json(text).items()]
        else:
            turns = [(row["role"], row["content"]) for row in csv.DictReader(text.splitlines(keepends=True))]
    except (ValueError, KeyError, AttributeError, RecursionError, csv.Error) as error:
        raise DeepicdError(
            f"{path} is not a prompt of the authors ({type(error).__name__}).",
            "Expected is CSV with the columns role and content, or JSON with SYSTEM and USER.",
        ) from error
    if not turns or not all(isinstance(content, str) for _, content in turns):
        raise DeepicdError(f"{path} has no turns.", "Expected are role and content, or SYSTEM and USER.")
    return turns
