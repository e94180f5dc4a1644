"""What the teacher is asked: to reason from an admission note to a diagnosis that it is told, as if it were not.

The content is the paper's (note, true first code, the code's description, the guidelines of its chapter); the words are
ours. Any change of them is a change of `VERSION`, because traces made under other words are other traces.
"""

from dataclasses import dataclass

from deepicd.completion import DIAGNOSIS, DIAGNOSIS_END, THINK, THINK_END
from deepicd.icd10cm import Code
from deepicd.knowledge import Description

VERSION = "oracle-1"

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


def messages(material: Material) -> list[dict[str, str]]:
    """The chat that asks for one trace, in the paper's order: note, code, description, guidelines."""
    description = material.description
    about = f" (ICD-10-GM {description.code})" if description else ""
    user = "\n\n".join(
        [
            f"# Admission note\n{material.note}",
            f"# Diagnosis to arrive at\n{material.code}: {material.title}\nWrite the code as {material.code.value}.",
            f"# What patients are told of it{about}\n{description.text if description else _UNKNOWN}",
            f"# Coding guidelines of its chapter\n{material.guidelines or _UNKNOWN}",
        ]
    )
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]
