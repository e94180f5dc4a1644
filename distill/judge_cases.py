"""What a judge scores: kept traces beside their notes, with what is known of the code that each trace predicts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from deepicd.engines.base import Message, Request
from deepicd.engines.ledger import Entry, Ledger, build_former_key, build_key, digest_prompt
from deepicd.engines.tokens import TokenCounter, find_counter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.kept_traces import read_kept_traces
from deepicd.knowledge import rubric
from deepicd.knowledge.rubric import JudgedTrace
from deepicd.prompts.template import PromptTemplate, choose_template
from deepicd.schema import SPLITS
from distill.recipe import Recipe
from distill.sources import Row, Sources

NO_SCORE = "no score in the answer"
COLUMNS = ("note_id", "icd_code", "trace")


@dataclass(frozen=True, slots=True)
class Case:
    """A trace to score (a deepicd.engines.runner.Task)."""

    recipe: Recipe
    note_id: str
    split: str
    code: Code
    trace: str
    messages: list[Message]
    """Empty where they would not fit the judge's context."""
    prompt_sha256: str
    is_shortened: bool = False
    """Whether guidelines were left out to fit."""
    first_attempt: int = 0
    rollout: int = 0
    """Of the teacher, counted from 0."""

    def build_request(self, attempt: int) -> Request:
        arguments = (self.recipe, self.note_id, self.prompt_sha256, attempt, rubric.SCHEMA)
        key = build_key(*arguments, rollout=self.rollout)
        seed = self.recipe.derive_seed(attempt, self.rollout)
        return Request(key, self.messages, seed, schema=rubric.SCHEMA, rollout=self.rollout)

    def check(self, attempt: int, entry: Entry) -> Sequence[str]:
        return [] if rubric.parse_score(entry["text"]) else [NO_SCORE]

    def find_key(self, ledger: Ledger, attempt: int) -> str:
        """Return the key under which the ledger has an attempt, or would have it."""
        former = build_former_key(self.recipe, self.note_id, self.prompt_sha256, attempt)
        return ledger.resolve_key(self.build_request(attempt).key, former)

    def read_answers(self, ledger: Ledger) -> list[Entry]:
        """Return what the ledger has, up to the first answer with a score."""
        answers: list[Entry] = []
        if not self.messages:
            return answers
        for attempt in range(self.recipe.attempts):
            if (entry := ledger.read_completion(self.find_key(ledger, attempt))) is None:
                break
            answers.append(entry)
            if rubric.parse_score(entry["text"]):
                break
        return answers

    def find_next_attempt(self, ledger: Ledger) -> int | None:
        """Return the number of the attempt to make next; None where there is a score, or no attempt left."""
        if not self.messages:
            return None
        answers = self.read_answers(ledger)
        is_scored = bool(answers) and rubric.parse_score(answers[-1]["text"]) is not None
        return None if is_scored or len(answers) >= self.recipe.attempts else len(answers)


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
        kept = {split: read_kept_traces(self.traces, split, COLUMNS) for split in SPLITS}
        upcoming = {split: next(rows, None) for split, rows in kept.items()}
        yielded: Counter[str] = Counter()
        for split, row in self.sources.read_rows():
            while (trace := upcoming[split]) and trace["note_id"] == row["note_id"]:
                upcoming[split] = next(kept[split], None)
                if self.limit is None or yielded[split] < self.limit:
                    yielded[split] += 1
                    yield self._build_case(split, row, trace, read_excerpt(Code(trace["icd_code"])))
        if any(upcoming.values()):
            raise DeepicdError(
                "Some traces have no note in the cohort.", "Name the cohort that they were made from: --cohort DIR"
            )

    def _build_case(self, split: str, row: Row, trace: Row, guidelines: str | None) -> Case:
        code = Code(trace["icd_code"])  # a kept trace predicts the code of its row
        judged = JudgedTrace(row["admission_note"], trace["trace"], code, code.title or row["icd_title"])
        messages, is_shortened = rubric.fit_messages(
            judged, self.sources.knowledge, self.recipe, self.tokens, guidelines, template=self.template
        )
        prompt_sha256 = digest_prompt(messages or [], "")
        return Case(
            recipe=self.recipe,
            note_id=row["note_id"],
            split=split,
            code=code,
            trace=trace["trace"],
            messages=messages or [],
            prompt_sha256=prompt_sha256,
            is_shortened=is_shortened,
            rollout=trace["rollout"] - 1,
        )
