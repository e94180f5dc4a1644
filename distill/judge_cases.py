"""What a judge scores: kept traces beside their notes, with what is known of the code that each of them predicts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from deepicd import storage
from deepicd.engines.base import Request
from deepicd.engines.ledger import Entry, Ledger
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.schema import SPLITS, TRACES
from distill import prompt, prompt_builder
from distill.prompt import Material
from distill.recipe import Recipe
from distill.sources import Row, Sources

NO_SCORE = "no score in the answer"
FROM_TRACE = ("note_id", "icd_code", "trace")


@dataclass(frozen=True, slots=True)
class Case:
    """A trace to score."""

    recipe: Recipe
    note_id: str
    split: str
    material: Material
    trace: str
    messages: list[dict[str, str]]
    payload: str
    first: int = 0

    def key(self, attempt: int) -> str:
        return prompt_builder.key(self.recipe, self.note_id, self.payload, attempt)

    def request(self, attempt: int) -> Request:
        seed = self.recipe.seed_of(attempt)
        return Request(self.key(attempt), self.messages, seed, schema=rubric.SCHEMA, material=self.material)

    def look(self, attempt: int, entry: Entry) -> Sequence[str]:
        return [] if rubric.parse_score(entry["text"]) else [NO_SCORE]

    def answers(self, book: Ledger) -> list[Entry]:
        """What the ledger has, up to the first answer with a score."""
        found: list[Entry] = []
        while len(found) < self.recipe.attempts and (entry := book.completion(self.key(len(found)))):
            found.append(entry)
            if rubric.parse_score(entry["text"]):
                break
        return found

    def missing(self, book: Ledger) -> int | None:
        """The number of the attempt to make next; None where there is a score, or no attempt left."""
        answers = self.answers(book)
        scored = bool(answers) and rubric.parse_score(answers[-1]["text"]) is not None
        return None if scored or len(answers) >= self.recipe.attempts else len(answers)


@dataclass(frozen=True)
class Bench:
    """Where cases come from: kept traces beside their notes, with what is known of the code that each predicts."""

    recipe: Recipe
    traces: Path
    read: Sources
    limit: int | None

    def cases(self) -> Iterator[Case]:
        """In the cohort's order. Raises DeepicdError where a trace has no note in the cohort."""
        excerpt = lru_cache(maxsize=None)(
            lambda code: self.read.knowledge.guideline_excerpt(code, max_tokens=self.recipe.guideline_tokens)
        )
        kept = {split: self._kept(split) for split in SPLITS}
        waiting = {split: next(rows, None) for split, rows in kept.items()}
        taken: Counter[str] = Counter()
        for split, row in self.read.rows():
            trace = waiting[split]
            if trace is None or trace["note_id"] != row["note_id"]:
                continue
            waiting[split] = next(kept[split], None)
            if self.limit is None or taken[split] < self.limit:
                taken[split] += 1
                yield self._case(split, row, trace, excerpt(Code(trace["icd_code"])))
        if any(waiting.values()):
            raise DeepicdError(
                "Some traces have no note in the cohort.", "Name the cohort that they were made from: --cohort DIR"
            )

    def _kept(self, split: str) -> Iterator[Row]:
        for path in sorted((self.traces / "kept").glob(f"{split}-*.parquet")):
            for batch in storage.open_parquet(path, TRACES).iter_batches(256, columns=list(FROM_TRACE)):
                yield from batch.to_pylist()

    def _case(self, split: str, row: Row, trace: Row, guidelines: str | None) -> Case:
        code = Code(trace["icd_code"])  # a kept trace closes on the code that it was given
        note, title, known = (
            row["admission_note"],
            code.title or row["icd_title"],
            self.read.knowledge.description(code),
        )
        material = Material(note, code, title, known, guidelines)
        messages = rubric.build_messages(note, trace["trace"], code, title, description=known, guidelines=guidelines)
        payload = prompt.digest(messages, "")
        return Case(self.recipe, row["note_id"], split, material, trace["trace"], messages, payload)
