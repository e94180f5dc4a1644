"""The options of `deepicd build`, which decide a cohort's notes, sections and split, and two presets of them.

`default` keeps what was known at admission and puts each patient into one split. `paper` is for comparison: the
sections that the published extraction takes, the physical exam with its discharge part (which leaks), and a split by
code alone.

A limit in tokens depends on the tokenizer, so there is no default. Counting needs Hugging Face's `tokenizers`, not
PyTorch; the tokenizer comes from a folder, or from the Hub and its local cache.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from builders.cohort.headers import KNOWN
from builders.cohort.splits import Rule
from deepicd.errors import DeepicdError
from deepicd.storage import expand_home

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
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """One set of options. Each changes rows or words of the cohort, so run.json records all of them."""

    sections: tuple[str, ...] = KNOWN
    """Template names of the sections to keep."""
    whole_exam: bool = False
    """Keep the discharge part of the physical exam too: a leak, for comparison only."""
    admission_labs: bool = False
    """Keep the block of Pertinent Results that is marked as admission labs."""
    required: tuple[str, ...] = ("Chief Complaint", "History of Present Illness")
    """A note without any of these says nothing about the admission and is excluded."""
    min_words: int = 0
    """This and the limits below are for the admission note. A note outside them is excluded, not cut."""
    max_words: int | None = None
    max_tokens: int | None = None
    """Counted with `tokenizer`. The limit of distill is for a whole prompt."""
    tokenizer: str = ""
    """Name or folder of a model."""
    strict: bool = False
    """Remove every sentence with a signal of builders.cohort.leakage: it names the diagnosis or tells the outcome."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of the user's: (header, section), as builders.cohort.headers.read_headers returns them."""
    without_icu: bool = False
    """Exclude stays with a row in icu/icustays."""
    split: Rule | Literal["file"] = "patient"
    seed: int = 42
    split_digest: str = ""
    """SHA-256 of the file of --splits."""

    def replace(self, **changes: Any) -> "Criteria":
        """Return a copy with some options changed; None leaves an option unchanged.

        Raises DeepicdError for a limit in tokens without a tokenizer, or the reverse.
        """
        changed = replace(self, **{name: value for name, value in changes.items() if value is not None})
        if (changed.max_tokens is None) != (not changed.tokenizer):
            raise DeepicdError(
                "A limit in tokens needs both --max-tokens and --tokenizer.",
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


@cache
def load_token_counter(tokenizer: str) -> Callable[[str], int]:
    """Return a function that counts tokens. `tokenizer`: a folder, a file or a model on the Hub. Raises DeepicdError.

    count = load_token_counter("Qwen/Qwen2.5-7B-Instruct")
    count("Chief Complaint:\\nChest pain")
    """
    from tokenizers import Tokenizer

    path = expand_home(tokenizer)
    path = path / TOKENIZER_FILE if path.is_dir() else path
    try:
        loaded = Tokenizer.from_file(str(path)) if path.is_file() else Tokenizer.from_pretrained(tokenizer)
    except Exception as error:  # the library raises nothing more precise
        raise DeepicdError(
            f"The tokenizer {tokenizer!r} is not on this machine and could not be fetched.",
            f"Give a folder with {TOKENIZER_FILE}, or a model's name on the Hugging Face Hub.",
        ) from error
    return lambda text: len(loaded.encode(text, add_special_tokens=False))


def exceeds_tokens(text: str, limit: int, tokenizer: str) -> bool:
    """Return whether a text has more than `limit` tokens. A token has at least one byte, so most need no counting."""
    return len(text.encode()) > limit and load_token_counter(tokenizer)(text) > limit
