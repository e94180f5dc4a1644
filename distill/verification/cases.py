"""What a verification reads: kept traces beside their notes and the sealed outcomes of their stays."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from deepicd.engines.tokens import CHAT_TOKENS, TokenCounter, find_counter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.outcome import Outcome, read_outcomes
from deepicd.schema import SPLITS
from deepicd.verification.outcome_text import DIAGNOSIS, DRUGS, PROCEDURE, UNHELPFUL
from distill.sources import Row, Sources
from distill.verification.recipe import VerifyRecipe

MARGIN = 1200  # tokens of a prompt beside the outcome
FIRST_SECTIONS = (DIAGNOSIS, "Brief Hospital Course", "Active Issues", PROCEDURE, DRUGS, "Pertinent Results")
"""Of a long outcome these are shown first; what does not fit is left out."""


@dataclass(frozen=True)
class Case:
    """A trace to verify."""

    note_id: str
    split: str
    rollout: int
    code: Code
    title: str
    """Of the code, in the copy's words."""
    note: str = field(repr=False)
    trace: str = field(repr=False)
    outcome: Outcome

    @cached_property
    def diagnosis_names(self) -> tuple[str, ...]:
        """What the writer of the trace was told of the diagnosis."""
        return tuple(dict.fromkeys(filter(None, (self.title, self.code.title, *self.code.inclusion_terms))))

    @cached_property
    def titles(self) -> list[str]:
        """Titles of all codes of the stay."""
        return [title for value in self.outcome.icd_codes if (title := Code(value).title)]


@dataclass(frozen=True)
class CaseReader:
    """Reads cases from kept traces and the cohort that they were made from."""

    recipe: VerifyRecipe
    traces: Path
    sources: Sources
    limit: int | None

    @cached_property
    def tokens(self) -> TokenCounter:
        return find_counter(self.recipe)

    def read_cases(self) -> Iterator[Case]:
        """Yield cases in the cohort's order. Raises DeepicdError where a trace has no note in the cohort."""
        outcomes = {split: read_outcomes(self.sources.cohort, split, reader="verify") for split in SPLITS}
        for split, row, traces in self.sources.read_traces(self.traces, self.limit):
            outcome = next(outcomes[split])
            if outcome.note_id != row["note_id"]:
                raise DeepicdError(
                    f"The sealed outcome of {self.sources.cohort} is of another cohort.", "Build the cohort again."
                )
            yield from (_build_case(split, row, trace, outcome) for trace in traces)

    def fit_outcome(self, outcome: Outcome) -> str:
        """Return the outcome's text as far as it fits the context, whole sections only, the telling ones first."""
        room = self.recipe.context - self.recipe.max_tokens - CHAT_TOKENS - MARGIN
        names = [*FIRST_SECTIONS, *(name for name in outcome.names if name not in (*FIRST_SECTIONS, *UNHELPFUL))]
        text = ""
        for name in names:
            longer = f"{text}\n\n{section}" if (section := outcome.reveal(name)) and text else text or section
            if self.tokens.bound_tokens(longer) <= room or self.tokens.count(longer) <= room:
                text = longer
        return text


def _build_case(split: str, row: Row, trace: Row, outcome: Outcome) -> Case:
    return Case(
        note_id=row["note_id"],
        split=split,
        rollout=trace["rollout"],
        code=Code(trace["icd_code"]),
        title=row["icd_title"],
        note=row["admission_note"],
        trace=trace["trace"],
        outcome=outcome,
    )
