"""The sealed outcome stays sealed: nothing that makes a prompt, a dataset or a card can read it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.dataset.assemble import AssembleOptions, assemble
from cards.dataset_card import write_card
from deepicd import outcome, storage
from deepicd.errors import DeepicdError
from deepicd.outcome import Outcome, read_codes, read_outcomes
from deepicd.schema import COHORT, OUTCOME
from distill.recipe import Recipe
from distill.run import distill

REPOSITORY = Path(__file__).parent.parent.parent
PACKAGES = ("deepicd", "scrapers", "guidelines", "builders", "distill", "train", "cards")
MAY_OPEN = {
    "builders/cohort/outcome.py",  # writes it
    "builders/dataset/code_support.py",  # reads the codes alone, which the config multi has as answers
    "distill/verification/cases.py",  # reads it for checks of finished traces
    "distill/verification/claims.py",  # says in which of its sections a quotation stands
    "train/rewards/borne_out.py",  # turns it into a number per answer
}
"""The short list: files that import deepicd.outcome. None of them makes a prompt for teacher or student."""


def list_product() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            yield file.relative_to(REPOSITORY).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def imports_outcome(tree: ast.Module) -> bool:
    return any(
        (isinstance(node, ast.ImportFrom) and node.module == "deepicd.outcome")
        or (isinstance(node, ast.ImportFrom) and node.module == "deepicd" and "outcome" in {a.name for a in node.names})
        or (isinstance(node, ast.Import) and "deepicd.outcome" in {a.name for a in node.names})
        for node in ast.walk(tree)
    )


def test_only_the_files_on_the_short_list_can_open_an_outcome() -> None:
    importing = {name for name, tree in list_product() if imports_outcome(tree)}
    unsealing = {
        name
        for name, tree in list_product()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "is_sealed"
    }
    assert importing == MAY_OPEN
    assert unsealing == {"deepicd/outcome.py"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty stays whose notes say SECRET of the time after admission, and nowhere else."""
    folder = tmp_path_factory.mktemp("sealed")
    stays = range(20000001, 20000021)
    diagnoses = [row for hadm_id in stays for row in stay(hadm_id, [(1, "I214"), (2, "I10")])]
    text = note("Chest pain", "Pressure for two hours. It woke her, and she was pale.").replace("LEAK", "SECRET")
    copy = write_copy(folder / "copy", diagnoses, [discharge(hadm_id, text) for hadm_id in stays])
    build(copy, copy, folder / "cohort")
    return folder / "cohort"


def test_reading_it_as_any_other_table_is_refused(cohort: Path) -> None:
    path = cohort / "outcome" / "train.parquet"
    for schema in (OUTCOME, COHORT):
        with pytest.raises(DeepicdError, match="is sealed"):
            storage.open_parquet(path, schema)
    with pytest.raises(DeepicdError, match="is not sealed"):
        storage.open_parquet(cohort / "train.parquet", OUTCOME, is_sealed=True)
    with pytest.raises(DeepicdError, match="may not read the sealed outcome"):
        list(read_outcomes(cohort, "train", reader="distill"))  # type: ignore[arg-type]
    with pytest.raises(DeepicdError, match="may not read the sealed outcome"):
        list(read_outcomes(cohort, "train", reader="assemble"))  # type: ignore[arg-type]
    with pytest.raises(DeepicdError, match="may not read the codes"):
        list(read_codes(cohort, "train", reader="verify"))  # type: ignore[arg-type]


def test_assemble_reads_codes_and_no_word(cohort: Path) -> None:
    assert next(read_codes(cohort, "train", reader="assemble"))[1] == ("I214", "I10")


@pytest.mark.slow
def test_a_reader_outside_the_list_does_not_even_type_check(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(
        "from pathlib import Path\nfrom deepicd.outcome import Outcome, read_outcomes\n"
        "read_outcomes(Path(), 'train', reader='card')\n"
        "def build_prompt(note: str) -> str: return note\n"
        "def tell(outcome: Outcome) -> str: return build_prompt(outcome)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "stage.py"]
    done = subprocess.run(command, cwd=tmp_path, env={"MYPYPATH": str(REPOSITORY), "PATH": ""},
                          capture_output=True, text=True, check=False)  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if line.startswith("stage.py")]
    assert [line.split(":")[1] for line in errors if "error" in line] == ["3", "5"], done.stdout + done.stderr


def test_an_outcome_shows_nothing_when_it_is_printed(cohort: Path) -> None:
    found = next(read_outcomes(cohort, "train", reader="verify"))
    assert "SECRET" in found.reveal("Brief Hospital Course")
    assert (repr(found), str(found), f"{found}") == ("Outcome()",) * 3
    assert isinstance(found, Outcome)


def test_a_cohort_of_an_earlier_version_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="holds no sealed outcome"):
        list(outcome.read_outcomes(tmp_path, "train", reader="verify"))


def test_no_prompt_trace_dataset_or_card_has_a_word_of_it(cohort: Path, tmp_path: Path) -> None:
    recipe = Recipe(name="test", engine="rehearsal", model="none")
    distill(cohort, tmp_path / "traces", recipe, rehearse=True)
    assemble(cohort, tmp_path / "traces", tmp_path / "dataset", AssembleOptions(config="multi"))
    write_card(tmp_path / "dataset")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    tables = [path for path in files if path.suffix == ".parquet"]
    assert len(tables) >= 7
    assert not [path for path in tables if "SECRET" in str(pq.read_table(path).to_pydict())]
    assert not [path for path in files if b"SECRET" in path.read_bytes()]
    assert not [path for path in cohort.glob("*.parquet") if "SECRET" in str(pq.read_table(path).to_pydict())]
    assert "SECRET" in str(pq.read_table(cohort / "outcome" / "train.parquet").to_pydict())
