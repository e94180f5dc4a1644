"""The teacher's prompt: reason from an admission note to a given diagnosis, as if it were not given.

The content is the paper's (note, true first code, the code's description, the guidelines of its chapter); the words are
ours. Change `VERSION` with them: other words make other traces.

Two layouts of the same parts. `paper` has them in the paper's order, the note first. `prefix` puts first what many rows
share (guidelines of the chapter, then the description of the category, then the code) and the note last: a server
with a prefix cache (vLLM's) then reads a chapter once and not with every note.
"""

from dataclasses import dataclass

from deepicd.answer_form import DIAGNOSIS, DIAGNOSIS_END, THINK, THINK_END
from deepicd.engines.base import Message
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description
from distill.recipe import Layout

VERSION = "oracle-2"
OPENING = f"{THINK}\n"
"""How the assistant's turn begins, so that a teacher cannot put words before the tag."""

NOTE_HEADING = "Admission note"
CODE_HEADING = "Diagnosis to arrive at"
DESCRIPTION_HEADING = "What patients are told of this diagnosis"
GUIDELINES_HEADING = "Coding guidelines of its chapter"

SYSTEM = f"""\
You are an experienced physician who teaches diagnostic reasoning. You are shown an admission note together with the \
diagnosis that the stay was later billed under, and you write the line of thought that leads from the one to the other.

Write so that a reader who does not know the diagnosis could follow you and arrive at it:
- Start from what the note says. Quote its findings word for word where they carry the argument.
- Weigh more than one explanation before you settle, and say which finding decides between them.
- Mark what you infer, and how sure you are, apart from what the note states. Add no finding that is not in the note.
- Reach the severity and the detail that the code asks for, not only its general field.
- Never write as if the diagnosis were given. Name it, and its code, at the very end only.
- Keep a neutral tone; be brief and orderly.

Answer in exactly this form and write nothing else:
{THINK}
your reasoning
{THINK_END}
{DIAGNOSIS}the code{DIAGNOSIS_END}"""

_UNKNOWN = "(none available)"


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


def build_messages(material: Material, layout: Layout) -> list[Message]:
    """Return the chat that asks for one trace."""
    description = material.description
    return _build_chat(
        layout,
        note=material.note,
        diagnosis=f"{material.code}: {material.title}\nWrite the code as {material.code.value}.",
        about=f" (ICD-10-GM {description.code})" if description else "",
        description=description.text if description else _UNKNOWN,
        guidelines=(material.guidelines or _UNKNOWN) if material.with_guidelines else None,
    )


def build_template(layout: Layout, *, with_guidelines: bool) -> list[Message]:
    """Return the chat with names in braces where each row has its own values, for a run's record."""
    return _build_chat(
        layout,
        note="{note}",
        diagnosis="{code}: {title}\nWrite the code as {code without dot}.",
        about=" (ICD-10-GM {code of the description})",
        description="{description}",
        guidelines="{guidelines}" if with_guidelines else None,
    )


def _build_chat(
    layout: Layout, *, note: str, diagnosis: str, about: str, description: str, guidelines: str | None
) -> list[Message]:
    note = f"# {NOTE_HEADING}\n{note}"
    knowledge = [
        f"# {CODE_HEADING}\n{diagnosis}",
        f"# {DESCRIPTION_HEADING}{about}\n{description}",
    ]
    if guidelines is not None:
        knowledge.append(f"# {GUIDELINES_HEADING}\n{guidelines}")
    parts = [note, *knowledge] if layout == "paper" else [*reversed(knowledge), note]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]
