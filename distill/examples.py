"""Few-shot examples: kept traces of the training split that the teacher is shown before the row it is asked about.

    examples = read_examples(Path("out/traces"), train_rows, recipe, origin)
    examples.choose(row)     # (Example(note='…', code=Code('I214'), title='…', answer='<think>…'), …)

Candidates are kept traces of an earlier run whose notes *this* cohort has in its training split, one per patient and a
few of each chapter, in an order that follows from the recipe's seed. A row gets the first of its chapter, then those of
other chapters: the same ones as its neighbours, so that a prefix cache reads them once. It never gets its own note nor
another note of its patient.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import chain, islice
from pathlib import Path
from typing import Any

from deepicd import changed_inputs, records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.kept_traces import read_kept_traces
from deepicd.stage_records import DistillRecord
from deepicd.storage import Origin
from distill.recipe import Recipe

SPARE = 4  # candidates of a chapter per example shown, since some have a patient or a note in common


@dataclass(frozen=True, slots=True)
class Example:
    """A row of the training split and its trace."""

    note_id: str
    subject_id: int
    note: str
    code: Code
    title: str
    answer: str
    """The whole completion: trace and diagnosis."""

    @property
    def values(self) -> dict[str, str]:
        """What a template knows of it."""
        return {
            "note": self.note, "code": str(self.code), "icd_code": self.code.value, "title": self.title,
            "answer": self.answer,
        }  # fmt: skip

    @property
    def text(self) -> str:
        """All that a prompt shows, for counting."""
        return " ".join(self.values.values())


@dataclass(frozen=True)
class Examples:
    """Chooses the examples of a row."""

    number: int
    by_chapter: Mapping[int, tuple[Example, ...]] = field(default_factory=dict)

    def choose(self, row: Mapping[str, Any]) -> tuple[Example, ...]:
        """Return the examples for a row of the cohort, fewer where there are not enough."""
        if not self.by_chapter:
            return ()
        chapter = Code(row["icd_code"]).chapter.number
        others = chain.from_iterable(found for number, found in self.by_chapter.items() if number != chapter)
        allowed = (
            example
            for example in chain(self.by_chapter.get(chapter, ()), others)
            if example.subject_id != row["subject_id"] and example.note_id != row["note_id"]
        )
        return tuple(islice(allowed, self.number))

    def __len__(self) -> int:
        return sum(map(len, self.by_chapter.values()))


NO_EXAMPLES = Examples(0)


def find_traces(folder: Path | None, recipe: Recipe) -> Path | None:
    """Return the run that examples are taken from; None for a recipe that shows none. Raises DeepicdError."""
    if folder is None and recipe.examples:
        raise DeepicdError(
            f"The recipe shows {recipe.examples} examples per prompt, and nothing says where they come from.",
            "Name a finished run on this cohort: --examples out/traces/DIGEST, or leave out the field `examples`.",
        )
    if folder is None:
        return None
    if not recipe.examples:
        raise DeepicdError(f"{folder} is named for examples, and the recipe shows none.", "Add --set examples=2.")
    return records.find_run_folder(folder, DistillRecord, "kept")[0]


def read_examples(traces: Path, rows: Iterable[Mapping[str, Any]], recipe: Recipe, origin: Origin) -> Examples:
    """Return the examples in a run. `rows`: of the cohort's training split. Raises DeepicdError where none is there."""
    files = sorted((traces / "kept").glob("train-*.parquet"))
    advice = "Take examples from a run on this cohort."
    changed_inputs.require_origin(files, origin, what=f"The examples in {traces} descend from", advice=advice)
    candidates = {note_id: (code, answer) for note_id, code, answer in _list_candidates(traces, recipe)}
    found: dict[int, list[Example]] = {chapter.number: [] for chapter in CHAPTERS}
    patients: set[int] = set()
    known = {row["note_id"]: row for row in rows if row["note_id"] in candidates}
    for note_id, (of_trace, answer) in candidates.items():
        if (row := known.get(note_id)) is None or row["subject_id"] in patients:
            continue
        if (code := Code(row["icd_code"])) != of_trace:  # another cohort chose another diagnosis of the stay
            continue
        if len(of_chapter := found[code.chapter.number]) <= recipe.examples:  # one more, for rows of these patients
            patients.add(row["subject_id"])
            title = row["icd_title"]
            of_chapter.append(Example(note_id, row["subject_id"], row["admission_note"], code, title, answer))
    if not patients:
        raise DeepicdError(
            f"{traces} has no kept trace of a row that this cohort has in its training split with the same code.",
            advice,
        )
    return Examples(recipe.examples, {number: tuple(rows) for number, rows in found.items() if rows})


def _list_candidates(traces: Path, recipe: Recipe) -> Iterator[tuple[str, Code, str]]:
    """Yield note_id, code and completion of some kept traces of each chapter, in the order that the seed decides."""
    ranked: dict[int, list[tuple[str, str, str, str]]] = {}
    most = SPARE * (recipe.examples + 1)
    for row in read_kept_traces(traces, "train", ("note_id", "icd_code", "completion")):
        if row["rollout"] == 1:
            chapter = ranked.setdefault(Code(row["icd_code"]).chapter.number, [])
            rank = storage.digest_json([recipe.seed, row["note_id"]])
            chapter.append((rank, row["note_id"], row["icd_code"], row["completion"]))
            if len(chapter) > 16 * most:
                chapter[:] = nsmallest(most, chapter)
    for number in sorted(ranked):
        for _, note_id, code, answer in nsmallest(most, ranked[number]):
            yield note_id, Code(code), answer
