"""Identify the release of a copy, and check that it is complete and that hosp and note belong together.

Three things are compared: checksums with SHA256SUMS.txt, row counts with those of the known releases, and the number of
notes without an admission with the known one of the two releases. Findings are counts, printed as lines:

    good     release      MIMIC-IV 3.1
    bad      admissions   546,000 rows, 3.1 has 546,028
             Rows are missing: the file was filtered, or cut short when it was unpacked.

Only `bad` is an error. `unknown`: it could not be determined. `absent`: it is optional.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import click

from builders.physionet.copy_parts import Part, PartCounts, count_orphans, count_tables
from builders.physionet.releases import (
    CHECKSUMS,
    MIMIC,
    NOTE,
    ORPHANS,
    Release,
    find_matching_releases,
    read_checksums,
)
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from deepicd.mimic.databases import open_database

NEEDED = ("admissions", "diagnoses_icd", "discharge")
"""Tables that a cohort needs. Titles can come from elsewhere; ages are not used."""
Status = Literal["good", "bad", "unknown", "absent"]
COLOURS = {"good": "green", "bad": "red", "unknown": "yellow", "absent": None}
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. Counts and reasons, never an id or a row."""

    status: Status
    what: str
    finding: str
    meaning: str = ""
    """What it means and what to do, if that is not obvious."""


@dataclass(frozen=True, slots=True)
class Section:
    """The findings about one part or machine."""

    title: str
    checks: Sequence[Check]


def list_checks(sections: Sequence[Section]) -> list[dict[str, str]]:
    """Return every finding as an object, for programs."""
    return [{"part": section.title} | asdict(check) for section in sections for check in section.checks]


def check_parts(parts: Sequence[Part]) -> list[Section]:
    """Return the findings about each part, and about hosp and note together. Reads every table once."""
    with open_database() as db:
        with track_progress("tables read", sum(len(part.files) for part in parts)) as advance:
            counts = []
            for part in parts:
                counts.append(count_tables(db, part))
                advance(len(part.files))
        sections = [
            Section(f"{counted.part.project.title} in {counted.part.root}", list(_check_part(counted)))
            for counted in counts
        ]
        hosp, note = ([counted for counted in counts if counted.part.project is project] for project in (MIMIC, NOTE))
        if len(hosp) == len(note) == 1:
            readable = "admissions" in hosp[0].rows and "discharge" in note[0].rows
            orphans = count_orphans(db) if readable else None
            sections.append(Section("The pair", list(_check_pair(hosp[0], note[0], orphans))))
        elif hosp and note:
            what = f"{len(hosp)} copies of hosp/ and {len(note)} of note/"
            how = "To check a pair, name both: deepicd doctor --mimic DIR --notes DIR"
            sections.append(Section("The pair", [Check("unknown", "pair", what, how)]))
        else:
            other = NOTE.title if hosp else MIMIC.title
            sections.append(Section("The pair", [Check("absent", "pair", f"no {other} was given to compare it with")]))
    return sections


def _check_part(counts: PartCounts) -> Iterator[Check]:
    release = None
    if counts.is_synthetic:
        yield Check("good", "release", "none: every record is made up, as SYNTHETIC.json proves file by file")
    else:
        release = identify_release(counts)
        yield _check_release(counts, release)
        yield from _check_files(counts.part)
    for table in counts.part.project.tables:
        if table not in counts.part.files:
            yield _report_absent(table)
        if table in counts.rows:
            yield _check_count(table, counts.rows[table], release, is_synthetic=counts.is_synthetic)
        if error := counts.errors.get(table):
            yield Check("bad", table, error.what, error.advice)
    if "discharge" in counts.rows:
        finding = f"{counts.patients:,} patients, {counts.surplus:,} notes beyond one per stay"
        if counts.surplus and not counts.is_synthetic:
            meaning = "Release 2.2 has one note per stay; of several, the cohort takes the first."
            yield Check("bad", "notes", finding, meaning)
        else:
            yield Check("good", "notes", finding)


def identify_release(counts: PartCounts) -> Release | None:
    """Return the release that agrees with most tables; None if none does, or several do equally."""
    candidates = () if counts.is_synthetic else find_matching_releases(counts.rows)
    return candidates[0] if len(candidates) == 1 else None


def _check_release(counts: PartCounts, release: Release | None) -> Check:
    if release is None:
        if candidates := find_matching_releases(counts.rows):
            names = ", ".join(map(str, candidates))
            return Check("unknown", "release", f"one of {names}", "These tables have as many rows in each of them.")
        return Check(
            "unknown",
            "release",
            "no table has the row count of a known release",
            "Its release is one whose counts are not known here (such as 3.0), or rows were removed or added.",
        )
    off = [table for table, rows in counts.rows.items() if not release.has_count(table, rows)]
    if not off:
        return Check("good", "release", f"{release}, by its row counts")
    agree = len(counts.rows) - len(off)
    return Check("bad", "release", f"{release} by {agree} of {len(counts.rows)} tables, but not by {', '.join(off)}")


def _check_files(part: Part) -> Iterator[Check]:
    """Compare the files with the list of checksums beside them."""
    path = part.root / CHECKSUMS
    if not path.is_file():
        yield Check("unknown", "checksums", f"there is no {CHECKSUMS}", "Only the row counts can be compared.")
        return
    try:
        sums = read_checksums(path)
    except DeepicdError as error:
        yield Check("bad", "checksums", error.what, error.advice)
        return
    present = {name: file for name in sums if (file := part.root / name).is_file()}
    if wrong := [name for name, file in present.items() if storage.digest_path(file) != sums[name]]:
        meaning = "They are damaged, cut short or changed. Fetch again: files that are right are kept."
        yield Check("bad", "checksums", f"{len(wrong)} of {len(present)} files differ: {', '.join(wrong)}", meaning)
    elif present:
        partial = "; a partial download is normal" if len(present) < len(sums) else ""
        yield Check("good", "checksums", f"right for {len(present)} of the release's {len(sums)} files{partial}")
    if other := [file.name for file in part.files.values() if file.relative_to(part.root).as_posix() not in sums]:
        meaning = f"{CHECKSUMS} names files as PhysioNet ships them; for these only row counts can be compared."
        yield Check("unknown", "checksums", f"none for {', '.join(other)}", meaning)


def _report_absent(table: str) -> Check:
    if table in NEEDED:
        return Check("bad", table, "is not here", "A cohort cannot be built without it: fetch it.")
    return Check("absent", table, "is not here", "The cohort can be built without it.")


def _check_count(table: str, rows: int, release: Release | None, *, is_synthetic: bool) -> Check:
    if release is None:
        return Check("good" if is_synthetic else "unknown", table, f"{rows:,} rows")
    if release.has_count(table, rows):
        return Check("good", table, f"{rows:,} rows, as in {release.version}")
    expected = release.rows[table][0]
    if others := [other for other in find_matching_releases({table: rows}) if other.title == release.title]:
        meaning = f"As many as in {others[0].version}: tables of two releases are mixed."
    elif rows < expected:
        meaning = "Rows are missing: the file was filtered, or cut short when it was unpacked."
    else:
        meaning = "There are too many rows: it was changed, or is from a release that is not known here."
    return Check("bad", table, f"{rows:,} rows, {release.version} has {expected:,}", meaning)


def _check_pair(hosp: PartCounts, note: PartCounts, orphans: int | None) -> Iterator[Check]:
    """Compare two parts: by their releases, and by the notes without an admission (None: unknown)."""
    expected = None
    if hosp.is_synthetic != note.is_synthetic:
        yield Check("bad", "pair", "one part is made up, the other is not", "Do not build a cohort from both.")
    elif hosp.is_synthetic:
        yield Check("good", "pair", "both made up")
    elif (mimic := identify_release(hosp)) and (notes := identify_release(note)):
        expected = ORPHANS.get((str(mimic), str(notes)))
        if expected is not None:
            yield Check("good", "pair", f"{mimic} with {notes}, the usual pair")
        else:
            meaning = "How many notes of this pair have no admission is not known here. The usual pair is 3.1 with 2.2."
            yield Check("unknown", "pair", f"{mimic} with {notes}", meaning)
    else:
        yield Check("unknown", "pair", "one of the releases was not recognised")
    if orphans is not None:
        yield _check_orphans(orphans, note.rows["discharge"], expected)


def _check_orphans(orphans: int, notes: int, expected: int | None) -> Check:
    finding = f"{orphans:,} of {notes:,} notes have no admission"
    if orphans == expected:
        return Check("good", "orphans", f"{finding}, as expected")
    if expected is not None:
        meaning = f"Expected {expected}: one of the two was changed, though its row counts are right."
        return Check("bad", "orphans", finding, meaning)
    if orphans == 0:
        return Check("good", "orphans", finding)
    if orphans == notes:
        return Check("bad", "orphans", finding, "The two share no stay: they do not belong together.")
    return Check("unknown", "orphans", finding, "The cohort leaves them out.")


def format_report(sections: Sequence[Section]) -> str:
    """Return findings as styled lines, a blank line between sections."""
    lines: list[str] = []
    for number, section in enumerate(sections):
        width = max(len(check.what) for check in section.checks)
        lines += [""] * (number > 0)
        lines.append(click.style(section.title, bold=True))
        for check in section.checks:
            status = click.style(f"{check.status:<7}", fg=COLOURS[check.status])
            lines.append(f"  {status}  {check.what:<{width}}  {check.finding}")
            meaning = textwrap.wrap(check.meaning, WIDTH - width - 13, break_long_words=False)
            lines += [f"{'':<{width + 13}}{line}" for line in meaning]
    return "\n".join(lines)


def require_no_difference(sections: Sequence[Section]) -> None:
    """Raise DeepicdError if a finding differs from what is expected."""
    wrong = [check.what for section in sections for check in section.checks if check.status == "bad"]
    if wrong:
        raise DeepicdError(f"These checks failed: {', '.join(wrong)}.", "See the explanation below each of them above.")
