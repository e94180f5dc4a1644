"""Join a cohort and its traces into the dataset folder that `datasets`, TRL and verl load.

    OUT/traces/train-00000-of-00001.parquet   for reading: note, code and trace (rows with a kept trace)
    OUT/sft/…                                 for TRL: prompt and completion as messages (the same rows)
    OUT/grpo/…                                for verl and TRL: prompt and true code (every row of the cohort)
    OUT/verified/…                            with --verified: the rows of `traces` with evidence and verification
    OUT/multi/…                               with --config multi: several diagnoses (every row of the cohort)
    OUT/run.json                              with the records of all earlier stages

`grpo` needs no trace. It keeps the rows whose trace was rejected, so that training and evaluation are not limited to
notes that were easy for the teacher.
Run: deepicd assemble --cohort out/cohort --traces out/traces [--scores out/scores] out/dataset
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from builders.dataset import selection
from builders.dataset.code_support import StayCodes, read_stay_codes, require_codes
from builders.dataset.config_files import Joined, Row, write_split
from builders.dataset.selection import RowsByNote, find_verification, read_rows, read_verification, require_verification
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.kept_traces import read_kept_columns, read_kept_traces
from deepicd.prompts import student
from deepicd.prompts.template import load_prompt
from deepicd.schema import COHORT, DATASET, SCORES, SPLITS
from deepicd.stage_records import AssembleCounts, AssembleRecord, DistillRecord

BATCH = 256  # rows of the cohort in memory at once
TRACE = ("note_id", "icd_code", "trace", "words", "recipe", "teacher", "finish_reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleOptions:
    """What `assemble` does beyond joining a cohort and its traces."""

    scores: Path | None = None
    """Output of `deepicd judge`."""
    select: str = "best"
    """A rule of `selection`, for rows with several kept traces."""
    verified: Path | None = None
    """Output of `deepicd verify`."""
    prompt: Path | None = None
    """File with another prompt for the student."""
    config: Literal["multi"] | None = None
    """Another config to write: several diagnoses per stay."""
    overwrite: bool = False


def assemble(cohort: Path, traces: Path, out: Path, given: AssembleOptions = AssembleOptions()) -> AssembleRecord:
    """Write the configs with their splits; return the record.

    Raises DeepicdError if cohort, traces and scores do not belong together.
    """
    select = given.select
    records.require(cohort, "build")
    traces, distilled = records.find_run_folder(traces, DistillRecord, "kept")
    judges = find_score_folders(given.scores)
    checked = find_verification(given.verified, select)
    inputs = {"cohort": cohort, "traces": traces} | {f"scores {path.name}": path for path in judges}
    inputs |= {"verified": checked} if checked else {}
    options: dict[str, Any] = {"recipe": traces.name} | (
        {"select": select} if distilled.rollouts > 1 or checked else {}
    )
    options |= {"prompt": dict(load_prompt(given.prompt, student.PROMPT))} if given.prompt else {}
    options |= {"config": given.config} if given.config else {}
    plan = records.plan_run(AssembleRecord, options=options, inputs=inputs)
    if done := records.find_finished(out, plan):
        return done
    chooser = _Chooser(traces, select, [_read_scores(path) for path in judges], read_verification(checked))
    files = {split: cohort / f"{split}.parquet" for split in SPLITS}
    origin = storage.combine_origins(
        storage.read_origin(path) for path in [*files.values(), *(traces / "kept").glob("*.parquet")]
    )
    for split in SPLITS:
        _check_match(cohort, traces, split)
    with records.open_fresh_folder(out, plan, origin, overwrite=given.overwrite) as run:
        template = student.read_template(options)
        configs = [*DATASET, *(["verified"] if checked else []), *([given.config] if given.config else [])]
        counts: dict[str, dict[str, int]] = {config: {} for config in configs}
        listed: Counter[str] = Counter()
        for split, path in files.items():
            batches = storage.open_parquet(path, COHORT).iter_batches(BATCH, columns=COHORT.names)
            rows = (row for batch in batches for row in batch.to_pylist())
            joined = _join_traces(rows, chooser.choose_traces(split))
            if given.config == "multi":
                joined = _add_codes(joined, read_stay_codes(cohort, split), listed)
            for config, number in write_split(run.folder, split, joined, origin, template).items():
                counts[config][split] = number
        chooser.check()
        run.counts = AssembleCounts(
            rows=counts,
            chosen_by=dict(chooser.chosen_by) if distilled.rollouts > 1 or checked else {},
            **({"listed": dict(sorted(listed.items()))} if given.config else {}),
        )
    return run.record


@dataclass
class _Chooser:
    """Chooses one of the kept traces of each row, as they are read, and counts by what it was chosen."""

    folder: Path
    rule: str
    judges: Sequence[RowsByNote]
    """The scores of each."""
    verification: RowsByNote | None
    """Rows of schema.VERIFIED; None if none were given."""
    foreign_scores: int = 0
    """Scores of other traces of these notes, which the judges gave."""
    chosen_by: Counter[str] = field(default_factory=Counter)

    def choose_traces(self, split: str) -> Iterator[Row]:
        """Yield the trace that the rule chooses for each row of a split, in the cohort's order."""
        extra = ("evidence",) if self.verification else ()
        rows = read_kept_traces(self.folder, split, (*TRACE, *selection.COLUMNS, *extra))
        names = (*TRACE, "judge_score", *(("verification", *extra) if self.verification else ()))
        for note_id, rollouts in groupby(rows, key=lambda row: row["note_id"]):
            traces = self._describe(note_id, list(rollouts))
            if choice := selection.choose(self.rule, traces):
                chosen, criterion = choice
                self.chosen_by[criterion] += 1
                yield {name: chosen[name] for name in names} | {
                    "chosen_by": criterion, "rollout": chosen["rollout"], "rollouts": len(traces),
                }  # fmt: skip

    def _describe(self, note_id: str, rollouts: list[Row]) -> list[Row]:
        """Return the traces of a note with the mean of the judges' scores, and with their verification."""
        if not self.judges and not self.verification:
            return [row | {"judge_score": None, "verification": None} for row in rollouts]
        digests = [storage.digest_text(row["trace"]) for row in rollouts]
        scores = _average_scores(row for judge in self.judges for row in judge.take(note_id))
        self.foreign_scores += len(scores.keys() - set(digests))
        verified = {row["trace_sha256"]: row for row in self.verification.take(note_id)} if self.verification else None
        return [
            row
            | {
                "judge_score": scores.get(digest),
                "verification": require_verification(verified, digest) if verified is not None else None,
            }
            for row, digest in zip(rollouts, digests, strict=True)
        ]

    def check(self) -> None:
        """Raise DeepicdError if there was nothing to choose from, or if there are scores of other traces."""
        if not self.chosen_by:
            what = "verified" if self.rule == "verified" else "kept"
            raise DeepicdError(f"{self.folder} holds no {what} trace.", "See why in its rejected/ folder and run.json.")
        rest = {(row["note_id"], row["trace_sha256"]) for judge in self.judges for row in judge.take_rest()}
        if others := self.foreign_scores + len(rest):
            raise DeepicdError(
                f"{others:,} scores of other traces than these were given.",
                "Score these traces: deepicd judge TRACES OUT",
            )


def _average_scores(rows: Iterable[Row]) -> dict[str, float | None]:
    """Return the mean of the judges' scores by SHA-256 of a trace; None where no judge gave one."""
    scores: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        scores[row["trace_sha256"]] += [] if row["score"] is None else [row["score"]]
    return {digest: sum(values) / len(values) if values else None for digest, values in scores.items()}


def find_score_folders(scores: Path | None) -> list[Path]:
    """Return the folders of judges' scores: `scores` itself or those below it. Raises DeepicdError if there is none."""
    if scores is None:
        return []
    folders = [scores] if (scores / "scores").is_dir() else sorted(path.parent for path in scores.glob("*/scores"))
    if not folders:
        raise DeepicdError(f"{scores} holds no scores.", "Write them first: deepicd judge TRACES OUT")
    return folders


def _read_scores(folder: Path) -> RowsByNote:
    return RowsByNote(read_rows(folder / "scores", SCORES, ["note_id", "trace_sha256", "score"]))


def _check_match(cohort: Path, traces: Path, split: str) -> None:
    """Raise DeepicdError unless the traces of a split are of rows of the cohort, with its codes and in its order."""
    import pyarrow.compute as pc

    rows = storage.read_table(cohort / f"{split}.parquet", COHORT, ["note_id", "icd_code"])
    kept = read_kept_columns(traces, split, ["note_id", "icd_code"])
    places = pc.index_in(kept["note_id"], value_set=rows["note_id"].combine_chunks()).combine_chunks()
    if unmatched := len(pc.unique(kept["note_id"].filter(pc.is_null(places)))):
        raise DeepicdError(
            f"{unmatched:,} of {len(pc.unique(kept['note_id'])):,} kept traces belong to no row of {cohort}.",
            "Assemble traces with the cohort they were made from.",
        )
    if mismatches := pc.sum(pc.not_equal(rows["icd_code"].take(places), kept["icd_code"])).as_py():
        raise DeepicdError(
            f"{mismatches:,} traces argue for another code than the cohort has.",
            "Write the traces again from this cohort.",
        )
    if len(places) > 1 and not pc.all(pc.less_equal(places[:-1], places[1:])).as_py():
        raise DeepicdError(
            "The traces are not in the order of the cohort.", "Write the traces again with `deepicd distill`."
        )


def _join_traces(rows: Iterable[Row], chosen: Iterator[Row]) -> Iterator[Joined]:
    """Yield each row with its trace, if one was chosen; both come in the cohort's order."""
    trace = next(chosen, None)
    for row in rows:
        if trace is not None and trace["note_id"] == row["note_id"]:
            yield Joined(row, trace)
            trace = next(chosen, None)
        else:
            yield Joined(row, None)
    if trace is not None:
        raise RuntimeError("A chosen trace belongs to no row.")  # _check_match has refused that


def _add_codes(joined: Iterable[Joined], stays: Iterator[StayCodes], counts: Counter[str]) -> Iterator[Joined]:
    """Yield each row with the codes of its stay; count those beside the first by what supports them."""
    for one in joined:
        stay = require_codes(next(stays, None), one.row["note_id"], one.row["icd_code"])
        listed = stay.list_supported(one.row["admission_note"])
        counts.update(f"by {found.by}" for found in listed.support if found.code != stay.codes[0])
        counts["not supported"] += len(listed.not_supported)
        yield one._replace(listed=listed)
