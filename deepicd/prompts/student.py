"""The student's prompt: what a trained model is asked about an admission note, in our words or in a user's template."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from deepicd.engines.base import Message
from deepicd.prompts.template import Kind, PromptFile, PromptTemplate, load_own

PROMPT = Kind(
    who="student",
    own=Path(__file__).parent / "student-1.yaml",
    values={"note": "Chest pain."},
    has_opening=False,  # training and evaluation have an option for it
)
SEVERAL = replace(PROMPT, own=Path(__file__).parent / "student-several-1.yaml")
"""Asks for a list of diagnoses."""


def build_messages(note: str, template: PromptTemplate | None = None) -> list[Message]:
    """Return the chat that asks a model (never the teacher) for an answer to an admission note."""
    return (template or load_own(PROMPT)).render({"note": note})


def read_template(options: Mapping[str, JsonValue]) -> PromptTemplate:
    """Return the prompt that the options of a dataset name: theirs, or ours."""
    if not isinstance(fields := options.get("prompt"), dict):
        return load_own(PROMPT)
    return PromptTemplate(PROMPT, PromptFile.parse(fields, "the record of the dataset").messages)
