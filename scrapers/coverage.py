"""How much of a cohort the descriptions explain: stays and distinct codes by level of the match, and by chapter.

    {"stays": {"exact": 21_230, "5": 14_877, …, "none": 4_100}, "codes": {…}, "warnings": {…}, "chapters": {"1": {…}}}

A count of one to nine stays is None, here and in the figure: cells of a credentialed cohort that small are withheld.
The figure corresponds to the paper's Figure 3: texts by chapter, and the stays that they explain.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from deepicd import records, storage
from deepicd.icd10cm import CHAPTERS, Code, find_chapter
from deepicd.knowledge.icd10gm import LEVELS, WARNINGS, Crosswalk, read_crosswalk
from deepicd.schema import COHORT, SPLITS
from deepicd.small_counts import SMALLEST_CELL, is_small
from deepicd.stage_records import CoverageCounts, CoverageRecord

NONE = "none"
ROWS = (*LEVELS, NONE)
FIGURE = "coverage.png"

# One hue: the closer the match, the darker; grey for stays without a text
COLOURS = {"exact": "#08306B", "5": "#2171B5", "4": "#6BAED6", "3": "#C6DBEF", "none": "#D9D9D9"}
LABELS = {"exact": "the code itself", "5": "5 characters", "4": "4 characters", "3": "3 characters", "none": "no text"}

Cells = dict[str, int | None]


def measure_coverage(cohort: Path, descriptions: Path, out: Path | None = None) -> CoverageCounts:
    """Return the counts above; with `out`, also write OUT/coverage.png and OUT/run.json."""
    if out is None:
        return count_coverage(count_stays(cohort), read_crosswalk(descriptions))
    plan = records.plan_run(CoverageRecord, options={}, inputs={"cohort": cohort, "descriptions": descriptions})
    if record := records.find_finished(out, plan):
        return record.counts
    origins = [storage.read_origin(path) for path in (*_list_split_files(cohort), descriptions)]
    with records.open_fresh_folder(out, plan, storage.combine_origins(origins)) as run:
        run.counts = counts = count_coverage(count_stays(cohort), read_crosswalk(descriptions))
        draw_figure(run.folder / FIGURE, counts)
    return counts


def count_stays(cohort: Path) -> Counter[Code]:
    """Return the stays per first diagnosis, over all splits."""
    stays: Counter[Code] = Counter()
    for path in _list_split_files(cohort):
        column = storage.open_parquet(path, COHORT).read(["icd_code"])["icd_code"]
        for entry in column.value_counts().to_pylist():
            stays[Code.parse(entry["values"])] += entry["counts"]
    return stays


def _list_split_files(cohort: Path) -> list[Path]:
    return [cohort / f"{split}.parquet" for split in SPLITS]


def count_coverage(stays: Mapping[Code, int], texts: Crosswalk) -> CoverageCounts:
    """Return stays and codes by level, stays by warning, stays by chapter and level, and texts by chapter."""
    stays_by_level, codes_by_level, stays_by_warning = Counter[str](), Counter[str](), Counter[str]()
    by_chapter = {chapter.number: Counter[str]() for chapter in CHAPTERS}
    for code, number in stays.items():
        description = texts.find_description(code)
        level = description.level if description else NONE
        stays_by_level[level] += number
        codes_by_level[level] += 1
        by_chapter[code.chapter.number][level] += number
        if description:
            stays_by_warning[description.warning] += number
    described = Counter(find_chapter(value[:3]).number for value in texts.texts)
    return CoverageCounts(
        stays=_withhold_small(stays_by_level, ROWS),
        codes={level: codes_by_level[level] for level in ROWS},
        warnings=_withhold_small(stays_by_warning, WARNINGS),
        chapters={str(number): _withhold_small(levels, ROWS) for number, levels in by_chapter.items()},
        described={str(chapter.number): described[chapter.number] for chapter in CHAPTERS},
    )


def _withhold_small(counts: Counter[str], names: tuple[str, ...]) -> Cells:
    return {name: None if is_small(counts[name]) else counts[name] for name in names}


def format_summary(counts: CoverageCounts) -> Iterator[str]:
    """Yield the lines of a table of the counts, each with its share."""
    yield f"{'level of the match':<22}{'stays':>10}{'share':>8}{'codes':>10}{'share':>8}"
    for level in ROWS:
        yield f"{level:<22}{_format_cell(counts.stays, level)}{_format_cell(counts.codes, level)}"
    yield ""
    yield f"{'warning':<22}{'stays':>10}{'share':>8}"
    for warning in WARNINGS:
        yield f"{warning:<22}{_format_cell(counts.warnings, warning)}"


def _format_cell(cells: Mapping[str, int | None], name: str) -> str:
    count = cells[name]
    if count is None:
        return f"{f'<{SMALLEST_CELL}':>10}{'':>8}"
    return f"{count:>10,}{_share(cells, name):>8.1%}"


def _share(cells: Mapping[str, int | None], name: str) -> float:
    """Return a cell as a share of all cells that are not withheld; 0 for a withheld cell and for empty tables."""
    return (cells[name] or 0) / (sum(filter(None, cells.values())) or 1)


def draw_figure(path: Path, counts: CoverageCounts) -> None:
    """Write texts by chapter beside stays by level of the match. Same counts, same bytes."""
    from deepicd.figure_style import draw_bars, name_chapter, open_figure, set_title

    names = [name_chapter(chapter.roman, chapter.title) for chapter in CHAPTERS]
    described = [counts.described[str(chapter.number)] for chapter in CHAPTERS]
    with open_figure(path, 6.2) as figure:
        shares, texts = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
        left = [0.0] * len(CHAPTERS)
        for level, label in LABELS.items():
            widths = [100 * _share(counts.chapters[str(chapter.number)], level) for chapter in CHAPTERS]
            shares.barh(names, widths, left=left, color=COLOURS[level], height=0.72, label=label)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        draw_bars(texts, names, described, [f"{number:,}" for number in described])
        shares.set_xlim(0, 100)
        shares.set_xlabel("% of the chapter's stays")
        texts.set_xlabel("ICD-10-GM codes with a text")
        without = counts.stays["none"]
        finding = (
            "Descriptions by chapter"
            if without is None
            else f"{1 - _share(counts.stays, 'none'):.0%} of stays have a text"
        )
        set_title(shares, finding, "first diagnoses by characters on which a text matches")
        figure.legend(*shares.get_legend_handles_labels(), loc="outside lower right", ncols=5)
