"""A bundle without notes and a credentialed copy of MIMIC, put together to the dataset that the bundle was made of.

The notes are extracted from the copy as `deepicd build` does it, with the options that the bundle names, and each is
held against the digest that the bundle has of it. Files come out byte-identical, and are proven so. Rows whose note
is not there, has another text or another first diagnosis are listed in a file beside OUT, each with its reason.
Run: deepicd rehydrate BUNDLE OUT --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.cohort.criteria import Criteria
from builders.cohort.parallel import choose_processes, open_workers
from builders.cohort.stays import join_notes, load_terms, read_stays
from builders.dataset.assemble import Row, write_split
from builders.mimic import local_copy
from deepicd import __version__, bundle_manifest, records, storage
from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from deepicd.schema import DATASET
from deepicd.stage_records import AssembleCounts, AssembleRecord, BuildRecord, BundleRecord
from deepicd.storage import Origin

if TYPE_CHECKING:
    import pyarrow as pa

TRACE = ("note_id", "icd_code", "trace", "words", "judge_score", "recipe", "teacher", "finish_reason")
NO_NOTE, OTHER_TEXT, OTHER_CODE = "no such note", "another text", "another first diagnosis"


def rehydrate(
    folder: Path, out: Path, mimic_root: Path, notes_root: Path, *, partial: bool = False, overwrite: bool = False
) -> AssembleRecord:
    """Write the dataset folder OUT; its record. With `partial` without the rows that cannot be had back.

    Raises DeepicdError where there are such rows otherwise, for a damaged bundle, and for one that has its notes.
    """
    manifest = bundle_manifest.read_manifest(folder)
    if manifest.notes:
        raise DeepicdError(f"{folder} has its notes.", "It is the dataset already: card and loaders take it as it is.")
    made = records.require(folder, BundleRecord)
    build = made.upstream(BuildRecord)
    copy = local_copy.find_copy(mimic_root, notes_root)
    options = manifest.dataset.options | {"partial": partial}
    plan = records.plan_run(AssembleRecord, options=options, inputs={"bundle": folder, **copy.files})
    if done := records.find_finished(out, plan):
        return done
    records.refuse_other_content(out, plan, overwrite=overwrite)
    by_split = bundle_manifest.read_rows(folder)
    found, why = _notes(copy, _criteria(build), {row["note_id"] for rows in by_split.values() for row in rows})
    wrong = _compared(by_split, found, why)
    listed = out.with_name(f"{out.name}.differences.csv")
    _list(listed, wrong)
    if wrong and not partial:
        raise DeepicdError(
            f"{_said(wrong, by_split)} {_cause(build, copy)} Nothing was written but the list of these rows: {listed}",
            "Use the releases that the bundle was made from; or leave these rows out: --partial",
        )
    origin = storage.combine_origins([manifest.origin, copy.origin])
    with records.fresh_folder(out, plan, origin, overwrite=overwrite) as run:
        counted: dict[str, dict[str, int]] = {config: {} for config in DATASET}
        for split, rows in by_split.items():
            there = [row | {"admission_note": found[row["note_id"]][0]} for row in rows if row["note_id"] not in wrong]
            kept = {row["note_id"]: {name: row[name] for name in TRACE} for row in there if row["trace"] is not None}
            for config, number in write_split(run.folder, split, there, kept, origin).items():
                counted[config][split] = number
        run.counts = AssembleCounts(rows=counted, differences=dict(Counter(wrong.values())))
        run.notes.append(_identity(run.folder, manifest, len(wrong), origin))
    return run.record


def _criteria(build: BuildRecord) -> Criteria:
    """The options that decide a note's text in the bundle's cohort; its limits of length have done their work.

    Raises DeepicdError for options of another version.
    """
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in build.options.items()
    }
    try:
        return replace(Criteria(**options), min_words=0, max_words=None, max_tokens=None, tokenizer="")
    except TypeError as error:
        raise DeepicdError(
            f"The cohort was built with options that this version does not have ({error}).",
            f"Take the version that built it: deepicd {build.version}; this is {__version__}.",
        ) from error


def _notes(
    copy: local_copy.Copy, criteria: Criteria, wanted: set[str]
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """note_id → admission note and first diagnosis; and of wanted notes that have none, why."""
    import pyarrow as pa

    from builders.cohort import extraction

    found: dict[str, tuple[str, str]] = {}
    why: dict[str, str] = {}
    ids = pa.array(sorted(wanted))
    with (
        open_workers(choose_processes(copy.files["discharge"])) as in_order,
        local_copy.open_copy(copy) as db,
        track_progress("notes read") as advance,
    ):
        read_stays(db, copy)

        def to_read() -> "Iterator[pa.RecordBatch]":
            for notes in join_notes(db, copy):
                why.update(_reasons(_among(notes.ruled_out, ids)))
                advance(notes.ruled_out.num_rows + notes.to_read.num_rows)
                yield _among(notes.to_read, ids)

        extract = partial(extraction.extract, criteria=criteria, naming=load_terms(db) if criteria.strict else {})
        for part in in_order(extract, to_read()):
            columns = (part.rows[name].to_pylist() for name in ("note_id", "admission_note", "icd_code"))
            found |= {note_id: (note, code) for note_id, note, code in zip(*columns, strict=True)}
            why.update(_reasons(part.excluded))
    return found, why


def _among(batch: "pa.RecordBatch", ids: "pa.Array") -> "pa.RecordBatch":
    import pyarrow.compute as pc

    return batch.filter(pc.is_in(batch["note_id"], value_set=ids))


def _reasons(excluded: "pa.RecordBatch") -> dict[str, str]:
    return dict(zip(excluded["note_id"].to_pylist(), excluded["reason"].to_pylist(), strict=True))


def _compared(by_split: dict[str, list[Row]], found: dict[str, tuple[str, str]], why: dict[str, str]) -> dict[str, str]:
    """note_id → why the row is not what it was; empty where all are."""
    wrong = {}
    for row in (row for rows in by_split.values() for row in rows):
        note_id = row["note_id"]
        note, code = found.get(note_id, (None, None))
        if note is None:
            wrong[note_id] = why.get(note_id, NO_NOTE)
        elif code != row["icd_code"]:
            wrong[note_id] = OTHER_CODE
        elif storage.digest_text(note) != row["note_sha256"]:
            wrong[note_id] = OTHER_TEXT
    return wrong


def _list(path: Path, wrong: dict[str, str]) -> None:
    """The list of rows that differ; that of an earlier run goes where there are none."""
    if not wrong:
        path.unlink(missing_ok=True)
        return
    with storage.atomic_write(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["note_id", "why"])
        writer.writerows(sorted(wrong.items()))


def _said(wrong: dict[str, str], by_split: dict[str, list[Row]]) -> str:
    total = sum(len(rows) for rows in by_split.values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in Counter(wrong.values()).most_common())
    return f"{len(wrong):,} of {total:,} rows cannot be had back from this copy: {reasons}."


def _cause(build: BuildRecord, copy: local_copy.Copy) -> str:
    """What sets the copy apart from the one that the bundle was made of, as far as digests tell."""
    here = {name: storage.digest_path(path) for name, path in copy.files.items()}
    then = {name: entry.digest for name, entry in build.inputs.items()}
    others = [name for name in then if here.get(name) != then[name]]
    if others:
        return (
            f"The bundle was made from other files of {', '.join(others)}: another release, or the same one in another"
            " form (unpacked, converted)."
        )
    if build.version != __version__:
        return f"The copy is the same; the notes were extracted by deepicd {build.version}, this is {__version__}."
    return "The copy is the same, and so is deepicd's version: its code may have been changed."


def _identity(folder: Path, manifest: bundle_manifest.Manifest, left_out: int, origin: Origin) -> str:
    """Whether the files are those that the bundle was made of, in a sentence for the record."""
    import pyarrow as pa

    expected = manifest.dataset.files
    changes = records.compare_files(folder, expected, content=True, closed=["."])
    other = changes.missing + changes.changed
    opening = "Put together from a bundle without notes"
    if left_out:
        return f"{opening}; {left_out:,} rows could not be had back and are left out."
    if not changes:
        return f"{opening}; all {len(expected)} files are byte-identical to the original."
    return (
        f"{opening}; every row is as it was, but {len(other)} of {len(expected)} files have other bytes: pyarrow"
        f" {manifest.written_with.pyarrow} wrote them for a dataset of origin {manifest.origin!r}, here it is"
        f" {pa.__version__} for {origin!r}."
    )
