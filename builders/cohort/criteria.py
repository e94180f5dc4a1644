"""What is kept of a copy, and how it is divided: the options of `deepicd build`, by name, and two presets of them.

`default` keeps what was known at admission and puts each patient on one side. `paper` is for comparison: the sections
that the published extraction takes, the physical exam with its discharge part (which leaks), a split by code alone.
"""

from dataclasses import dataclass, replace
from typing import Any

from builders.cohort.headers import KNOWN
from builders.cohort.splits import Rule
from deepicd.errors import DeepicdError

# The sections of the extraction that DeepICD-R1 builds on.
PUBLISHED = (
    "Allergies",
    "Chief Complaint",
    "History of Present Illness",
    "Past Medical History",
    "Social History",
    "Family History",
    "Physical Exam",
    "Medications on Admission",
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """One set of options. Every one of them changes which rows or words there are, so all stand in run.json."""

    sections: tuple[str, ...] = KNOWN
    """Template names to take."""
    whole_exam: bool = False
    """Keep the discharge part of the physical exam too: a leak, for comparison only."""
    admission_labs: bool = False
    """Take from Pertinent Results the block that is marked as admission labs."""
    required: tuple[str, ...] = ("Chief Complaint", "History of Present Illness")
    """A note with none of these tells nothing of the admission and falls out."""
    min_words: int = 0
    max_words: int | None = None
    """Of the admission note; one out of these limits falls out, it is not cut."""
    max_tokens: int | None = None
    """Of the admission note by `tokenizer`; the distiller plans for a whole prompt's."""
    tokenizer: str = ""
    """Name or folder of a model: see builders.cohort.token_limit."""
    strict: bool = False
    """Remove every sentence with a signal of builders.cohort.leakage: the diagnosis named, the outcome told."""
    split: Rule = "patient"
    seed: int = 42

    def but(self, **changes: Any) -> "Criteria":
        """With some options changed; None leaves one as it is. Raises DeepicdError for tokens of no tokenizer."""
        changed = replace(self, **{name: value for name, value in changes.items() if value is not None})
        if (changed.max_tokens is None) != (not changed.tokenizer):
            raise DeepicdError(
                "A limit in tokens takes the limit and the tokenizer that counts them.",
                "For instance: --max-tokens 2048 --tokenizer Qwen/Qwen2.5-7B-Instruct",
            )
        return changed


DEFAULT = Criteria()
PRESETS = {
    "default": DEFAULT,
    "paper": Criteria(
        sections=PUBLISHED,
        whole_exam=True,
        required=("Chief Complaint", "History of Present Illness", "Past Medical History"),
        split="stratified",
    ),
}
