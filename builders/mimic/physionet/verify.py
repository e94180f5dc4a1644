"""Which release a copy is, whether it is whole, and whether hosp and note belong together.

Three witnesses: the files' checksums against SHA256SUMS.txt, the row counts against those of the known releases, and
the notes that have no admission, of which a pair of releases has its number. Everything here is counts.
"""

from collections.abc import Iterator, Sequence

from builders.mimic import local_copy
from builders.mimic.check_report import Check, Section
from builders.mimic.physionet import checksums, table_counts
from builders.mimic.physionet.copy_parts import Part
from builders.mimic.physionet.releases import MIMIC, NOTE, ORPHANS, Release, find_matching_releases
from builders.mimic.physionet.table_counts import PartCounts
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.log import track_progress

NEEDED = ("admissions", "diagnoses_icd", "discharge")
"""Tables without which there is no cohort. Titles can come from elsewhere, ages are not used."""


def check_parts(parts: Sequence[Part]) -> list[Section]:
    """What there is to say of each part, and of hosp and note together. Reads every table once."""
    with local_copy.open_database() as db:
        with track_progress("tables read", sum(len(part.files) for part in parts)) as advance:
            found = []
            for part in parts:
                found.append(table_counts.count_tables(db, part))
                advance(len(part.files))
        sections = [Section(f"{one.part.project.title} in {one.part.root}", list(_part(one))) for one in found]
        hosp, note = ([one for one in found if one.part.project is project] for project in (MIMIC, NOTE))
        if len(hosp) == len(note) == 1:
            readable = "admissions" in hosp[0].rows and "discharge" in note[0].rows
            orphans = table_counts.count_orphans(db) if readable else None
            sections.append(Section("The pair", list(_pair(hosp[0], note[0], orphans))))
        elif hosp and note:
            what = f"{len(hosp)} copies of hosp/ and {len(note)} of note/"
            how = "To check two that should belong together: deepicd doctor --mimic DIR --notes DIR"
            sections.append(Section("The pair", [Check("unknown", "pair", what, how)]))
        else:
            other = NOTE.title if hosp else MIMIC.title
            sections.append(Section("The pair", [Check("absent", "pair", f"no {other} was named to go with it")]))
    return sections


def _part(one: PartCounts) -> Iterator[Check]:
    release = None
    if one.made_up:
        yield Check("ok", "release", "none: every record is made up, as SYNTHETIC.json proves file by file")
    else:
        release = identify_release(one)
        yield _release(one, release)
        yield from _files(one.part)
    for table in one.part.project.tables:
        if table not in one.part.files:
            yield _absent(table)
        if table in one.rows:
            yield _count(table, one.rows[table], release, made_up=one.made_up)
        if error := one.errors.get(table):
            yield Check("differs", table, error.what, error.advice)
    if "discharge" in one.rows:
        found = f"{one.patients:,} patients, {one.surplus:,} notes beyond one a stay"
        if one.surplus and not one.made_up:
            meaning = "Release 2.2 has one note a stay; of several, the cohort takes the first."
            yield Check("differs", "notes", found, meaning)
        else:
            yield Check("ok", "notes", found)


def identify_release(one: PartCounts) -> Release | None:
    """The release that agrees with the most tables; None where none does, or several do equally."""
    candidates = () if one.made_up else find_matching_releases(one.rows)
    return candidates[0] if len(candidates) == 1 else None


def _release(one: PartCounts, release: Release | None) -> Check:
    if release is None:
        if candidates := find_matching_releases(one.rows):
            names = ", ".join(map(str, candidates))
            return Check("unknown", "release", f"one of {names}", "What is here has as many rows in each of them.")
        return Check(
            "unknown",
            "release",
            "no table has the row count of a known release",
            "Its release is one whose counts are not known here (MIMIC-IV 3.0 is), or rows were taken out or added.",
        )
    off = [table for table, rows in one.rows.items() if not release.agrees(table, rows)]
    if not off:
        return Check("ok", "release", f"{release}, by its row counts")
    agree = len(one.rows) - len(off)
    return Check("differs", "release", f"{release} by {agree} of {len(one.rows)} tables, but not by {', '.join(off)}")


def _files(part: Part) -> Iterator[Check]:
    """The files against the list of checksums beside them."""
    path = part.root / checksums.NAME
    if not path.is_file():
        yield Check("unknown", "checksums", f"there is no {checksums.NAME}", "So the row counts must do.")
        return
    try:
        sums = checksums.read_checksums(path)
    except DeepicdError as error:
        yield Check("differs", "checksums", error.what, error.advice)
        return
    here = {name: file for name in sums if (file := part.root / name).is_file()}
    if wrong := [name for name, file in here.items() if storage.digest_path(file) != sums[name]]:
        meaning = "Damaged, cut short or changed. Fetch again: what is right is kept."
        yield Check("differs", "checksums", f"{len(wrong)} of {len(here)} files differ: {', '.join(wrong)}", meaning)
    elif here:
        partial = "; a partial download is normal" if len(here) < len(sums) else ""
        yield Check("ok", "checksums", f"right for {len(here)} of the release's {len(sums)} files{partial}")
    if other := [file.name for file in part.files.values() if file.relative_to(part.root).as_posix() not in sums]:
        meaning = f"{checksums.NAME} names files as PhysioNet ships them; for these the row counts must do."
        yield Check("unknown", "checksums", f"none for {', '.join(other)}", meaning)


def _absent(table: str) -> Check:
    if table in NEEDED:
        return Check("differs", table, "is not here", "There is no cohort without it: fetch it.")
    return Check("absent", table, "is not here", "The cohort can be built without it.")


def _count(table: str, rows: int, release: Release | None, *, made_up: bool) -> Check:
    if release is None:
        return Check("ok" if made_up else "unknown", table, f"{rows:,} rows")
    if release.agrees(table, rows):
        return Check("ok", table, f"{rows:,} rows, as in {release.version}")
    expected = release.rows[table][0]
    if others := [other for other in find_matching_releases({table: rows}) if other.title == release.title]:
        meaning = f"As many as in {others[0].version}: tables of two releases stand side by side."
    elif rows < expected:
        meaning = "Rows are missing: the file was filtered, or cut short when it was unpacked."
    else:
        meaning = "There are rows too many: it was changed, or is of a release that is not known here."
    return Check("differs", table, f"{rows:,} rows, {release.version} has {expected:,}", meaning)


def _pair(hosp: PartCounts, note: PartCounts, orphans: int | None) -> Iterator[Check]:
    """Whether two parts belong together: by their releases, and by the notes without an admission (None: not known)."""
    expected = None
    if hosp.made_up != note.made_up:
        yield Check("differs", "pair", "one part is made up, the other is not", "No cohort should come from both.")
    elif hosp.made_up:
        yield Check("ok", "pair", "both made up")
    elif (mimic := identify_release(hosp)) and (notes := identify_release(note)):
        expected = ORPHANS.get((str(mimic), str(notes)))
        if expected is not None:
            yield Check("ok", "pair", f"{mimic} with {notes}, the usual pair")
        else:
            meaning = "How many notes of this pair have no admission is not known here. Usual is 3.1 with 2.2."
            yield Check("unknown", "pair", f"{mimic} with {notes}", meaning)
    else:
        yield Check("unknown", "pair", "not both releases were recognised")
    if orphans is not None:
        yield _orphans(orphans, note.rows["discharge"], expected)


def _orphans(orphans: int, notes: int, expected: int | None) -> Check:
    found = f"{orphans:,} of {notes:,} notes have no admission"
    if orphans == expected:
        return Check("ok", "orphans", f"{found}, as expected")
    if expected is not None:
        meaning = f"Expected {expected}: one of the two was changed, though its row counts are right."
        return Check("differs", "orphans", found, meaning)
    if orphans == 0:
        return Check("ok", "orphans", found)
    if orphans == notes:
        return Check("differs", "orphans", found, "The two share no stay: they do not belong together.")
    return Check("unknown", "orphans", found, "The cohort leaves them out.")
