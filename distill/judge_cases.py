"""What a judge scores: kept traces beside their notes, with what is known of the code that each trace predicts."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from deepicd.engines.ledger import digest_prompt
from deepicd.engines.runner import Question
from deepicd.engines.tokens import TokenCounter, find_counter
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.rubric import JudgedTrace, Score
from deepicd.prompts.template import PromptTemplate, choose_template
from distill.recipe import Recipe
from distill.sources import Row, Sources

NO_SCORE = "no score in the answer"


@dataclass(frozen=True, slots=True)
class Case:
    """A trace to score."""

    note_id: str
    split: str
    code: Code
    trace: str
    question: Question[Score] | None
    """None where it would not fit the judge's context."""
    prompt_sha256: str
    is_shortened: bool = False
    """Whether guidelines were left out to fit."""


@dataclass(frozen=True)
class CaseReader:
    """Reads cases from kept traces and the sources that they were made from."""

    recipe: Recipe
    traces: Path
    sources: Sources
    limit: int | None

    @cached_property
    def tokens(self) -> TokenCounter:
        return find_counter(self.recipe)

    @cached_property
    def template(self) -> PromptTemplate:
        return choose_template(rubric.PROMPT, self.recipe.prompt, self.recipe.messages)

    def read_cases(self) -> Iterator[Case]:
        """Yield cases in the cohort's order. Raises DeepicdError where a trace has no note in the cohort."""
        read_excerpt = lru_cache(maxsize=None)(
            lambda code: self.sources.knowledge.build_excerpt(code, max_tokens=self.recipe.guideline_tokens)
        )
        for split, row, traces in self.sources.read_traces(self.traces, self.limit):
            for trace in traces:
                yield self._build_case(split, row, trace, read_excerpt(Code(trace["icd_code"])))

    def _build_case(self, split: str, row: Row, trace: Row, guidelines: str | None) -> Case:
        code = Code(trace["icd_code"])  # a kept trace predicts the code of its row
        judged = JudgedTrace(row["admission_note"], trace["trace"], code, code.title or row["icd_title"])
        messages, is_shortened = rubric.fit_messages(
            judged, self.sources.knowledge, self.recipe, self.tokens, guidelines, template=self.template
        )
        question = messages and Question(
            self.recipe,
            self.recipe.attempts,
            row["note_id"],
            messages,
            rubric.parse_score,
            rubric.SCHEMA,
            rollout=trace["rollout"] - 1,
            unreadable=NO_SCORE,
        )
        prompt_sha256 = digest_prompt(messages or [], "")
        return Case(row["note_id"], split, code, trace["trace"], question or None, prompt_sha256, is_shortened)
