"""`deepicd synthesize`: a whole copy of made-up records, or notes for the stays of a hosp copy that exists.

    OUT/hosp/{patients,admissions,diagnoses_icd,d_icd_diagnoses}.csv.gz
    OUT/note/discharge.csv.gz
    OUT/gold.parquet              what each note says, part by part (see gold.py)
    OUT/SYNTHETIC.json, OUT/run.json

Made batch by batch in as many processes as there are cores, so memory does not grow with the copy. One seed, one copy,
byte for byte, however many processes.
Run: deepicd synthesize out/mimic --admissions 1000 --seed 42
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from builders.cohort.parallel import count_cores, open_workers
from builders.mimic import local_copy
from builders.mimic.tables import Table
from builders.synthetic.batches import PEOPLES_TABLES, Made, NotesWanted, PeopleWanted, Titles, make_notes, make_people
from builders.synthetic.disease_knowledge import KNOWLEDGE, knowledge
from builders.synthetic.extraction_gold import GOLD
from builders.synthetic.mimic_csv import COLUMNS, packed, table_file, table_path
from builders.synthetic.note_filler import LONGEST, USUAL_LENGTH
from builders.synthetic.stay import Stay
from builders.synthetic.stays import ICD9
from builders.synthetic.synthetic_proof import is_synthetic, write_mark
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import load_release
from deepicd.log import track_progress
from deepicd.stage_records import SynthesizeCounts, SynthesizeRecord

GENERATOR = "2"
"""Goes up with every change that makes other bytes from the same seed."""
GOLD_FILE = "gold.parquet"

STAYS_AT_ONCE = 512
"""Whose notes one process writes at a time for an existing copy."""
ALONE = 8
"""Batches up to which one process is faster than starting others, each of which reads the release first."""


def synthesize(
    out: Path,
    admissions: int = 1000,
    seed: int = 42,
    hosp: Path | None = None,
    *,
    length: int = USUAL_LENGTH,
    icd9_share: float = ICD9,
    processes: int | None = None,
    overwrite: bool = False,
) -> SynthesizeRecord:
    """Make the copy, or do nothing where `out` already holds this very one. Returns its record.

    Notes have `length` characters on average (10,500 in MIMIC-IV-Note), `icd9_share` of the stays have ICD-9 codes;
    `processes` is one a core unless given and changes no byte.

    With `hosp` (a copy's root or its hosp/ folder) only notes are made, one for each stay with a diagnosis, and
    `admissions` has no say. They count as made up only where that copy is proven to be.
    """
    if not USUAL_LENGTH <= length <= LONGEST // 2:
        raise DeepicdError(
            f"Notes of {length:,} characters on average cannot be made up.",
            f"Ask for {USUAL_LENGTH:,} to {LONGEST // 2:,}: --note-length 10500",
        )
    if processes is not None and processes < 1:
        raise DeepicdError(f"{processes} processes make nothing.", "Give a number from 1 on, or none: one a core.")
    if hosp is None:
        return _whole_copy(out, admissions, seed, length, icd9_share, processes, overwrite)
    return _notes_for(hosp, out, seed, length, processes, overwrite)


def _whole_copy(
    out: Path,
    admissions: int,
    seed: int,
    length: int,
    icd9_share: float,
    processes: int | None,
    overwrite: bool,
) -> SynthesizeRecord:
    from builders.synthetic.admissions import MOST_ADMISSIONS
    from builders.synthetic.patients import batches

    if not 1 <= admissions <= MOST_ADMISSIONS:
        raise DeepicdError(
            f"{admissions:,} admissions cannot be made up.", f"Ask for 1 to {MOST_ADMISSIONS:,}: --admissions 1000"
        )
    if seed < 0:
        raise DeepicdError(f"{seed} is no seed.", "Give a whole number from 0 on: --seed 42")
    plan = records.plan_run(
        SynthesizeRecord,
        options={
            "admissions": admissions,
            "seed": seed,
            "length": length,
            "icd9_share": icd9_share,
            "generator": GENERATOR,
        },
        inputs={"knowledge": KNOWLEDGE},
    )
    if done := records.find_finished(out, plan):
        return done
    wanted = [PeopleWanted(batch, length) for batch in batches(admissions, seed, icd9_share)]
    with records.fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
        with table_file(run.folder, "hosp/d_icd_diagnoses") as dictionary:
            dictionary.append(packed(_dictionary()))
        if processes is None:
            processes = count_cores() if len(wanted) > ALONE else 1
        with (
            open_workers(processes) as in_order,
            track_progress("admissions made up", admissions) as advance,
        ):
            made = in_order(make_people, wanted)
            counts, chapters = _write(run, PEOPLES_TABLES, made, lambda done: advance(done["admissions"]))
        run.counts = SynthesizeCounts(
            admissions=counts["admissions"],
            admissions_entered_twice=counts["admissions_entered_twice"],
            diagnoses=counts["diagnoses"],
            notes=counts["notes"],
            notes_icd10=counts["notes_icd10"],
            notes_icd9=counts["notes_icd9"],
            notes_without_admission=counts["notes_without_admission"],
            patients=counts["patients"],
            icd10_notes_by_chapter=chapters,
        )
        files = [*(table_path(run.folder, name) for name in COLUMNS), run.folder / GOLD_FILE]
        write_mark(run.folder, files, generator=GENERATOR, seed=seed)
        run.notes.append("Every record is made up; SYNTHETIC.json proves it file by file.")
    return run.record


def _notes_for(
    hosp: Path, out: Path, seed: int, length: int, processes: int | None, overwrite: bool
) -> SynthesizeRecord:
    from builders.synthetic.hosp_copy import HospCopy

    copy = HospCopy.find(hosp)
    local_copy.check_codes(Table.at(copy.files["diagnoses_icd"], "diagnoses_icd"))
    made_up = is_synthetic(copy.root, copy.files.values())
    plan = records.plan_run(
        SynthesizeRecord,
        options={"hosp": True, "seed": seed, "length": length, "generator": GENERATOR},
        inputs={"knowledge": KNOWLEDGE, **copy.files},
    )
    if done := records.find_finished(out, plan):
        return done
    with records.fresh_folder(out, plan, "synthetic" if made_up else "mimic", overwrite=overwrite) as run:
        titles, stays = copy.titles(), copy.stays_with_diagnoses()
        if processes is None:
            processes = count_cores() if stays > ALONE * STAYS_AT_ONCE else 1
        with open_workers(processes) as in_order, track_progress("notes written", stays) as advance:
            wanted = (NotesWanted(some, _first_titles(some, titles), seed, length) for some in _numbered(copy.stays()))
            made = in_order(make_notes, wanted)
            counts, _ = _write(run, ("note/discharge",), made, lambda done: advance(done["notes"]))
            run.counts = SynthesizeCounts(
                notes=counts["notes"], notes_icd10=counts["notes_icd10"], notes_icd9=counts["notes_icd9"]
            )
        if not titles:
            run.notes.append("The copy has no d_icd_diagnoses: titles are the release's, and ours for ICD-9.")
        if made_up:
            files = [table_path(run.folder, "note/discharge"), run.folder / GOLD_FILE]
            write_mark(run.folder, files, generator=GENERATOR, seed=seed)
        else:
            run.notes.append(
                "The texts are made up, but ids and codes are those of a copy that does not prove itself synthetic: "
                "no SYNTHETIC.json, and all of it is treated as credentialed."
            )
    return run.record


def _dictionary() -> Iterator[tuple[str, int, str]]:
    """d_icd_diagnoses: ICD-9 codes used here, then the whole release with its categories, as MIMIC's own holds both."""
    yield from ((code, 9, title) for code, title in sorted(knowledge().icd9_titles.items()))
    titles = {**load_release().titles, **knowledge().retired_titles}
    yield from ((code, 10, title) for code, title in sorted(titles.items()))


def _numbered(stays: Iterable[Stay]) -> Iterator[list[tuple[int, Stay]]]:
    """Some stays at a time, ordered by patient and time, each with the number of its patient's note."""
    before, seq = -1, 0
    some: list[tuple[int, Stay]] = []
    for stay in stays:
        seq = seq + 1 if stay.subject_id == before else 1
        before = stay.subject_id
        some.append((seq, stay))
        if len(some) == STAYS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _first_titles(stays: Iterable[tuple[int, Stay]], titles: Titles) -> Titles:
    """Only those that their notes need: the whole dictionary is too much to hand to a process each time."""
    return {stay.first: titles[stay.first] for _, stay in stays if stay.first in titles}


def _write(
    run: records.Run[SynthesizeRecord],
    tables: Iterable[str],
    made: Iterable[Made],
    advance: Callable[[Mapping[str, int]], None],
) -> tuple[Mapping[str, int], dict[str, int]]:
    """Append every piece to the tables and to the gold; counts, and ICD-10 notes by chapter."""
    counts, chapters = Counter[str](), Counter[int]()
    with ExitStack() as stack:
        files = {name: stack.enter_context(table_file(run.folder, name)) for name in tables}
        gold = stack.enter_context(storage.open_parquet_writer(run.folder / GOLD_FILE, GOLD, run.origin))
        for piece in made:
            for name, chunk in piece.chunks.items():
                files[name].append(chunk)
            gold.write_table(piece.gold.replace_schema_metadata(gold.schema.metadata))
            counts.update(piece.counts)
            chapters.update(piece.chapters)
            advance(piece.counts)
    return counts, {str(chapter): number for chapter, number in sorted(chapters.items())}
