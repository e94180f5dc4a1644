"""The dataset folder: cohort and traces joined into what `datasets`, TRL and verl load.

    OUT/traces/train-00000-of-00001.parquet   for reading: note, code and trace (rows with a kept trace)
    OUT/sft/…                                 for TRL: prompt and completion as messages (the same rows)
    OUT/grpo/…                                for verl and TRL: prompt and true code (every row of the cohort)
    OUT/run.json                              with the records of all stages before

`grpo` needs no trace. It keeps the rows whose trace was rejected, so that training and evaluation are not on the notes
that the teacher found easy alone.
Run: deepicd assemble --cohort out/cohort --traces out/traces [--scores out/scores] out/dataset
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from deepicd import records, storage
from deepicd.answer_form import build_messages, write_answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import COHORT, DATASET, SCORES, SPLITS, TRACES
from deepicd.stage_records import AssembleCounts, AssembleRecord, DistillRecord
from deepicd.storage import Origin

DATA_SOURCE = "mimic-reason"  # by this name a reward function tells the dataset from others
ROWS_PER_FILE = 25_000

Row = dict[str, Any]


def assemble(
    cohort: Path, traces: Path, out: Path, *, scores: Path | None = None, overwrite: bool = False
) -> AssembleRecord:
    """Write the three configs with their splits; the record. `scores`: what `deepicd judge` made of these traces.

    Raises DeepicdError if cohort, traces and scores do not belong together.
    """
    records.require(cohort, "build")
    traces, _ = records.find_run_folder(traces, DistillRecord, "kept")
    judges = find_score_folders(scores)
    inputs = {"cohort": cohort, "traces": traces} | {f"scores {path.name}": path for path in judges}
    plan = records.plan_run(AssembleRecord, options={"recipe": traces.name}, inputs=inputs)
    if done := records.find_finished(out, plan):
        return done
    kept = _kept_traces(traces)
    _score(kept, judges)
    files = {split: cohort / f"{split}.parquet" for split in SPLITS}
    origin = storage.combine_origins(
        storage.read_origin(path) for path in [*files.values(), *(traces / "kept").glob("*.parquet")]
    )
    with records.fresh_folder(out, plan, origin, overwrite=overwrite) as run:
        used: set[str] = set()
        counted: dict[str, dict[str, int]] = {config: {} for config in DATASET}
        for split, path in files.items():
            rows = storage.read_table(path, COHORT).to_pylist()
            _check_match(rows, kept)
            used |= {row["note_id"] for row in rows if row["note_id"] in kept}
            for config, number in write_split(run.folder, split, rows, kept, origin).items():
                counted[config][split] = number
        if not kept:
            raise DeepicdError(f"{traces} holds no kept trace.", "See why in its rejected/ folder and run.json.")
        if strangers := len(kept) - len(used):
            raise DeepicdError(
                f"{strangers:,} of {len(kept):,} kept traces belong to no row of {cohort}.",
                "Assemble traces with the cohort they were made from.",
            )
        run.counts = AssembleCounts(rows=counted)
    return run.record


def _kept_traces(folder: Path) -> dict[str, Row]:
    """note_id → kept trace."""
    columns = ["note_id", "icd_code", "trace", "words", "recipe", "teacher", "finish_reason"]
    return {
        row["note_id"]: row | {"judge_score": None}
        for path in sorted((folder / "kept").glob("*.parquet"))
        for row in storage.read_table(path, TRACES, columns).to_pylist()
    }


def find_score_folders(scores: Path | None) -> list[Path]:
    """The folders of judges' scores: the one given, or those below it. Raises DeepicdError where there is none."""
    if scores is None:
        return []
    found = [scores] if (scores / "scores").is_dir() else sorted(path.parent for path in scores.glob("*/scores"))
    if not found:
        raise DeepicdError(f"{scores} holds no scores.", "Make them first: deepicd judge TRACES OUT")
    return found


def _score(kept: dict[str, Row], folders: list[Path]) -> None:
    """Give each trace the mean of its judges' scores. Raises DeepicdError for scores of other traces."""
    given: dict[str, list[int]] = {}
    for path in (path for folder in folders for path in sorted((folder / "scores").glob("*.parquet"))):
        for row in storage.read_table(path, SCORES, ["note_id", "trace_sha256", "score"]).to_pylist():
            trace = kept.get(row["note_id"])
            if trace is None or storage.digest_text(trace["trace"]) != row["trace_sha256"]:
                raise DeepicdError(
                    f"{path} has scores of other traces than these.", "Score these ones: deepicd judge TRACES OUT"
                )
            if row["score"] is not None:
                given.setdefault(row["note_id"], []).append(row["score"])
    for note_id, values in given.items():
        kept[note_id]["judge_score"] = sum(values) / len(values)


def _check_match(rows: list[Row], kept: dict[str, Row]) -> None:
    other = sum(row["note_id"] in kept and kept[row["note_id"]]["icd_code"] != row["icd_code"] for row in rows)
    if other:
        raise DeepicdError(
            f"{other:,} traces argue for another code than the cohort's.", "Write the traces again from this cohort."
        )


def write_split(folder: Path, split: str, rows: list[Row], kept: dict[str, Row], origin: Origin) -> dict[str, int]:
    """Write the files of a split in every config that has rows of it; how many. `datasets` cannot load an empty one."""
    written = {}
    for config in DATASET:
        if shaped := list(_shape(config, split, rows, kept)):
            _write(folder / config, config, split, shaped, origin)
            written[config] = len(shaped)
    return written


def _shape(config: str, split: str, rows: list[Row], kept: dict[str, Row]) -> Iterator[Row]:
    """The rows of a split as a config has them, in the cohort's order."""
    for index, row in enumerate(rows):
        trace = kept.get(row["note_id"])
        if config == "grpo":
            yield {
                "data_source": DATA_SOURCE,
                "prompt": build_messages(row["admission_note"]),
                "ability": "diagnosis",
                "reward_model": {"style": "rule", "ground_truth": row["icd_code"]},
                "extra_info": {
                    "split": split,
                    "index": index,
                    "note_id": row["note_id"],
                    "note": row["admission_note"],
                },
            }
        elif trace is None:
            continue
        elif config == "sft":
            answer = write_answer(trace["trace"], Code(row["icd_code"]))
            yield {
                "prompt": build_messages(row["admission_note"]),
                "completion": [{"role": "assistant", "content": answer}],
                "note_id": row["note_id"],
                "icd_code": row["icd_code"],
            }
        else:
            yield {**row, **trace}


def _write(folder: Path, config: str, split: str, rows: list[Row], origin: Origin) -> None:
    """One file for every ROWS_PER_FILE rows, named as `datasets` names shards."""
    files = ceil(len(rows) / ROWS_PER_FILE)
    for number in range(files):
        part = rows[number * ROWS_PER_FILE : (number + 1) * ROWS_PER_FILE]
        path = folder / f"{split}-{number:05d}-of-{files:05d}.parquet"
        storage.write_parquet(path, part, DATASET[config], origin)
