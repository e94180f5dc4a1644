"""`deepicd audit`: how often admission notes give their diagnosis away, by section and signal; counts only.

The notes of every ICD-10 stay are extracted three ways from one scan, ours, ours with the paper's choice of sections,
and the published extraction, and each is searched for the signals of builders.cohort.leakage. OUT/leakage.json holds
extraction → section → {"notes": n, "title": n, …}, OUT/leakage.png the shares. The section 'any' is the whole note.
"""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from builders.cohort.criteria import PRESETS
from builders.cohort.leakage import ANY, EXTRACTIONS, SIGNALS, Terms, find_section_signals
from builders.cohort.parallel import choose_processes, open_workers
from builders.cohort.published_extraction import extract_published_sections
from builders.cohort.sections import extract_admission_sections, extract_hospital_course
from builders.cohort.stays import join_notes, load_terms, read_stays
from builders.mimic import local_copy
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.log import track_progress
from deepicd.small_counts import SMALLEST_CELL
from deepicd.stage_records import AuditCounts, AuditRecord

Counts = Counter[tuple[str, str, str]]  # (extraction, section, signal or 'notes') → notes


def audit_copy(mimic_root: Path, notes_root: Path, out: Path, *, overwrite: bool = False) -> AuditRecord:
    """Write OUT/leakage.json and leakage.png; the record. Raises DeepicdError."""
    copy = local_copy.find_copy(mimic_root, notes_root)
    plan = records.plan_run(AuditRecord, options={}, inputs=copy.files)
    if done := records.find_finished(out, plan):
        return done
    with (
        records.fresh_folder(out, plan, copy.origin, overwrite=overwrite) as run,
        open_workers(choose_processes(copy.files["discharge"])) as in_order,
        local_copy.open_copy(copy, run.folder / ".spill") as db,
        track_progress("notes audited") as advance,
    ):
        read_stays(db, copy)
        total: Counts = Counter()
        count = partial(count_signals, terms=load_terms(db))
        for counted in in_order(count, (notes.to_read for notes in join_notes(db, copy))):
            total.update(counted)
            advance(counted["default", ANY, "notes"])
        if not total:
            raise DeepicdError(
                "The copy holds no note of an ICD-10 stay.", "Check that --mimic and --notes belong together."
            )
        leakage = tabulate_counts(total)
        run.counts = AuditCounts(leakage=leakage)
        storage.write_json(run.folder / "leakage.json", leakage)
        from builders.cohort.leakage_figure import draw

        smallest = SMALLEST_CELL if copy.origin == "mimic" else 1  # no small cell of credentialed data in a figure
        draw(run.folder / "leakage.png", leakage, smallest=smallest)
    return run.record


def count_signals(batch: pa.RecordBatch, terms: Mapping[str, Terms]) -> Counts:
    """Count the signals in one batch of joined notes; runs in whatever process."""
    counted: Counts = Counter()
    for note in batch.to_pylist():
        code = Code.find(note["icd_code"])
        if code is None or not note["text"]:
            continue
        course = extract_hospital_course(note["text"])
        extractions = {name: extract_admission_sections(note["text"], criteria) for name, criteria in PRESETS.items()}
        extractions["published"] = extract_published_sections(note["text"])
        for extraction, parts in extractions.items():
            found = find_section_signals(parts, terms[code.value], course)
            found[ANY] = set().union(*found.values()) if found else set()
            for section, signals in found.items():
                counted[extraction, section, "notes"] += 1
                for signal in signals:
                    counted[extraction, section, signal] += 1
                counted[extraction, section, "any signal"] += bool(signals)
    return counted


def tabulate_counts(counted: Counts) -> dict[str, dict[str, dict[str, int]]]:
    """Extraction → section → how many notes have the section, and how many of those each signal in it."""
    found: dict[str, dict[str, dict[str, int]]] = {name: {} for name in EXTRACTIONS}
    for extraction, section, _ in sorted(counted):
        found[extraction][section] = {
            column: counted[extraction, section, column] for column in ("notes", "any signal", *SIGNALS)
        }
    return found


def format_leakage(leakage: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """For the terminal: a row a section, shares of the notes that have it."""
    columns: tuple[str, ...] = ("any signal", *SIGNALS)
    rows = []
    for extraction, sections in leakage.items():
        rows.append(f"\n{EXTRACTIONS[extraction]:<30}{'notes':>9}" + "".join(f"{column:>12}" for column in columns))
        for section, counts in sorted(sections.items(), key=lambda item: (item[0] == ANY, item[0])):
            shares: list[Any] = [counts[column] / counts["notes"] for column in columns]
            rows.append(f"  {section:<28}{counts['notes']:>9,}" + "".join(f"{share:>12.1%}" for share in shares))
    return rows
