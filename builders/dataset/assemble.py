"""Join a cohort and its traces into the dataset folder that `datasets`, TRL and verl load.

    OUT/traces/train-00000-of-00001.parquet   for reading: note, code and trace (rows with a kept trace)
    OUT/sft/…                                 for TRL: prompt and completion as messages (the same rows)
    OUT/grpo/…                                for verl and TRL: prompt and true code (every row of the cohort)
    OUT/verified/…                            with --verified: the rows of `traces` with evidence and verification
    OUT/run.json                              with the records of all earlier stages

`grpo` needs no trace. It keeps the rows whose trace was rejected, so that training and evaluation are not limited to
notes that were easy for the teacher.
Run: deepicd assemble --cohort out/cohort --traces out/traces [--scores out/scores] out/dataset
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any, TypedDict, Unpack

from builders.dataset import selection
from builders.dataset.verification import TraceKey, find_verification, read_verification, require_verification
from deepicd import records, storage
from deepicd.answer_form import write_answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.kept_traces import read_kept_traces
from deepicd.prompts import student
from deepicd.prompts.template import PromptTemplate, load_prompt
from deepicd.schema import COHORT, CONFIGS, DATASET, SCORES, SPLITS
from deepicd.stage_records import AssembleCounts, AssembleRecord, DistillRecord
from deepicd.storage import Origin

DATA_SOURCE = "mimic-reason"  # reward functions recognise the dataset by it
ROWS_PER_FILE = 25_000
TRACE = ("note_id", "icd_code", "trace", "words", "recipe", "teacher", "finish_reason")

Row = dict[str, Any]


class AssembleOptions(TypedDict, total=False):
    """The optional arguments of `assemble`."""

    scores: Path | None
    """Output of `deepicd judge`."""
    select: str
    """A rule of `selection`, for rows with several kept traces."""
    verified: Path | None
    """Output of `deepicd verify`."""
    prompt: Path | None
    """File with another prompt for the student."""
    overwrite: bool


def assemble(cohort: Path, traces: Path, out: Path, **arguments: Unpack[AssembleOptions]) -> AssembleRecord:
    """Write the configs with their splits; return the record.

    Raises DeepicdError if cohort, traces and scores do not belong together.
    """
    scores, select, prompt = arguments.get("scores"), arguments.get("select", "best"), arguments.get("prompt")
    records.require(cohort, "build")
    traces, distilled = records.find_run_folder(traces, DistillRecord, "kept")
    judges = find_score_folders(scores)
    checked = find_verification(arguments.get("verified"), select)
    inputs = {"cohort": cohort, "traces": traces} | {f"scores {path.name}": path for path in judges}
    inputs |= {"verified": checked} if checked else {}
    options: dict[str, Any] = {"recipe": traces.name} | ({"select": select} if distilled.n > 1 or checked else {})
    options |= {"prompt": dict(load_prompt(prompt, student.PROMPT))} if prompt else {}
    plan = records.plan_run(AssembleRecord, options=options, inputs=inputs)
    if done := records.find_finished(out, plan):
        return done
    kept = _choose_traces(traces, _read_scores(judges), read_verification(checked), select)
    files = {split: cohort / f"{split}.parquet" for split in SPLITS}
    origin = storage.combine_origins(
        storage.read_origin(path) for path in [*files.values(), *(traces / "kept").glob("*.parquet")]
    )
    with records.open_fresh_folder(out, plan, origin, overwrite=arguments.get("overwrite", False)) as run:
        template = student.read_template(options)
        used: set[str] = set()
        counts: dict[str, dict[str, int]] = {config: {} for config in (CONFIGS if checked else DATASET)}
        for split, path in files.items():
            rows = storage.read_table(path, COHORT).to_pylist()
            _check_match(rows, kept)
            used |= {row["note_id"] for row in rows if row["note_id"] in kept}
            for config, number in write_split(run.folder, split, rows, kept, origin, template).items():
                counts[config][split] = number
        if not kept:
            what = "verified" if select == "verified" else "kept"
            raise DeepicdError(f"{traces} holds no {what} trace.", "See why in its rejected/ folder and run.json.")
        if unmatched := len(kept) - len(used):
            raise DeepicdError(
                f"{unmatched:,} of {len(kept):,} kept traces belong to no row of {cohort}.",
                "Assemble traces with the cohort they were made from.",
            )
        chosen = Counter(trace["chosen_by"] for trace in kept.values())
        run.counts = AssembleCounts(rows=counts, chosen_by=dict(chosen) if distilled.n > 1 or checked else {})
    return run.record


def _choose_traces(
    folder: Path, scores: dict[TraceKey, float | None], verification: dict[TraceKey, Row] | None, rule: str
) -> dict[str, Row]:
    """Return note_id → the kept trace that a rule chooses. Raises DeepicdError for scores of other traces.

    `scores`: the judges' means; `verification`: rows of schema.VERIFIED, None if none were given.
    """
    kept: dict[str, Row] = {}
    used: set[TraceKey] = set()
    for split in SPLITS:
        columns = (*TRACE, *selection.COLUMNS, *(("evidence",) if verification else ()))
        rows = read_kept_traces(folder, split, columns)
        for note_id, rollouts in groupby(rows, key=lambda row: row["note_id"]):
            traces = []
            for row in rollouts:
                key = note_id, storage.digest_text(row["trace"]) if scores or verification else ""
                used.add(key)
                verified = require_verification(verification, key) if verification else None
                traces.append(row | {"judge_score": scores.get(key), "verification": verified})
            if choice := selection.choose(rule, traces):
                chosen, criterion = choice
                names = (*TRACE, "judge_score", *(("verification", "evidence") if verification else ()))
                kept[note_id] = {name: chosen[name] for name in names} | {
                    "chosen_by": criterion, "rollout": chosen["rollout"], "rollouts": len(traces),
                }  # fmt: skip
    if scores.keys() - used:
        raise DeepicdError(
            f"{len(scores.keys() - used):,} scores of other traces than these were given.",
            "Score these traces: deepicd judge TRACES OUT",
        )
    return kept


def find_score_folders(scores: Path | None) -> list[Path]:
    """Return the folders of judges' scores: `scores` itself or those below it. Raises DeepicdError if there is none."""
    if scores is None:
        return []
    folders = [scores] if (scores / "scores").is_dir() else sorted(path.parent for path in scores.glob("*/scores"))
    if not folders:
        raise DeepicdError(f"{scores} holds no scores.", "Write them first: deepicd judge TRACES OUT")
    return folders


def _read_scores(folders: list[Path]) -> dict[TraceKey, float | None]:
    """Return the mean of the judges' scores by note_id and SHA-256 of a trace; None where no judge gave one."""
    scores: defaultdict[TraceKey, list[int]] = defaultdict(list)
    for path in (path for folder in folders for path in sorted((folder / "scores").glob("*.parquet"))):
        for row in storage.read_table(path, SCORES, ["note_id", "trace_sha256", "score"]).to_pylist():
            scores[row["note_id"], row["trace_sha256"]] += [] if row["score"] is None else [row["score"]]
    return {key: sum(values) / len(values) if values else None for key, values in scores.items()}


def _check_match(rows: list[Row], kept: dict[str, Row]) -> None:
    mismatches = sum(row["note_id"] in kept and kept[row["note_id"]]["icd_code"] != row["icd_code"] for row in rows)
    if mismatches:
        raise DeepicdError(
            f"{mismatches:,} traces argue for another code than the cohort has.",
            "Write the traces again from this cohort.",
        )


def write_split(
    folder: Path, split: str, rows: list[Row], kept: dict[str, Row], origin: Origin, template: PromptTemplate
) -> dict[str, int]:
    """Write the files of a split for every config; return config → rows.

    A config without rows gets no file: `datasets` cannot load an empty one.
    """
    written = {}
    for config in CONFIGS:
        if config_rows := list(_convert_rows(config, split, rows, kept, template)):
            _write_shards(folder / config, config, split, config_rows, origin)
            written[config] = len(config_rows)
    return written


def _convert_rows(
    config: str, split: str, rows: list[Row], kept: dict[str, Row], template: PromptTemplate
) -> Iterator[Row]:
    """Yield the rows of a split in the form of a config, in the cohort's order."""
    for index, row in enumerate(rows):
        trace = kept.get(row["note_id"])
        if config == "grpo":
            yield {
                "data_source": DATA_SOURCE,
                "prompt": student.build_messages(row["admission_note"], template),
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
                "prompt": student.build_messages(row["admission_note"], template),
                "completion": [{"role": "assistant", "content": answer}],
                "note_id": row["note_id"],
                "icd_code": row["icd_code"],
            }
        elif config == "traces":
            yield {**row, **trace}
        elif trace.get("verification"):
            yield {**row, **trace["verification"], **trace, "icd_code": row["icd_code"]}


def _write_shards(folder: Path, config: str, split: str, rows: list[Row], origin: Origin) -> None:
    """Write one file per ROWS_PER_FILE rows, named as `datasets` names shards."""
    files = ceil(len(rows) / ROWS_PER_FILE)
    for number in range(files):
        part = rows[number * ROWS_PER_FILE : (number + 1) * ROWS_PER_FILE]
        path = folder / f"{split}-{number:05d}-of-{files:05d}.parquet"
        storage.write_parquet(path, part, CONFIGS[config], origin)
