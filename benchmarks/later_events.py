"""Precision and recall of the cues of later events, by which `deepicd build --strict` cuts a history.

    style    events    known   later  always cut  strict: cut  precision  recall  known cut
    foreign  own         412      48          46           47     92.2 %  97.9 %      1.0 %
    foreign  planted    2,310     601         120          301     98.0 %  50.1 %      0.3 %

Unit: a sentence of a history. `own`: gold's run-on histories (only the foreign style has them). `planted`: into each
history goes one sentence of the note's own hospital course, drawn by the seed, which tests the cues on every way in
which a course is told. `always cut` is without --strict. `known cut`: sentences known at admission that --strict cuts.
Run: python -m benchmarks.later_events --seed 201
"""

import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.foreign import FEWEST_WORDS, RUN_ON
from benchmarks.measure import RESULTS
from benchmarks.sections import GoldRecord, read_notes
from builders.cohort.later_events import remove_stay, tells_later_events
from builders.cohort.leakage import split_sentences
from builders.cohort.section_rules import COURSE, NARRATIVES
from builders.synthetic.discharge_note import Style
from builders.synthetic.synthesize import synthesize

STYLES: tuple[Style, ...] = ("mimic", "foreign")


@dataclass(slots=True)
class CueScore:
    """Sentences of histories: those known at admission, and those about later events."""

    known: int = 0
    known_cut: int = 0
    later: int = 0
    later_cut: int = 0
    later_always_cut: int = 0

    def add(self, sentence: str, *, is_later: bool) -> None:
        is_cut = tells_later_events(sentence)
        if is_later:
            self.later += 1
            self.later_cut += is_cut
            self.later_always_cut += not remove_stay(sentence)
        else:
            self.known += 1
            self.known_cut += is_cut

    @property
    def precision(self) -> float:
        cut = self.later_cut + self.known_cut
        return self.later_cut / cut if cut else 1.0

    @property
    def recall(self) -> float:
        return self.later_cut / self.later if self.later else 1.0


def score_notes(copy: Path, seed: int) -> Iterator[tuple[str, CueScore]]:
    """Yield ('own', score) if the copy's gold has run-on histories, and ('planted', score)."""
    rng, own, planted = random.Random(seed), CueScore(), CueScore()
    for _, gold in read_notes(copy):
        known = list(_list_sentences(gold, *NARRATIVES, is_known=True))
        later = list(_list_sentences(gold, RUN_ON, is_known=False))
        course = [text for text in _list_sentences(gold, COURSE, is_known=False) if _is_narrative(text)]
        for sentence in known:
            own.add(sentence, is_later=False)
            planted.add(sentence, is_later=False)
        for sentence in later:
            own.add(sentence, is_later=True)
        if known and course:
            planted.add(rng.choice(course), is_later=True)
    if own.later:
        yield "own", own
    yield "planted", planted


def _list_sentences(gold: list[GoldRecord], *sections: str, is_known: bool) -> Iterator[str]:
    for row in gold:
        if row["section"] in sections and bool(row["known_at_admission"]) is is_known:
            yield from (" ".join(sentence.split()) for sentence in split_sentences(row["text"]))


def _is_narrative(sentence: str) -> bool:
    """Return whether it could stand in a history: neither a heading nor an item of a problem list."""
    return len(sentence.split()) >= FEWEST_WORDS and sentence[0].isalpha() and not sentence.isupper()


@click.command()
@click.option("--seed", type=int, default=201)
@click.option("--admissions", type=int, default=1000)
def main(seed: int, admissions: int) -> None:
    heads = ("style", "events", "known", "later", "always cut", "strict: cut", "precision", "recall", "known cut")
    print("".join(f"{head:<12}" for head in heads))
    results = {}
    for style in STYLES:
        with tempfile.TemporaryDirectory() as folder:
            synthesize(Path(folder) / "copy", admissions, seed, style=style)
            scores = list(score_notes(Path(folder) / "copy", seed))
        for events, score in scores:
            shares = (score.precision, score.recall, score.known_cut / (score.known or 1))
            counts = (score.known, score.later, score.later_always_cut, score.later_cut)
            row = (style, events, *counts, *(f"{share:.1%}" for share in shares))
            print("".join(f"{value:<12}" for value in row))
            results[f"{style}-{events}"] = asdict(score)
    (RESULTS / "later_events.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
