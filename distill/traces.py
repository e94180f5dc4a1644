"""The distillation run: a trace for each row of a cohort, checked, kept or rejected, and never written twice.

    OUT/<recipe digest>/kept/train-00000.parquet       rows that passed every check
    OUT/<recipe digest>/rejected/train-00000.parquet   the others, text and reasons included
    OUT/<recipe digest>/run.json

Work is done in shards of the cohort's own order. A shard is on disk before the next begins, so that a run killed at any
moment loses one shard's answers at most; started again, it keeps every row whose prompt is still the same.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from deepicd import __version__, completion, runs, store
from deepicd.completion import Completion
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import Knowledge
from deepicd.progress import progress
from deepicd.schema import COHORT, SPLITS, TRACES
from deepicd.store import Origin
from distill import checks, prompt
from distill.engines import Answer, Engine, Request, engine
from distill.prompt import Material
from distill.recipe import Recipe

SHARD = 128  # rows; what a killed run may have to write again
VERDICTS = ("kept", "rejected")
CLAIM = ".claim.json"  # in a recipe's folder: the inputs its traces are made from, there from the first shard on


def distill(
    cohort: Path,
    out: Path,
    recipe: Recipe,
    *,
    guidelines: Path | None = None,
    descriptions: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
) -> runs.Record:
    """Write the traces of a cohort (of its first `limit` rows a split) under OUT/<digest>; the record."""
    if recipe.prompt != prompt.VERSION:
        raise DeepicdError(
            f"The recipe asks for the prompt {recipe.prompt!r}.",
            f"This version writes {prompt.VERSION!r}: put that name.",
        )
    writer = engine(recipe)
    runs.required(cohort, "build")
    cohort_files = {split: cohort / f"{split}.parquet" for split in SPLITS}
    sources = {split: store.parquet_file(path, COHORT) for split, path in cohort_files.items()}
    guidelines = fiscal_year_folder(guidelines) if guidelines else None
    knowledge = Knowledge(guidelines, descriptions).read()
    inputs = {"cohort": cohort, "guidelines": guidelines, "descriptions": descriptions}
    plan = runs.plan(
        "distill", options=asdict(recipe), inputs={role: path for role, path in inputs.items() if path is not None}
    )
    folder = out / recipe.digest
    if (done := runs.finished(folder, plan)) and _covers(done["counts"]["limit"], limit):
        return done
    origin = store.combined(store.origin_of(path) for path in cohort_files.values())
    desk = _Desk(folder, recipe, writer, knowledge, origin, keep_others=not overwrite)
    total = sum(min(limit or file.metadata.num_rows, file.metadata.num_rows) for file in sources.values())
    with runs.kept_folder(folder, plan, origin) as run, progress("traces", total) as advance:
        _claim(folder, plan, overwrite=overwrite)
        expected: set[Path] = set()
        for split, file in sources.items():
            for number, rows in enumerate(_shards(file, limit)):
                expected |= set(desk.paths(split, number).values())
                desk.write_shard(split, number, rows)
                advance(len(rows))
        if overwrite:  # shards of a longer cohort
            for stale in {path for verdict in VERDICTS for path in (folder / verdict).glob("*.parquet")} - expected:
                stale.unlink()
        run.counts |= counts(folder) | {"recipe_digest": recipe.digest, "limit": limit}
    return run.record


def _covers(had: int | None, wanted: int | None) -> bool:
    """Whether a run with one limit holds all that a run with another asks for; None is no limit."""
    return had is None or (wanted is not None and wanted <= had)


def _claim(folder: Path, plan: runs.Plan, *, overwrite: bool) -> None:
    """Make the folder this plan's. Raises DeepicdError where it holds traces of another cohort or other knowledge."""
    path = folder / CLAIM
    claim = {"version": __version__} | {role: entry["digest"] for role, entry in plan.inputs.items()}
    had = store.read_json(path) if path.is_file() else claim
    changed = [name for name in sorted({*had, *claim}) if had.get(name) != claim.get(name)]
    if changed and not overwrite:
        raise DeepicdError(
            f"{folder} holds traces made from another {', another '.join(changed)}.",
            "Name another OUT; or pass --overwrite, which keeps the rows whose prompt is unchanged and drops the rest.",
        )
    if changed:
        (folder / runs.RECORD).unlink(missing_ok=True)  # it must not account for what is written now
    store.write_json(path, claim)


@dataclass(frozen=True)
class _Desk:
    """Where one recipe's traces are written, with all that it takes to write them."""

    folder: Path
    recipe: Recipe
    engine: Engine
    knowledge: Knowledge
    origin: Origin
    keep_others: bool
    """Leave rows in a shard that are not asked for now: those of a run with a higher limit."""

    def paths(self, split: str, number: int) -> dict[str, Path]:
        return {verdict: self.folder / verdict / f"{split}-{number:05d}.parquet" for verdict in VERDICTS}

    def write_shard(self, split: str, number: int, rows: list[dict[str, Any]]) -> None:
        """Bring a shard's two files up to date: rows already written for the same prompt stay, others are asked for."""
        paths = self.paths(split, number)
        written = {(row["note_id"], row["prompt_sha256"]): row for path in paths.values() for row in _read(path)}
        requests = {(row["note_id"], request.key): request for row in rows if (request := self._request(row))}
        if requests.keys() <= written.keys() and self.keep_others and all(path.is_file() for path in paths.values()):
            return
        missing = sorted(
            (request for key, request in requests.items() if key not in written), key=lambda request: request.key
        )
        answers = {answer.key: answer for answer in self.engine.answers(missing)}
        done = [
            written.get(key) or self._row(split, key[0], request, answers[request.key])
            for key, request in requests.items()
        ]
        if self.keep_others:
            done += [row for key, row in written.items() if key not in requests]
        # the rejected ones first: a kill between the two then leaves no row that looks finished and is not
        store.write_parquet(paths["rejected"], [row for row in done if row["rejected_for"]], TRACES, self.origin)
        store.write_parquet(paths["kept"], [row for row in done if not row["rejected_for"]], TRACES, self.origin)

    def _request(self, row: dict[str, Any]) -> Request:
        code = Code(row["icd_code"])
        material = Material(
            note=row["admission_note"],
            code=code,
            title=row["icd_title"],
            description=self.knowledge.description(code),
            guidelines=self.knowledge.guidelines(code),
        )
        messages = prompt.messages(material)
        return Request(store.digest_of([row["note_id"], messages]), messages, material)

    def _row(self, split: str, note_id: str, request: Request, answer: Answer) -> dict[str, Any]:
        material, parsed = request.material, completion.parse(answer.text)
        trace = parsed.trace if isinstance(parsed, Completion) else None
        limits = checks.Limits(self.recipe.min_words, self.recipe.max_words)
        return {
            "note_id": note_id,
            "split": split,
            "icd_code": material.code.value,
            "trace": trace,
            "completion": answer.text,
            "words": checks.words(answer.text if trace is None else trace),
            "finish_reason": answer.finish_reason,
            "rejected_for": checks.reasons(answer.text, answer.finish_reason, material.code, limits),
            "recipe": self.recipe.name,
            "teacher": self.recipe.teacher,
            "engine": self.recipe.engine,
            "prompt_sha256": request.key,
            "description_code": material.description.code if material.description else None,
            "guideline_chapter": material.code.chapter.number if material.guidelines else None,
        }


def fiscal_year_folder(folder: Path) -> Path:
    """The folder of chapter files: the one given, or the only fiscal year below it. Raises DeepicdError."""
    if not folder.is_dir():
        raise DeepicdError(f"There is no folder {folder}.", "Make the guidelines first: deepicd guidelines PDF OUT")
    years = sorted(path for path in folder.glob("fy[0-9][0-9][0-9][0-9]") if path.is_dir())
    if len(years) > 1:
        names = ", ".join(path.name for path in years)
        raise DeepicdError(f"{folder} holds several fiscal years: {names}.", "Point --guidelines at one of them.")
    return years[0] if years else folder


def _shards(file: "pq.ParquetFile", limit: int | None) -> Iterator[list[dict[str, Any]]]:
    """The rows of a cohort file, SHARD at a time, in its order, up to the limit."""
    columns = ["note_id", "icd_code", "icd_title", "admission_note"]
    every_row = (row for batch in file.iter_batches(SHARD, columns=columns) for row in batch.to_pylist())
    rows = islice(every_row, limit)
    while shard := list(islice(rows, SHARD)):
        yield shard


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a shard's file; none where it is not there yet."""
    if not path.is_file():
        return []
    try:
        return cast(list[dict[str, Any]], store.read_table(path, TRACES).to_pylist())
    except DeepicdError as error:
        raise DeepicdError(error.what, "Remove that file: the same command then writes its rows again.") from error


def counts(folder: Path) -> dict[str, Any]:
    """What a folder of traces holds: rows kept and rejected by split, reasons, words, what the teacher was shown."""
    columns = ["split", "words", "rejected_for", "description_code", "guideline_chapter"]
    tables = {
        verdict: [pq.read_table(path, columns=columns) for path in sorted((folder / verdict).glob("*.parquet"))]
        for verdict in VERDICTS
    }
    kept, rejected = (pa.concat_tables(tables[verdict]).to_pylist() for verdict in VERDICTS)
    lengths = sorted(row["words"] for row in kept)
    return {
        "kept": dict(Counter(row["split"] for row in kept)),
        "rejected": dict(Counter(row["split"] for row in rejected)),
        "reasons": dict(Counter(reason for row in rejected for reason in row["rejected_for"]).most_common()),
        "words": {"min": lengths[0], "mean": round(sum(lengths) / len(lengths), 1), "max": lengths[-1]}
        if lengths
        else {},
        "without_description": sum(row["description_code"] is None for row in kept + rejected),
        "without_guidelines": sum(row["guideline_chapter"] is None for row in kept + rejected),
    }
