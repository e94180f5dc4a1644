"""How much of a cohort the descriptions explain: stays and distinct codes by level of the match, and by chapter.

    {"stays": {"exact": 21_230, "5": 14_877, …, "none": 4_100}, "codes": {…}, "warnings": {…}, "chapters": {"1": {…}}}

A count of one to nine stays is None, here and in the figure: of a credentialed cohort no such cell may be shown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from deepicd import records, storage
from deepicd.icd10cm import CHAPTERS, Code, find_chapter
from deepicd.knowledge import icd10gm_crosswalk
from deepicd.knowledge.icd10gm_crosswalk import LEVELS, WARNINGS, Crosswalk
from deepicd.schema import COHORT, SPLITS
from deepicd.small_counts import SMALLEST_CELL
from deepicd.stage_records import CoverageCounts, CoverageRecord

NONE = "none"
ROWS = (*LEVELS, NONE)
FIGURE = "coverage.png"

Cells = dict[str, int | None]


def coverage(cohort: Path, descriptions: Path, out: Path | None = None) -> CoverageCounts:
    """The counts above; with `out` also OUT/coverage.png and OUT/run.json that hold them."""
    if out is None:
        return counts(stays(cohort), icd10gm_crosswalk.read_crosswalk(descriptions))
    plan = records.plan_run(CoverageRecord, options={}, inputs={"cohort": cohort, "descriptions": descriptions})
    if record := records.find_finished(out, plan):
        return record.counts
    origins = [storage.read_origin(path) for path in (*_files(cohort), descriptions)]
    with records.fresh_folder(out, plan, storage.combine_origins(origins)) as run:
        from scrapers.coverage_figure import draw  # matplotlib, which a table does not need

        run.counts = counts(stays(cohort), icd10gm_crosswalk.read_crosswalk(descriptions))
        draw(run.folder / FIGURE, run.counts)
    return run.record.counts


def stays(cohort: Path) -> Counter[Code]:
    """Stays by first diagnosis, all splits."""
    found: Counter[Code] = Counter()
    for path in _files(cohort):
        column = storage.open_parquet(path, COHORT).read(["icd_code"])["icd_code"]
        for entry in column.value_counts().to_pylist():
            found[Code.parse(entry["values"])] += entry["counts"]
    return found


def _files(cohort: Path) -> list[Path]:
    return [cohort / f"{split}.parquet" for split in SPLITS]


def counts(by_code: Mapping[Code, int], texts: Crosswalk) -> CoverageCounts:
    """Stays and codes by level, stays by warning, stays by chapter and level, and the texts there are by chapter."""
    of_stays, of_codes, of_warnings = Counter[str](), Counter[str](), Counter[str]()
    of_chapters = {chapter.number: Counter[str]() for chapter in CHAPTERS}
    for code, number in by_code.items():
        description = texts.description(code)
        level = description.level if description else NONE
        of_stays[level] += number
        of_codes[level] += 1
        of_chapters[code.chapter.number][level] += number
        if description:
            of_warnings[description.warning] += number
    described = Counter(find_chapter(value[:3]).number for value in texts.texts)
    return CoverageCounts(
        stays=_cells(of_stays, ROWS),
        codes={level: of_codes[level] for level in ROWS},
        warnings=_cells(of_warnings, WARNINGS),
        chapters={str(number): _cells(found, ROWS) for number, found in of_chapters.items()},
        described={str(chapter.number): described[chapter.number] for chapter in CHAPTERS},
    )


def _cells(found: Counter[str], names: tuple[str, ...]) -> Cells:
    return {name: found[name] if found[name] == 0 or found[name] >= SMALLEST_CELL else None for name in names}


def summary(counted: CoverageCounts) -> Iterator[str]:
    """The counts as lines of a table, each with its share."""
    yield f"{'level of the match':<22}{'stays':>10}{'share':>8}{'codes':>10}{'share':>8}"
    for level in ROWS:
        yield f"{level:<22}{_shares(counted.stays, level)}{_shares(counted.codes, level)}"
    yield ""
    yield f"{'warning':<22}{'stays':>10}{'share':>8}"
    for warning in WARNINGS:
        yield f"{warning:<22}{_shares(counted.warnings, warning)}"


def _shares(cells: Mapping[str, int | None], name: str) -> str:
    count = cells[name]
    if count is None:
        return f"{f'<{SMALLEST_CELL}':>10}{'':>8}"
    return f"{count:>10,}{count / (sum(filter(None, cells.values())) or 1):>8.1%}"
