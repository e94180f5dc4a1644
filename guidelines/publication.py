"""Parsed years → a dataset folder for the Hub: OUT/sections/fy2025.parquet, one a year, and OUT/README.md.

    load_dataset("out/guideline-dataset", split="fy2025")

Guidelines are a work of the US government and free to pass on; a year made up for demonstration is carried along only
under a card that says so.
"""

import shutil
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepicd import __version__, records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import SECTIONS
from deepicd.stage_records import GuidelinesDatasetCounts, GuidelinesDatasetRecord
from guidelines import parsed_year

MEANING = {
    "fiscal_year": "Fiscal year of the guidelines, October to September",
    "id": "How the guidelines cite the section: `I.C.4.a.3.b`; unique in a year",
    "parent": "Id of the section above; null for the outermost",
    "level": "0 for Sections I to IV and the appendix, 1 for `A.`, 2 for `1.` (the chapters), 3 for `a.`, …",
    "chapter": "1–22 for chapter guidelines, null elsewhere",
    "label": "Number as printed: `a.`, `3)`, `(b)`",
    "title": "Title as printed",
    "text": "Its own text, a line a paragraph, `- ` before a list item; sections below it have rows of their own",
    "codes": "Codes, categories and ranges that title and text name: as printed, and first and last without dot",
    "see": "Ids of the sections that the text points to",
    "first_page": "First page of the PDF, counted from 1",
    "last_page": "Last page, sections below included",
    "marks": "How `text` was printed from `start` up to `end`: `bold` (changed), `underline` (moved), `italics`",
}


def build_dataset(years: list[Path], out: Path, *, overwrite: bool = False) -> GuidelinesDatasetRecord:
    """Put years' tables and a card into a folder; the run's record."""
    read = sorted((parsed_year.read_year(year) for year in years), key=lambda year: year.fiscal_year)
    names = [f"fy{year.fiscal_year}" for year in read]
    if len(set(names)) < len(names):
        raise DeepicdError(f"A year is named twice: {', '.join(names)}.", "Name each year's folder once.")
    sources = {f"fy{parsed_year.read_year(path).fiscal_year}": path / "sections.parquet" for path in years}
    plan = records.plan_run(GuidelinesDatasetRecord, options={}, inputs={name: sources[name] for name in names})
    if done := records.find_finished(out, plan):
        return done
    origin = storage.combine_origins(storage.read_origin(path) for path in sources.values())
    with records.fresh_folder(out, plan, origin, overwrite=overwrite) as run:
        for name in names:
            storage.open_parquet(sources[name], SECTIONS).close()
            (run.folder / "sections").mkdir(exist_ok=True)
            shutil.copyfile(sources[name], run.folder / "sections" / f"{name}.parquet")
        tables = {name: _figures(run.folder / "sections" / f"{name}.parquet") for name in names}
        run.counts = GuidelinesDatasetCounts(rows={name: figures["sections"] for name, figures in tables.items()})
        storage.write_text(run.folder / "README.md", render_card(tables, origin))
    return run.record


def render_card(tables: dict[str, dict[str, Any]], origin: storage.Origin) -> str:
    """The README of the folder; every figure in it is counted from the tables."""
    template = Template((files("guidelines") / "publication.md").read_text(encoding="utf-8"))
    data = [f"      - split: {name}\n        path: sections/{name}.parquet" for name in tables]
    rows = [
        f"| `{name}` | {figures['sections']:,} | {figures['words']:,} | {figures['codes']:,} | {figures['pages']:,} |"
        for name, figures in tables.items()
    ]
    return template.substitute(
        license="cc0-1.0" if origin == "synthetic" else "other\nlicense_name: us-government-work",
        data="\n".join(data),
        split=next(iter(tables)),
        years=", ".join(name.upper() for name in tables),
        warning=DEMONSTRATION if origin == "synthetic" else "",
        rows="\n".join(rows),
        columns="\n".join(f"| `{field.name}` | {_type(field.type)} | {MEANING[field.name]} |" for field in SECTIONS),
        version=__version__,
    )


DEMONSTRATION = """
> **Made up for demonstration.** At least one of these years is not the official guidelines but a short text in their
> form. Never code by it.
"""


def _figures(table_path: Path) -> dict[str, Any]:
    table = pq.read_table(table_path)
    return {
        "sections": table.num_rows,
        "words": sum(len(text.split()) for text in table["text"].to_pylist()),
        "codes": pc.sum(pc.list_value_length(table["codes"])).as_py(),
        "pages": pc.max(table["last_page"]).as_py(),
    }


def _type(kind: Any) -> str:
    return str(kind).replace("element: ", "").replace("item: ", "")
