"""The funnel: notes left after each step of a build, and why others were lost. OUT/funnel.json, and on the terminal.

{"steps": [{"step": "discharge notes", "rows": 615, "lost": {}}, …], "rows": 342, "codes": 197, "paper": {…}}
"""

from collections.abc import Iterator, Mapping

from builders.cohort.unknown_headers import UnknownHeader
from deepicd.paper import MIMIC_REASON
from deepicd.stage_records import Funnel, FunnelStep, UnknownHeaders

# The size of the paper's cohort, and the steps before it on MIMIC-IV 3.1 with Note 2.2.
PAPER = {"rows": MIMIC_REASON.samples, "codes": MIMIC_REASON.codes}
KNOWN = {"discharge notes": 331_793, "with an admission": 331_732, "of an ICD-10 stay": 122_288}

SECOND_NOTE, ICU_STAY, NO_SPLIT = "second note of a stay", "ICU stay", "not in the file of splits"

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("discharge notes", ()),
    ("with an admission", ("no admission",)),
    ("of an ICD-10 stay", ("no diagnosis", "two ICD versions", "not ICD-10")),
    ("with a first ICD-10-CM diagnosis", ("no ICD-10-CM code",)),
    ("with admission sections", ("no admission section", "only a reference")),
    ("within the limits of length", ("too short", "too long", "too many tokens")),
    ("one note per stay", (SECOND_NOTE,)),
    ("of a stay without ICU", (ICU_STAY,)),
    ("in the file of splits", (NO_SPLIT,)),
)
OPTIONAL = {"of a stay without ICU", "in the file of splits"}
"""Steps that only some builds have."""


def build_funnel(notes: int, lost: Mapping[str, int], codes: int, icu: Mapping[str, int] | None = None) -> Funnel:
    """Return the funnel, given the number of all notes, the losses by reason, and rows with and without ICU stays."""
    rows, steps = notes, []
    for step, reasons in STEPS:
        losses = {reason: lost[reason] for reason in reasons if lost.get(reason)}
        rows -= sum(losses.values())
        if losses or step not in OPTIONAL:
            steps.append(FunnelStep(step=step, rows=rows, lost=losses))
    return Funnel(steps=steps, rows=rows, codes=codes, paper=PAPER, icu=dict(icu or {}))


def format_funnel(funnel: Funnel) -> Iterator[str]:
    """Yield lines for the terminal: rows, their share, the same step of MIMIC-IV 3.1 + Note 2.2, and the losses."""
    total = funnel.steps[0].rows or 1
    yield f"{'notes':>10}{'of all':>9}{'3.1 + 2.2':>11}  step"
    for step in funnel.steps:
        lost = "".join(f"  −{number:,} {reason}" for reason, number in step.lost.items())
        known = f"{KNOWN[step.step]:,}" if step.step in KNOWN else ""
        yield f"{step.rows:>10,}{step.rows / total:>9.1%}{known:>11}  {step.step}{lost}"
    yield f"{funnel.rows:>10,}{'':>9}{PAPER['rows']:>11,}  cohort (the paper's)"
    for which, rows in funnel.icu.items():
        option = "--without-icu" if which == "without" else "the default"
        yield f"{rows:>10,}{'':>9}{PAPER['rows']:>11,}  {which} ICU stays ({option})"
    yield f"{funnel.codes:>10,}{'':>9}{PAPER['codes']:>11,}  distinct codes (the paper's)"


def count_headers(headers: Mapping[UnknownHeader, int]) -> UnknownHeaders:
    """Return how many distinct headers were cut and kept, and how often."""
    counts = UnknownHeaders()
    for is_kept, (distinct, times) in {False: ("cut", "times_cut"), True: ("kept", "times_kept")}.items():
        chosen = {key: number for key, number in headers.items() if key.is_kept is is_kept}
        counts = counts.model_copy(update={distinct: len({key.header for key in chosen}), times: sum(chosen.values())})
    return counts
