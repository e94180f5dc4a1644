"""The reward bench as tables for a terminal, and the cohort it is run on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import COHORT
from train.evaluation.questions import load_evaluation_split
from train.rewards.bench import TRUTH, VARIANTS

PROPERTIES = {
    "gold_earns_most": "the true code earns most, alone",
    "longer_prefix_never_less": "a longer correct prefix never pays less",
    "no_overlap_earns_least_of_well_formed": "no correct character earns least of all codes",
    "letters_in_third_place_earn_the_form": "C7A, M1A, Z3A … earn the form",
    "bounded": "no answer loses more than 10",
    "linear": "twice a hostile megabyte takes twice as long",
}


def load_codes(cohort: Path | None) -> tuple[list[Code], list[Code]]:
    """True codes of the test and of the training rows, of a cohort or a dataset folder. Raises DeepicdError."""
    if cohort is None:
        return [], []
    if (cohort / "test.parquet").is_file():
        test, train = (_codes(cohort / f"{split}.parquet") for split in ("test", "train"))
    elif (cohort / "grpo").is_dir():
        found = load_evaluation_split(str(cohort), "test")
        test, train = [one.code for one in found.questions], found.train
    else:
        raise DeepicdError(
            f"{cohort} is neither a cohort nor a dataset.",
            "Point at the output of `deepicd build` or `deepicd assemble`, or name none for the cases alone.",
        )
    if not test:
        raise DeepicdError(f"{cohort} has no test rows.", "A larger cohort has some.")
    return test, train


def _codes(path: Path) -> list[Code]:
    return [Code(value) for value in storage.read_table(path, COHORT, ["icd_code"])["icd_code"].to_pylist()]


def print_tables(found: Mapping[str, Any]) -> None:
    """Print the bench on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    cases = Table("answer", *VARIANTS, title=f"What an answer earns (true code {TRUTH})", title_justify="left")
    for case in found["cases"]:
        cases.add_row(case["case"], *(_number(case[variant]["total"]) for variant in VARIANTS))
    console.print(cases)
    if found["policies"]:
        title = f"What a policy earns a note, over {found['rows']:,} notes"
        policies = Table("policy", *VARIANTS, title=title, title_justify="left")
        for policy in found["policies"]:
            policies.add_row(policy["policy"], *(_number(policy[variant]) for variant in VARIANTS))
        console.print(policies)
    properties = Table("property", *VARIANTS, title="What training relies on", title_justify="left")
    for name, words in PROPERTIES.items():
        properties.add_row(words, *("yes" if found["properties"][variant][name] else "NO" for variant in VARIANTS))
    console.print(properties)


def _number(value: float) -> str:
    return f"{value:.2f}"
