"""`deepicd.api`: the one module for users of the library, whatever their own files are called."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deepicd import api

NOTE = (
    "Chief Complaint:\nChest pain\n\nHistory of Present Illness:\nPressure for two hours.\n\n"
    "Brief Hospital Course:\nStented.\n\nDischarge Diagnosis:\nNSTEMI\n"
)


def test_an_admission_note_has_what_was_known_at_admission() -> None:
    assert api.admission_note(NOTE) == (
        "Chief Complaint:\nChest pain\n\nHistory of Present Illness:\nPressure for two hours."
    )
    assert ("Brief Hospital Course", "Stented.") in api.sections(NOTE)


def test_answers_are_paid_and_codes_scored_dotted_or_not() -> None:
    [reward] = api.score(["<think>Crackles.</think><diagnosis>I50.23</diagnosis>"], ["I5021"])
    assert reward.total == pytest.approx(3.8)
    scores = api.evaluate(["I50.23", None, "no code"], ["I5021", "J189", "I10"])
    assert scores["chapter"].accuracy == pytest.approx(1 / 3) and scores["full"].macro_f1 == 0.0
    assert scores["full"].intervals == {}


def test_wrong_numbers_of_rows_and_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(api.DeepicdError, match="1 answers for 2 true codes"):
        api.evaluate(["I10"], ["I10", "I10"])
    with pytest.raises(api.DeepicdError, match="has 0 files"):
        api.guidelines(tmp_path, "I10")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: api.score(["x"], ["foo"]), "'foo' is not an ICD-10-CM code"),
        (lambda: api.score("abc", "abc"), "A text was given"),
        (lambda: api.evaluate([5], ["I10"]), "An answer is of type int"),  # type: ignore[list-item]
        (lambda: api.evaluate(["I10"], ["I10"], averaging="mean"), "no averaging 'mean'"),  # type: ignore[arg-type]
    ],
)
def test_what_can_mean_nothing_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(api.DeepicdError, match=message):
        call()


def test_evidence_links_a_claim_to_its_note() -> None:
    [claim] = api.evidence("The BP of 90/60 worries.", "Vitals: BP 90/60")
    assert claim.kind == "supported"


@pytest.mark.parametrize("order", ["theirs first", "ours first"])
def test_it_works_beside_scripts_that_have_the_names_of_its_packages(tmp_path: Path, order: str) -> None:
    for name in ("train", "cards", "builders"):
        (tmp_path / f"{name}.py").write_text(f"MINE = {name!r}\n")
    mine = [
        "import train, cards, builders",
        "assert (train.MINE, cards.MINE, builders.MINE) == ('train', 'cards', 'builders')",
    ]
    ours = [
        "from deepicd import api",
        f"assert api.admission_note({NOTE!r}).startswith('Chief Complaint')",
        "assert api.score(['<think>a</think><diagnosis>I10</diagnosis>'], ['I10'])[0].form == 1.0",
        "assert api.evaluate(['I10'], ['I10'])['full'].accuracy == 1.0",
    ]
    lines = mine + ours + mine + ours if order == "theirs first" else ours + mine + ours + mine
    (tmp_path / "script.py").write_text("\n".join(lines))
    path = str(Path(api.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_caller_has_imported_of_deepicd_stays_the_same_module() -> None:
    from train.rewards import score

    api.score([None], ["I10"])
    assert sys.modules["train.rewards.score"] is score
