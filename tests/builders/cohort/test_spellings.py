"""However codes, ids and line ends are written, build, audit and rehydrate give the same bytes."""

import gzip
from pathlib import Path

import duckdb
import pytest
from copies import discharge, note, stay, write_copy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.cohort.build import build
from builders.cohort.criteria import DEFAULT
from builders.cohort.leakage_audit import audit_copy
from builders.dataset.assemble import assemble
from builders.dataset.rehydrate import rehydrate
from cards.bundle import write_bundle
from deepicd.icd10cm import Code
from deepicd.stage_records import BuildRecord
from distill import run
from distill.recipe import Recipe

STRICT = DEFAULT.replace(strict=True)
TITLES = {
    "J189": "Pneumonia, unspecified organism",
    "A419": "Sepsis, unspecified organism",
    "I48": "Atrial fibrillation and flutter",
}
LEAK = "She was sent in with pneumonia, unspecified organism. She coughs."
DIAGNOSES = [
    *stay(20000001, [(1, "J189"), (2, "A419")]),
    *stay(20000002, [(1, "I48"), (1, "I214")]),
    *stay(20000003, [(1, "A419"), (2, "A419")]),
    *stay(20000004, [(1, "0389")], version=9),
]
NOTES = [discharge(20000000 + n, note("Cough", LEAK)) for n in range(1, 5)]

SPACES = st.sampled_from(["", " ", "\t", "\u00a0", "  \t", "\u2007"])


@st.composite
def spell(draw: st.DrawFn, value: str) -> str:
    """A code as some program may write it: dotted, in lower case, padded."""
    dotted = str(Code(value)) if draw(st.booleans()) else value
    return draw(SPACES) + draw(st.sampled_from([dotted, dotted.lower()])) + draw(SPACES)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cohort/, audit/, dataset/ and bundle/ of the copy as MIMIC writes it."""
    folder = tmp_path_factory.mktemp("plain")
    copy = write_copy(folder / "copy", DIAGNOSES, NOTES, TITLES)
    build(copy, copy, folder / "cohort", STRICT)
    audit_copy(copy, copy, folder / "audit")
    recipe = Recipe(name="once", engine="rehearsal", model="none", attempts=1)
    run.distill(folder / "cohort", folder / "traces", recipe, rehearse=True)
    assemble(folder / "cohort", folder / "traces", folder / "dataset")
    write_bundle(folder / "dataset", folder / "bundle", notes=False)
    return folder


def digests(record: BuildRecord) -> dict[str, str]:
    return {name: entry.sha256 for name, entry in record.outputs.items()}


def require_the_same(copy: Path, plain: Path, out: Path) -> None:
    written = build(copy, copy, out / "cohort", STRICT)
    for name in digests(written):
        assert (out / "cohort" / name).read_bytes() == (plain / "cohort" / name).read_bytes(), name
    audit_copy(copy, copy, out / "audit")
    assert (out / "audit/leakage.json").read_bytes() == (plain / "audit/leakage.json").read_bytes()
    restored = rehydrate(plain / "bundle", out / "dataset", copy, copy)
    assert not restored.counts.differences
    for path in (plain / "dataset").rglob("*.parquet"):
        assert path.read_bytes() == (out / "dataset" / path.relative_to(plain / "dataset")).read_bytes(), path.name


def test_the_plain_copy_has_what_spelling_can_lose(plain: Path) -> None:
    rows = duckdb.sql(f"select icd_code, flags, admission_note from '{plain}/cohort/t*.parquet'").fetchall()
    found = {code: (flags, "pneumonia" in text) for code, flags, text in rows}
    assert found["J189"] == (["sepsis second"], False)
    assert ("I214" in found) != ("I48" in found)  # of two codes with one rank the smaller


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_spelling_of_the_codes_gives_the_same_bytes(
    plain: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spelled")
    diagnoses = [
        row | ({"icd_code": data.draw(spell(str(row["icd_code"])))} if row["icd_version"] == 10 else {})
        for row in DIAGNOSES
    ]
    titles = {data.draw(spell(code)): title for code, title in TITLES.items()}
    require_the_same(write_copy(folder / "copy", diagnoses, NOTES, titles), plain, folder)


@pytest.mark.parametrize("end", ["\r\n", "\r\r\n", "\r"])
def test_any_line_ends_columns_and_ids_give_the_same_bytes(plain: Path, tmp_path: Path, end: str) -> None:
    copy = write_copy(tmp_path / "copy", DIAGNOSES, NOTES, TITLES)
    for path in copy.rglob("*.csv.gz"):
        header, _, rows = gzip.decompress(path.read_bytes()).decode().partition("\n")
        rows = rows.replace(",20000001,", ",20000001.0,").replace(",10\n", ",10.0\n")
        path.write_bytes(gzip.compress(("\ufeff" + f"{header.upper()}\n{rows}".replace("\n", end)).encode()))
    require_the_same(copy, plain, tmp_path)


def test_a_duckdb_file_of_doubles_and_dotted_codes_gives_the_same_bytes(plain: Path, tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", DIAGNOSES, NOTES, TITLES)
    with duckdb.connect(str(tmp_path / "mimic.duckdb")) as db:
        for path in copy.rglob("*.csv.gz"):
            name = path.name.removesuffix(".csv.gz")
            source = db.read_csv(str(path), all_varchar=True)
            columns = [
                f"{column}::double as {column.upper()}" if column in ("hadm_id", "icd_version") else column
                for column in source.columns
            ]
            db.execute(f"create table {name.upper()} as select {', '.join(columns)} from source")
        db.execute("update DIAGNOSES_ICD set icd_code = ' j18.9' where icd_code = 'J189'")
    require_the_same(tmp_path / "mimic.duckdb", plain, tmp_path)
