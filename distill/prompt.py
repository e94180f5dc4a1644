"""The teacher's prompt: reason from an admission note to a given diagnosis, as if it were not given.

The content is the paper's: note, true first code, the code's description, the guidelines of its chapter. The words are
a template: ours (prompts/oracle-2.yaml, in two layouts), or a recipe's own.
"""

from dataclasses import dataclass
from pathlib import Path

from deepicd.answer_form import THINK
from deepicd.engines.base import Message
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description
from deepicd.prompts.template import Kind, PromptTemplate, load_own
from distill.examples import Example
from distill.recipe import Layout

PROMPT = Kind(
    who="teacher",
    own=Path(__file__).parent / "prompts" / "oracle-2.yaml",
    values={
        "note": "Chest pain.",
        "code": "I21.4",
        "icd_code": "I214",
        "title": "Non-ST elevation (NSTEMI) myocardial infarction",
        "chapter": "Diseases of the circulatory system",
        "description": "Too little blood reaches the heart.",
        "description_code": "I21",
        "guidelines": "9. Chapter 9",
        "with_guidelines": True,
        "layout": "prefix",
        "examples": (
            {"note": "Cough.", "code": "J18.9", "icd_code": "J189", "title": "Pneumonia", "answer": "<think>…"},
        ),
    },
    optional=frozenset({"description", "description_code", "guidelines"}),
    once=("note", "description", "guidelines"),
    required=("note", "icd_code"),
)
VERSION = PROMPT.version
OPENING = f"{THINK}\n"
"""How the assistant's turn begins where a prompt does not say, so that a teacher cannot put words before the tag."""

# Headings in our own prompt, by which the rehearsal reads it
NOTE_HEADING = "Admission note"
CODE_HEADING = "Diagnosis to arrive at"
DESCRIPTION_HEADING = "What patients are told of this diagnosis"
GUIDELINES_HEADING = "Coding guidelines of its chapter"


@dataclass(frozen=True, slots=True)
class Material:
    """What one prompt is made of."""

    note: str
    code: Code
    title: str
    description: Description | None
    guidelines: str | None
    """None where there are none for the code."""
    with_guidelines: bool = True
    """Whether the prompt has a place for guidelines at all."""
    examples: tuple[Example, ...] = ()


def find_opening(template: PromptTemplate) -> str:
    """Return how an answer to this prompt begins."""
    return OPENING if template.opening is None else template.opening


def build_messages(material: Material, layout: Layout, template: PromptTemplate | None = None) -> list[Message]:
    """Return the chat that asks for one trace, in our words unless another template is given."""
    code, description = material.code, material.description
    values = {
        "note": material.note,
        "code": str(code),
        "icd_code": code.value,
        "title": material.title,
        "chapter": code.chapter.title,
        "description": description.text if description else None,
        "description_code": description.code if description else None,
        "guidelines": (material.guidelines or None) if material.with_guidelines else None,
        "with_guidelines": material.with_guidelines,
        "layout": layout,
        "examples": tuple(example.values for example in material.examples),
    }
    return (template or load_own(PROMPT)).render(values)
