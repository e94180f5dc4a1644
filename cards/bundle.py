"""Turn a dataset into a submission to PhysioNet, where data derived from MIMIC is shared; with notes or without.

    DIR/README.md           the sections that PhysioNet requires
    DIR/metadata.json       title, abstract, keywords, parents, for its forms
    DIR/LICENSE.txt         the terms
    DIR/RECORDS             one data file per line
    DIR/SHA256SUMS.txt      for `sha256sum -c`
    DIR/card/…              the figures of the README
    DIR/traces/… sft/… grpo/…  or  DIR/rows/…  and  DIR/bundle.json, DIR/run.json: see deepicd.bundle_manifest

Without notes a bundle has ids, codes, traces and a digest of each note; `deepicd rehydrate` restores the notes. The
config `verified` is left out of it.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cards import dataset_card
from cards.front_matter import LICENCE, LICENCE_LINK
from cards.rendering import render_template
from deepicd import bundle_manifest, records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import BUNDLE, DATASET
from deepicd.stage_records import BundleCounts, BundleRecord

TITLE = "MIMIC-IV-Ext-Reason: reasoning traces for ICD-10-CM diagnosis prediction at admission"
PREFIX = "MIMIC-IV-Ext-"  # required by PhysioNet of titles that use the name
ABSTRACT_WORDS = 250  # PhysioNet's limit
KEYWORDS = ["clinical reasoning", "ICD-10-CM", "diagnosis prediction", "discharge notes", "large language models"]
PARENTS = ["MIMIC-IV", "MIMIC-IV-Note: Deidentified free-text clinical notes"]
BATCH = 1024  # rows in memory at once
Row = dict[str, Any]
SUMS, RECORDS, LICENSE = "SHA256SUMS.txt", "RECORDS", "LICENSE.txt"


def write_bundle(
    folder: Path,
    out: Path,
    *,
    notes: bool = True,
    title: str | None = None,
    abstract: str | None = None,
    release: str = "1.0.0",
    overwrite: bool = False,
) -> BundleRecord:
    """Write a dataset folder as the submission folder `out`; return its record.

    Raises DeepicdError for a folder that is not a complete dataset, and for what PhysioNet would reject.
    """
    record = dataset_card.require_dataset(folder)
    title = validate_title(title or TITLE + (" (made-up records)" if record.origin == "synthetic" else ""))
    own_abstract = validate_abstract(abstract) if abstract is not None else None
    options = {
        "notes": notes, "title": title, "abstract": own_abstract, "release": validate_release(release),
        "record": storage.digest_json(records.make_portable(record.dump())),  # not of run.json, which has more to try
    }  # fmt: skip
    inputs = {config: folder / config for config in DATASET}
    plan = records.plan_run(BundleRecord, options=options, inputs=inputs)
    if done := records.find_finished(out, plan):
        return done
    records.refuse_other_content(out, plan, overwrite=overwrite)
    facts = dataset_card.read_facts(folder, record)
    fields = dataset_card.build_fields(facts) | {"notes": notes, "title": title, "release": release, "parents": PARENTS}
    fields["left_out"] = [] if notes else bundle_manifest.list_left_out(record.counts.rows)
    fields["configs"] = [config for config in fields["configs"] if config not in fields["left_out"]]
    if fields["left_out"] and fields["verification"]:
        fields["verification"] |= {"counts": None}
        facts.statistics.verified = None  # so that no figure has them
    fields["abstract"] = own_abstract or validate_abstract(render_template("abstract.txt.j2", fields))
    with records.open_fresh_folder(out, plan, facts.origin, overwrite=overwrite) as run:
        run.is_portable = True
        data = (
            copy_data_files(folder, run.folder, record)
            if notes
            else write_rows_without_notes(folder, run.folder, facts)
        )
        dataset_card.draw_figures(run.folder / "card", facts)
        fields["files"] = [{"path": name, "bytes": (run.folder / name).stat().st_size} for name in data]
        storage.write_text(run.folder / "README.md", render_template("physionet.md.j2", fields))
        storage.write_text(run.folder / LICENSE, render_template("license.txt.j2", fields))
        storage.write_json(run.folder / "metadata.json", _build_metadata(fields))
        storage.write_text(run.folder / RECORDS, "".join(f"{name}\n" for name in data))
        bundle_manifest.write_manifest(run.folder, record, notes=notes)
        sums = ((path, path.relative_to(run.folder).as_posix()) for path in storage.list_files(run.folder))
        storage.write_text(run.folder / SUMS, "".join(f"{storage.digest_path(path)}  {name}\n" for path, name in sums))
        run.notes += [f"Left out, as the bundle has no notes: the config {name}." for name in fields["left_out"]]
        run.counts = BundleCounts(
            rows=facts.statistics.rows, files=len(data), abstract_words=len(fields["abstract"].split())
        )
    return run.record


def validate_title(title: str) -> str:
    """Return the title. Raises DeepicdError for one that PhysioNet would reject."""
    if not title.strip() or ("mimic" in title.casefold() and not title.startswith(PREFIX)):
        raise DeepicdError(
            f"PhysioNet would reject the title {title!r}.",
            f"A title that uses the name MIMIC has to begin with {PREFIX}, for instance: {TITLE}",
        )
    return title.strip()


def validate_abstract(abstract: str) -> str:
    """Return the abstract on one line. Raises DeepicdError for one that is empty or over 250 words."""
    words = len(abstract.split())
    if not 0 < words <= ABSTRACT_WORDS:
        raise DeepicdError(f"The abstract has {words} words.", f"PhysioNet accepts 1 to {ABSTRACT_WORDS}.")
    return " ".join(abstract.split())


def validate_release(release: str) -> str:
    """Return the version number. Raises DeepicdError for anything else."""
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", release):
        raise DeepicdError(f"{release!r} is not a version number.", "PhysioNet numbers versions as in 1.0.0.")
    return release


def copy_data_files(folder: Path, out: Path, record: records.Record) -> list[str]:
    """Copy the dataset's parquet files unchanged; return their paths."""
    names = sorted(name for name in record.outputs if name.endswith(".parquet"))
    for name in names:
        with storage.atomic_write(out / name) as tmp:
            shutil.copyfile(folder / name, tmp)
    return names


def write_rows_without_notes(folder: Path, out: Path, facts: dataset_card.DatasetFacts) -> list[str]:
    """Write the rows without their notes, one file per split; return their paths."""
    names = []
    for split, paths in facts.statistics.files["grpo"].items():
        name = f"{bundle_manifest.ROWS}/{split}.parquet"
        traces = _read_traces([folder / path for path in facts.statistics.files["traces"].get(split, [])])
        rows = _read_rows_without_notes([folder / path for path in paths], traces)
        storage.write_parquet(out / name, rows, BUNDLE, facts.origin)
        names.append(name)
    return names


def _read_traces(paths: list[Path]) -> Iterator[Row]:
    """Yield the columns of `traces` that the bundle keeps."""
    columns = [name for name in DATASET["traces"].names if name in BUNDLE.names]
    for path in paths:
        for batch in storage.open_parquet(path, DATASET["traces"]).iter_batches(BATCH, columns=columns):
            yield from batch.to_pylist()


def _read_rows_without_notes(paths: list[Path], traces: Iterator[Row]) -> Iterator[Row]:
    """Yield one row per row of `grpo`, in the same order, which is that of the traces. Raises DeepicdError."""
    trace = next(traces, None)
    for path in paths:
        file = storage.open_parquet(path, DATASET["grpo"])
        for batch in file.iter_batches(BATCH, columns=["reward_model", "extra_info"]):
            for row in batch.to_pylist():
                extra = row["extra_info"]
                is_kept = trace is not None and trace["note_id"] == extra["note_id"]
                yield {
                    **(trace if trace is not None and is_kept else {}),
                    "note_id": extra["note_id"],
                    "icd_code": row["reward_model"]["ground_truth"],
                    "note_sha256": storage.digest_text(extra["note"]),
                }
                trace = next(traces, None) if is_kept else trace
    if trace is not None:
        raise DeepicdError(
            "The rows of `traces` are not in the order of `grpo`.",
            "Assemble the dataset again: deepicd assemble --cohort DIR --traces DIR OUT",
        )


def _build_metadata(fields: dict[str, Any]) -> dict[str, object]:
    """Return the fields of PhysioNet's forms. Authors are entered there."""
    return {
        "title": fields["title"],
        "abstract": fields["abstract"],
        "version": fields["release"],
        "resource_type": "Database",
        "access": "Credentialed" if fields["credentialed"] else "none: made-up records, only to try the submission",
        "license": LICENCE if fields["credentialed"] else "MIT",
        "license_link": LICENCE_LINK if fields["credentialed"] else "https://opensource.org/license/mit",
        "keywords": KEYWORDS,
        "parent_projects": PARENTS,
        "authors": [],
        "made_with": f"deepicd {fields['record']['version']}",
    }
