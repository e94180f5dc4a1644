"""Count how many admission notes give their diagnosis away, by section and signal: `deepicd audit`.

The notes of every ICD-10 stay are extracted three ways in one scan: ours, ours with the paper's choice of sections, and
the published extraction. Each counts the notes that it keeps, one per stay, as `build` does; the published one those
that ours keeps and that have a main section. They are searched for the signals of builders.cohort.leakage.
OUT/leakage.json holds only counts (extraction → section → {"notes": n, "title": n, …}), OUT/leakage.png their shares.
Section 'any' is the whole note.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa

from builders.cohort.batch import find_reason
from builders.cohort.criteria import PRESETS
from builders.cohort.leakage import SIGNALS, Terms, find_section_signals
from builders.cohort.parallel import choose_processes, open_workers
from builders.cohort.sections import drop_references, extract_admission_sections, extract_hospital_course
from builders.cohort.stays import join_notes, load_terms, read_stays
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.log import track_progress
from deepicd.mimic import local_copy
from deepicd.small_counts import SMALLEST_CELL
from deepicd.stage_records import AuditCounts, AuditRecord

EXTRACTIONS = {"default": "ours", "paper": "ours, the paper's sections", "published": "the published extraction"}
ANY = "any"
ANY_SIGNAL = "any signal"

LABELS = {
    ANY_SIGNAL: "any signal",
    "title": "its title",
    "synonym": "a synonym",
    "code": "its code",
    "outcome": "words of\nthe end",
    "course": "a sentence of\nthe course",
    "later": "cues of\nlater events",
    "overlap": "8 words of\nthe course",
}

# Headers of the published extraction, rewritten from a description of what it does.
PUBLISHED_HEADERS = {
    "Allergies": "allergies:",
    "Chief Complaint": "chief complaint:",
    "History of Present Illness": "present illness:",
    "Past Medical History": "medical history:",
    "Social History": "social history:",
    "Family History": "family history:",
    "Physical Exam": "physical exam:",
    "Medications on Admission": "medications on admission:",
}
_PUBLISHED_SECTIONS = {
    name: re.compile(rf"{header}(.*?)\n\s*\n[^()|\\.\d:]+:", re.IGNORECASE | re.DOTALL)
    for name, header in PUBLISHED_HEADERS.items()
}

Counts = Counter[tuple[str, str, str]]  # (extraction, section, signal or 'notes') → notes


def audit_copy(mimic_root: Path, notes_root: Path, out: Path, *, overwrite: bool = False) -> AuditRecord:
    """Write OUT/leakage.json and leakage.png; return the record. Raises DeepicdError."""
    copy = local_copy.find_copy(mimic_root, notes_root)
    plan = records.plan_run(AuditRecord, options={}, inputs=copy.files)
    if done := records.find_finished(out, plan):
        return done
    with (
        records.open_fresh_folder(out, plan, copy.origin, overwrite=overwrite) as run,
        open_workers(choose_processes(copy.files["discharge"])) as map_in_order,
        local_copy.open_copy(copy, run.folder / ".spill") as db,
        track_progress("notes audited") as advance,
    ):
        read_stays(db, copy)
        total: Counts = Counter()
        counted = set[tuple[str, int]]()
        count = partial(count_signals, terms=load_terms(db))
        for note_counts in map_in_order(count, (notes.candidates for notes in join_notes(db, copy))):
            for extraction, hadm_id, counts in note_counts:
                if (extraction, hadm_id) not in counted:  # of several notes of a stay, the first
                    counted.add((extraction, hadm_id))
                    total.update(counts)
            advance(len(note_counts))
        if not total:
            raise DeepicdError(
                "The copy holds no note of an ICD-10 stay.", "Check that --mimic and --notes belong together."
            )
        leakage = tabulate_counts(total)
        run.counts = AuditCounts(leakage=leakage)
        storage.write_json(run.folder / "leakage.json", leakage)
        smallest = SMALLEST_CELL if copy.origin == "mimic" else 1  # no small cell of credentialed data in a figure
        draw_leakage(run.folder / "leakage.png", leakage, smallest=smallest)
    return run.record


def extract_published_sections(note: str) -> dict[str, str]:
    """Return section → text by the extraction that DeepICD-R1 builds on, faults included.

    It looks for a header anywhere in the note, in any case, and takes all text up to an empty line that is followed by
    words without brackets, bars, backslashes, full stops or digits, and a colon. So a colon in a paragraph ends a
    section, a discharge exam in brackets does not, and a section at the end of the note is not found. Line breaks
    become spaces. A note without any of the three main sections has none.
    """
    sections = {
        name: text
        for name, pattern in _PUBLISHED_SECTIONS.items()
        if (match := pattern.search(note)) and (text := " ".join(match[1].split()))
    }
    return sections if any(name in sections for name in PRESETS["paper"].required) else {}


def count_signals(batch: pa.RecordBatch, terms: Mapping[str, Terms]) -> list[tuple[str, int, Counts]]:
    """Return (extraction, hadm_id, counts of signals) for the notes that each keeps of a batch. Runs in workers."""
    result = []
    for note in batch.to_pylist():
        code = Code.find(note["icd_code"])
        if code is None or not note["text"]:
            continue
        kept = _extract_kept(note["text"])
        course = extract_hospital_course(note["text"]) if kept else ""
        for extraction, sections in kept.items():
            counts: Counts = Counter()
            by_section = find_section_signals(sections, terms[code.value], course)
            by_section[ANY] = set().union(*by_section.values())
            for section, signals in by_section.items():
                counts[extraction, section, "notes"] += 1
                for signal in signals:
                    counts[extraction, section, signal] += 1
                counts[extraction, section, ANY_SIGNAL] += bool(signals)
            result.append((extraction, note["hadm_id"], counts))
    return result


def _extract_kept(text: str) -> dict[str, dict[str, str]]:
    """Return extraction → sections of a note, for the extractions that keep it."""
    extractions = {}
    for name, criteria in PRESETS.items():
        sections = drop_references(extract_admission_sections(text, criteria))
        if find_reason(sections, "", criteria) is None:
            extractions[name] = sections
    if "default" in extractions and (published := extract_published_sections(text)):
        extractions["published"] = published
    return extractions


def tabulate_counts(counts: Counts) -> dict[str, dict[str, dict[str, int]]]:
    """Return extraction → section → the number of notes with the section, and of those with each signal in it."""
    table: dict[str, dict[str, dict[str, int]]] = {name: {} for name in EXTRACTIONS}
    for extraction, section, _ in sorted(counts):
        table[extraction][section] = {
            column: counts[extraction, section, column] for column in ("notes", ANY_SIGNAL, *SIGNALS)
        }
    return table


def format_leakage(leakage: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """Return lines for the terminal: one row per section, with shares of the notes that have it."""
    columns: tuple[str, ...] = (ANY_SIGNAL, *SIGNALS)
    lines = []
    for extraction, sections in leakage.items():
        lines.append(f"\n{EXTRACTIONS[extraction]:<30}{'notes':>9}" + "".join(f"{column:>12}" for column in columns))
        for section, counts in sorted(sections.items(), key=lambda item: (item[0] == ANY, item[0])):
            shares = [counts[column] / counts["notes"] for column in columns]
            lines.append(f"  {section:<28}{counts['notes']:>9,}" + "".join(f"{share:>12.1%}" for share in shares))
    return lines


def draw_leakage(path: Path, leakage: Mapping[str, Mapping[str, Mapping[str, int]]], *, smallest: int) -> None:
    """Draw, for each signal, the share of notes that have it, by extraction. Counts under `smallest` are drawn as 0."""
    from matplotlib.ticker import PercentFormatter

    from deepicd.figure_style import BLUE, ORANGE, SKY, open_figure, set_title

    styles = {"default": (BLUE, ""), "paper": (SKY, "//"), "published": (ORANGE, "xx")}
    columns = [ANY_SIGNAL, *SIGNALS]
    width = 0.8 / len(leakage)
    with open_figure(path, 4.2) as figure:
        axes = figure.add_subplot()
        with_a_signal: list[float] = []  # of each extraction
        for number, (extraction, sections) in enumerate(leakage.items()):
            whole = sections.get(ANY, {"notes": 0})
            shown = [count if (count := whole.get(column, 0)) >= smallest else 0 for column in columns]
            shares = [count / (whole["notes"] or 1) for count in shown]
            with_a_signal.append(shares[0])
            places = [place + (number - (len(leakage) - 1) / 2) * width for place in range(len(columns))]
            color, hatch = styles[extraction]
            bars = axes.bar(places, shares, width, color=color, hatch=hatch, label=EXTRACTIONS[extraction])
            axes.bar_label(bars, [f"{100 * share:.1f}" for share in shares], size=7, padding=2)
        axes.set_xticks(range(len(columns)), [LABELS[column] for column in columns])
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.margins(y=0.12)
        share = f"{with_a_signal[0]:.1%}" if with_a_signal[0] else "Few or none"
        finding = f"{share} of our admission notes may give their first diagnosis away"
        set_title(
            axes, finding, "% of admission notes by signal and extraction; the end and the course are those of the stay"
        )
        axes.legend()
