"""Rebuild the dataset that a bundle without notes was made from, with the notes of a credentialed copy of MIMIC.

Notes are extracted as `deepicd build` does, with the options recorded in the bundle, and compared with its digests.
The files are byte-identical to the original ones, which their digests confirm. Rows whose note is missing, has another
text or another first diagnosis are listed with the reason in a file beside OUT.
Run: deepicd rehydrate BUNDLE OUT --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from builders.cohort.criteria import Criteria
from builders.cohort.parallel import choose_processes, open_workers
from builders.cohort.stays import read_stays
from builders.dataset.assemble import TRACE
from builders.dataset.config_files import Joined, Row, write_split
from deepicd import __version__, bundle_manifest, records, storage
from deepicd.errors import DeepicdError
from deepicd.mimic import local_copy
from deepicd.private_files import private_files
from deepicd.prompts import student
from deepicd.schema import DATASET, SPLITS
from deepicd.stage_records import AssembleCounts, AssembleRecord, BuildRecord, BundleRecord
from deepicd.storage import Origin
from deepicd.text_store import StoredText, TextStore, open_text_store

NO_NOTE, OTHER_TEXT, OTHER_CODE = "no such note", "another text", "another first diagnosis"


class CopyNote(NamedTuple):
    """An admission note that was extracted from a copy."""

    text: StoredText
    sha256: str
    code: str
    """The first diagnosis."""


class CopyNotes(NamedTuple):
    """The bundle's notes, as extracted from a copy."""

    notes: dict[str, CopyNote]
    """By note_id."""
    reasons: dict[str, str]
    """note_id → why a note of the copy has no admission note."""


def rehydrate(
    folder: Path, out: Path, mimic_root: Path, notes_root: Path, *, partial: bool = False, overwrite: bool = False
) -> AssembleRecord:
    """Write the dataset folder OUT and return its record. `partial` leaves out rows that cannot be restored.

    Raises DeepicdError for such rows without `partial`, for a damaged bundle, and for a bundle that has its notes.
    """
    manifest = bundle_manifest.read_manifest(folder)
    if manifest.notes:
        raise DeepicdError(
            f"{folder} has its notes already.", "Use it as it is: cards and loaders read it like a dataset."
        )
    build = records.require(folder, BundleRecord).require_upstream(BuildRecord)
    copy = local_copy.find_copy(mimic_root, notes_root)
    options = manifest.dataset.options | {"partial": partial}
    plan = records.plan_run(AssembleRecord, options=options, inputs={"bundle": folder, **copy.files})
    if done := records.find_finished(out, plan):
        return done
    records.refuse_other_content(out, plan, overwrite=overwrite)
    with open_text_store(out) as texts:
        from_copy = _extract_notes(copy, _read_criteria(build), folder, texts)
        differences = _find_differences(folder, from_copy)
        listing = out.with_name(f"{out.name}.differences.csv")
        with private_files(copy.origin):
            _write_listing(listing, differences)
        if differences and not partial:
            raise DeepicdError(
                f"{_count_differences(differences, manifest)} {_describe_cause(build, copy)}"
                f" Only the list of these rows was written: {listing}",
                "Use the releases that the bundle was made from; or leave these rows out: --partial",
            )
        origin = storage.combine_origins([manifest.origin, copy.origin])
        with records.open_fresh_folder(out, plan, origin, overwrite=overwrite) as run:
            counts: dict[str, dict[str, int]] = {config: {} for config in DATASET}
            template = student.read_template(options)
            for split in SPLITS:
                rows = (row for row in bundle_manifest.iterate_rows(folder, split) if row["note_id"] not in differences)
                joined = (_restore(row, from_copy.notes[row["note_id"]]) for row in rows)
                for config, number in write_split(run.folder, split, joined, origin, template).items():
                    counts[config][split] = number
            run.counts = AssembleCounts(rows=counts, differences=dict(Counter(differences.values())))
            run.notes.append(_describe_identity(run.folder, manifest, len(differences), origin))
    return run.record


def _restore(row: Row, note: CopyNote) -> Joined:
    """Return a row of the bundle with its note, and with its trace, if it has one."""
    trace = {name: row[name] for name in (*TRACE, "judge_score")} if row["trace"] is not None else None
    return Joined(row | {"admission_note": note.text.read()}, trace)


def _read_criteria(build: BuildRecord) -> Criteria:
    """Return the options that decide a note's text in the bundle's cohort, without limits of length.

    Raises DeepicdError for options of another version.
    """
    options: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in build.options.items()
    }
    options["headers"] = tuple((str(header), str(section)) for header, section in options.get("headers", ()))
    try:
        return replace(Criteria(**options), min_words=0, max_words=None, max_tokens=None, tokenizer="")
    except TypeError as error:
        raise DeepicdError(
            f"The cohort was built with options that this version does not have ({error}).",
            f"Use the version that built it: deepicd {build.version}; this is {__version__}.",
        ) from error


def _extract_notes(copy: local_copy.Copy, criteria: Criteria, bundle: Path, texts: TextStore) -> CopyNotes:
    """Return the notes of the bundle that the copy has, with their texts in a store."""
    import pyarrow as pa

    from builders.cohort.batch_dispatch import extract_notes

    result = CopyNotes({}, {})
    note_ids = {row["note_id"] for split in SPLITS for row in bundle_manifest.iterate_rows(bundle, split, ["note_id"])}
    with (
        open_workers(choose_processes(copy.files["discharge"])) as map_in_order,
        local_copy.open_copy(copy) as db,
    ):
        read_stays(db, copy)
        for part in extract_notes(db, copy, criteria, map_in_order, pa.array(sorted(note_ids))):
            for row in part.rows.select(["note_id", "admission_note", "icd_code"]).to_pylist():
                note = row["admission_note"]
                result.notes[row["note_id"]] = CopyNote(texts.add(note), storage.digest_text(note), row["icd_code"])
            for row in part.excluded.to_pylist():
                result.reasons[row["note_id"]] = row["reason"]
    return result


def _find_differences(bundle: Path, from_copy: CopyNotes) -> dict[str, str]:
    """Return note_id → why the row cannot be restored; {} if all can."""
    differences = {}
    columns = ["note_id", "icd_code", "note_sha256"]
    for row in (row for split in SPLITS for row in bundle_manifest.iterate_rows(bundle, split, columns)):
        note_id = row["note_id"]
        note = from_copy.notes.get(note_id)
        if note is None:
            differences[note_id] = from_copy.reasons.get(note_id, NO_NOTE)
        elif note.code != row["icd_code"]:
            differences[note_id] = OTHER_CODE
        elif note.sha256 != row["note_sha256"]:
            differences[note_id] = OTHER_TEXT
    return differences


def _write_listing(path: Path, differences: Mapping[str, str]) -> None:
    """Write the list of rows that differ; if there are none, remove the list of an earlier run."""
    if not differences:
        path.unlink(missing_ok=True)
        return
    with storage.atomic_write(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["note_id", "why"])
        writer.writerows(sorted(differences.items()))


def _count_differences(differences: Mapping[str, str], manifest: bundle_manifest.Manifest) -> str:
    total = sum(manifest.dataset.rows["grpo"].values())
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in Counter(differences.values()).most_common())
    return f"{len(differences):,} of {total:,} rows cannot be restored from this copy: {reasons}."


def _describe_cause(build: BuildRecord, copy: local_copy.Copy) -> str:
    """Return how the copy differs, by its digests, from the one that the bundle was made from."""
    actual = {name: storage.digest_path(path) for name, path in copy.files.items()}
    expected = {name: entry.digest for name, entry in build.inputs.items()}
    others = [name for name in expected if name in actual and actual[name] != expected[name]]
    if others:
        return (
            f"The bundle was made from other files of {', '.join(others)}: another release, or the same one in another"
            " form (unpacked, converted)."
        )
    if build.version != __version__:
        return f"The copy is the same; the notes were extracted by deepicd {build.version}, this is {__version__}."
    return "The copy is the same, and so is deepicd's version: its code may have been changed."


def _describe_identity(folder: Path, manifest: bundle_manifest.Manifest, left_out: int, origin: Origin) -> str:
    """Return a sentence for the record on whether the files are those that the bundle was made from."""
    import pyarrow as pa

    expected = manifest.dataset.files
    changes = records.compare_files(folder, expected, content=True, closed=["."])
    different = changes.missing + changes.changed
    opening = "Rebuilt from a bundle without notes"
    if left_out:
        return f"{opening}; {left_out:,} rows could not be restored and are left out."
    if not changes:
        lacking = bundle_manifest.list_left_out(manifest.dataset.rows)
        lost = f" The bundle left out the config {', '.join(lacking)}, which the original has." if lacking else ""
        return f"{opening}; all {len(expected)} files are byte-identical to the original.{lost}"
    return (
        f"{opening}; every row is as it was, but {len(different)} of {len(expected)} files have other bytes: pyarrow"
        f" {manifest.written_with.pyarrow} wrote them for a dataset of origin {manifest.origin!r}, here it is"
        f" {pa.__version__} for {origin!r}."
    )
