"""Score the sections that `deepicd build` keeps of notes in other hospitals' style, seed by seed.

    style    seed  notes  known  kept      right     stay   leaked    run on  left
    foreign  101   601    9,512  98.1 %    97.0 %    8,211  0.05 %    48      48

`kept`: lines known at admission that are extracted, under whatever section; `right`: under their own. `leaked`: lines
of the stay that are extracted. `run on`: lines of a history that tell of the days after admission, counted apart;
`left`: those that are extracted. A line counts as extracted if a line of the extraction holds it, since hospitals
differ in what stands on a header's line; a line of the stay that the admission part also has does not count.
Run: python -m benchmarks.foreign --style foreign --seed 101 --seed 102 --show 20
"""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from benchmarks.measure import RESULTS
from benchmarks.sections import WITH_LABS, GoldRecord, read_notes, split_lines
from builders.cohort.batch import ILLNESS
from builders.cohort.criteria import Criteria
from builders.cohort.sections import drop_references, extract_admission_sections
from builders.synthetic.discharge_note import Style
from builders.synthetic.synthesize import synthesize

RUN_ON = "Later History"
FEWEST_WORDS = 4
"""A shorter line counts as extracted only as the end of a line: 'Home' is not 'Home oxygen at night'."""


@dataclass(slots=True)
class StyleScore:
    """Lines over all notes of a copy."""

    notes: int = 0
    known: int = 0
    kept: int = 0
    right: int = 0
    stay: int = 0
    leaked: int = 0
    run_on: int = 0
    run_on_left: int = 0
    leaks: list[str] = field(default_factory=list)
    """The leaked lines with their sections."""
    losses: list[str] = field(default_factory=list)
    """The known lines that are missing, with their sections."""


def score_copy(copy: Path, criteria: Criteria = WITH_LABS) -> StyleScore:
    score = StyleScore()
    for text, gold in read_notes(copy):
        add_note(score, extract_kept_sections(text, criteria), gold)
    return score


def extract_kept_sections(text: str, criteria: Criteria) -> dict[str, str]:
    """Return a note's sections; none if it is excluded, since its history only points elsewhere."""
    found = extract_admission_sections(text, criteria)
    sections = drop_references(found)
    return {} if ILLNESS in found and ILLNESS not in sections else sections


def add_note(score: StyleScore, parts: dict[str, str], gold: Iterable[GoldRecord]) -> None:
    """Add one note's sections, as extracted, to a score."""
    rows = [(str(row["section"]), line, bool(row["known_at_admission"])) for row in gold for line in clean(row["text"])]
    by_section = {section: list(clean(text)) for section, text in parts.items()}
    extracted = [line for lines in by_section.values() for line in lines]
    known = [line for _, line, is_known in rows if is_known]
    score.notes += 1
    for section, line, is_known in rows:
        is_extracted = is_held(line, extracted)
        if is_known:
            score.known += 1
            score.kept += is_extracted
            score.right += is_held(line, by_section.get(section, []))
            if not is_extracted:
                score.losses.append(f"{section}: {line}")
        elif not is_held(line, known):
            is_run_on = section == RUN_ON
            score.run_on += is_run_on
            score.run_on_left += is_run_on and is_extracted
            score.stay += not is_run_on
            if is_extracted and not is_run_on:
                score.leaked += 1
                score.leaks.append(f"{section}: {line}")


def clean(text: str) -> Iterable[str]:
    return (" ".join(line.split()) for line in split_lines(text.replace("\r", "\n")))


def is_held(line: str, lines: Iterable[str]) -> bool:
    """Return whether one of the lines is this line, ends in it after a label, or holds it if it is long enough.

    >>> is_held("Home", ["Home oxygen"]), is_held("Home", ["DISPOSITION: Home"])
    (False, True)
    """
    is_long = len(line.split()) >= FEWEST_WORDS
    return any(line == other or other.endswith(f" {line}") or (is_long and line in other) for other in lines)


@click.command()
@click.option("--style", type=click.Choice(["mimic", "foreign", "mixed"]), default="foreign")
@click.option("--seed", "seeds", type=int, multiple=True, default=(101, 102, 103))
@click.option("--admissions", type=int, default=1000)
@click.option("--show", type=int, default=0, help="Leaked and missing lines to print per seed.")
def main(style: Style, seeds: tuple[int, ...], admissions: int, show: int) -> None:
    heads = ("style", "seed", "notes", "known", "kept", "right", "stay", "leaked", "run on", "left")
    print("".join(f"{head:<9}" for head in heads))
    results = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            synthesize(Path(folder) / "copy", admissions, seed, style=style)
            score = score_copy(Path(folder) / "copy")
        shares = (score.kept / score.known, score.right / score.known, score.leaked / score.stay)
        kept, right, leaked = (f"{share:.2%}" for share in shares)
        row = (style, seed, score.notes, score.known, kept, right, score.stay, leaked, score.run_on, score.run_on_left)
        print("".join(f"{value:<9}" for value in row))
        for line in [
            *(f"  leaked {leak}" for leak in score.leaks[:show]),
            *(f"  lost {x}" for x in score.losses[:show]),
        ]:
            print(line)
        results[f"{style}-{seed}"] = {
            name: value for name, value in asdict(score).items() if name not in ("leaks", "losses")
        }
    (RESULTS / "foreign.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
