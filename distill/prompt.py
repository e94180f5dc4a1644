"""What the teacher is asked: to reason from an admission note to a diagnosis that it is told, as if it were not.

The content is the paper's (note, true first code, the code's description, the guidelines of its chapter); the words are
ours. Any change of them is a change of `VERSION`, because traces made under other words are other traces.

Two layouts of the same parts. `paper` has them in the paper's order, the note first. `prefix` puts first what many rows
share (guidelines of the chapter, then the description of the category, then the code) and the note last: a server
that keeps the prefixes it has read (vLLM does) then reads a chapter once and not with every note.
"""

from dataclasses import dataclass
from hashlib import sha256

from deepicd.answer_form import DIAGNOSIS, DIAGNOSIS_END, THINK, THINK_END
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description
from distill.recipe import Layout

VERSION = "oracle-2"
OPENING = f"{THINK}\n"
"""What the assistant's turn is opened with, so that no teacher begins with a word of its own."""

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


def messages(material: Material, layout: Layout) -> list[dict[str, str]]:
    """The chat that asks for one trace."""
    description = material.description
    return _chat(
        layout,
        note=material.note,
        code=str(material.code),
        bare_code=material.code.value,
        title=material.title,
        about=f" (ICD-10-GM {description.code})" if description else "",
        description=description.text if description else _UNKNOWN,
        guidelines=(material.guidelines or _UNKNOWN) if material.with_guidelines else None,
    )


def template(layout: Layout, *, with_guidelines: bool) -> list[dict[str, str]]:
    """The chat with names in braces where each row has its own: what a run's record keeps of its prompts."""
    return _chat(
        layout,
        note="{note}",
        code="{code}",
        bare_code="{code without dot}",
        title="{title}",
        about=" (ICD-10-GM {code of the description})",
        description="{description}",
        guidelines="{guidelines}" if with_guidelines else None,
    )


def _chat(
    layout: Layout,
    *,
    note: str,
    code: str,
    bare_code: str,
    title: str,
    about: str,
    description: str,
    guidelines: str | None,
) -> list[dict[str, str]]:
    note = f"# Admission note\n{note}"
    knowledge = [
        f"# Diagnosis to arrive at\n{code}: {title}\nWrite the code as {bare_code}.",
        f"# What patients are told of this diagnosis{about}\n{description}",
    ]
    if guidelines is not None:
        knowledge.append(f"# Coding guidelines of its chapter\n{guidelines}")
    parts = [note, *knowledge] if layout == "paper" else [*reversed(knowledge), note]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n\n".join(parts)}]


def digest(messages: list[dict[str, str]], opening: str) -> str:
    """SHA-256 of all that the model reads: the payload that a completion was made from."""
    total = sha256()
    for message in messages:
        total.update(f"{message['role']}\0{message['content']}\0".encode())
    total.update(opening.encode())
    return total.hexdigest()
