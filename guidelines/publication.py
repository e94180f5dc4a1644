"""Write parsed years as a dataset folder for the Hub: OUT/sections/fy2025.parquet, one per year, and OUT/README.md.

    load_dataset("out/guideline-dataset", split="fy2025")

Guidelines are a work of the US government and may be redistributed. A year that was made up for demonstration is
included only with a card that says so.
"""

import shutil
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepicd import __version__, records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import SECTIONS
from deepicd.stage_records import GuidelinesDatasetCounts, GuidelinesDatasetRecord
from guidelines.parse import read_year

MEANING = {
    "fiscal_year": "Fiscal year of the guidelines, October to September",
    "id": "How the guidelines cite the section: `I.C.4.a.3.b`; unique in a year",
    "parent": "Id of the section above; null for the outermost",
    "level": "0 for Sections I to IV and the appendix, 1 for `A.`, 2 for `1.` (the chapters), 3 for `a.`, …",
    "chapter": "1–22 for chapter guidelines, null elsewhere",
    "label": "Number as printed: `a.`, `3)`, `(b)`",
    "title": "Title as printed",
    "text": "Its own text, one line per paragraph, `- ` before a list item; sections below it have rows of their own",
    "codes": "Codes, categories and ranges that title and text name: as printed, and first and last without dot",
    "see": "Ids of the sections that the text refers to",
    "first_page": "First page of the PDF, counted from 1",
    "last_page": "Last page, sections below included",
    "marks": "How `text` was printed from `start` up to `end`: `bold` (changed), `underline` (moved), `italics`",
}
DEMONSTRATION = """
> **Made up for demonstration.** At least one of these years is not the official guidelines but a short text in their
> form. Never code by it.
"""


class TableCounts(NamedTuple):
    """The counts of a year's table that the card shows."""

    sections: int
    words: int
    codes: int
    pages: int
    audited_words: int | None
    """Pieces of words that a second library reads alike; None for a year that was not audited."""


def build_dataset(years: list[Path], out: Path, *, overwrite: bool = False) -> GuidelinesDatasetRecord:
    """Write the tables of years and a card into a folder; return the run's record."""
    by_year = sorted((read_year(folder).fiscal_year, folder) for folder in years)
    sources = {f"fy{year}": folder / "sections.parquet" for year, folder in by_year}
    audited = {f"fy{year}": read_year(folder).record.counts.audited_words for year, folder in by_year}
    if len(sources) < len(by_year):
        names = ", ".join(f"fy{year}" for year, _ in by_year)
        raise DeepicdError(f"A year is given twice: {names}.", "Give each year's folder once.")
    plan = records.plan_run(GuidelinesDatasetRecord, options={}, inputs=sources)
    if done := records.find_finished(out, plan):
        return done
    origin = storage.combine_origins(storage.read_origin(path) for path in sources.values())
    with records.open_fresh_folder(out, plan, origin, overwrite=overwrite) as run:
        (run.folder / "sections").mkdir()
        tables = {}
        for name, source in sources.items():
            storage.open_parquet(source, SECTIONS).close()
            copy = shutil.copyfile(source, run.folder / "sections" / f"{name}.parquet")
            tables[name] = _count_table(copy, audited[name])
        run.counts = GuidelinesDatasetCounts(rows={name: counts.sections for name, counts in tables.items()})
        storage.write_text(run.folder / "README.md", render_card(tables, origin))
    return run.record


def render_card(tables: dict[str, TableCounts], origin: storage.Origin) -> str:
    """Return the README of the folder; every number in it is counted from the tables."""
    template = Template((files("guidelines") / "publication.md").read_text(encoding="utf-8"))
    data = [f"      - split: {name}\n        path: sections/{name}.parquet" for name in tables]
    rows = [
        f"| `{name}` | {counts.sections:,} | {counts.words:,} | {counts.codes:,} | {counts.pages:,} |"
        for name, counts in tables.items()
    ]
    columns = [f"| `{field.name}` | {_format_type(field.type)} | {MEANING[field.name]} |" for field in SECTIONS]
    return template.substitute(
        license="cc0-1.0" if origin == "synthetic" else "other\nlicense_name: us-government-work",
        data="\n".join(data),
        split=next(iter(tables)),
        years=", ".join(name.upper() for name in tables),
        warning=DEMONSTRATION if origin == "synthetic" else "",
        rows="\n".join(rows),
        columns="\n".join(columns),
        audited=" ".join(_format_audit(name, counts.audited_words) for name, counts in tables.items()),
        version=__version__,
    )


def _format_audit(name: str, words: int | None) -> str:
    """Return what a card says of the audit of a year."""
    if words is None:
        return f"{name.upper()}: not audited."
    return f"{name.upper()}: a second PDF library reads the same {words:,} pieces of words in the same order."


def _count_table(path: Path, audited_words: int | None) -> TableCounts:
    table = pq.read_table(path)
    return TableCounts(
        sections=table.num_rows,
        words=sum(len(text.split()) for text in table["text"].to_pylist()),
        codes=pc.sum(pc.list_value_length(table["codes"])).as_py(),
        pages=pc.max(table["last_page"]).as_py(),
        audited_words=audited_words,
    )


def _format_type(kind: pa.DataType) -> str:
    return str(kind).replace("element: ", "").replace("item: ", "")
