"""Score the rules of `deepicd.verification` against planted expectations that are right, wrong or beside the point.

Stays are made up, so what became of each is known from the generator, not from the rules: its condition under one of
its names, diagnoses that are coded and not in the note, new drugs. Each is planted into a rehearsed trace as asserted,
weighed or excluded, beside diseases and drugs that neither note nor outcome have. A planted sentence counts as what the
rules say of its name.

Run: python -m benchmarks.borne_out [COPY] (a folder of `deepicd synthesize`; without it, one is made)
"""

import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.measure import RESULTS, describe_machine
from builders.cohort.build import build
from builders.cohort.criteria import Criteria
from builders.synthetic.clinical_case import Case, build_case
from builders.synthetic.generator_knowledge import Diagnosis, load_knowledge
from builders.synthetic.mimic_csv import HospCopy
from builders.synthetic.synthesize import synthesize
from deepicd import storage
from deepicd.icd10cm import Code
from deepicd.outcome import Outcome, read_outcomes
from deepicd.schema import COHORT, SPLITS
from deepicd.verification.borne_out import Forecast, Verdict, find_borne_out, list_expectations
from deepicd.verification.outcome_text import read_outcome
from distill.rehearsal_claims import INVENTED_DRUGS
from distill.rehearsal_trace import rehearse

ADMISSIONS, SEED = 2_500, 77123
GOAL = 0.9

ASSERTED = ("The work-up will show {}.", "This is {}.", "The patient has {}.", "{} explains all of it.", "In sum, {}.",
            "Everything adds up to {}.", "The course will be that of {}.")  # fmt: skip
WEIGHED = ("One has to consider {}.", "{} is possible.", "The picture would fit {}.", "Possible {}, to be confirmed.",
           "The differential includes {}.")  # fmt: skip
EXCLUDED = ("There is no {}.", "{} is unlikely.", "The findings argue against {}.", "{} can be ruled out.",
            "Nothing here speaks for {}.", "This rules out {}.", "It is not {}.", "{} is excluded.")  # fmt: skip
DRUG_ASSERTED = ("The patient will be given {}.", "Treatment with {} follows.", "{} will be started.")
DRUG_EXCLUDED = ("There is no need for {}.", "The patient will not need {}.")


Frames = tuple[str, ...]


class Planted(NamedTuple):
    name: str
    sentence: str
    gold: Verdict
    kind: str
    """'condition', 'coded', 'drug', 'procedure', 'other disease', 'other drug'; with its stance."""


@dataclass
class Scores:
    pairs: Counter[tuple[Verdict, Verdict]]
    """(gold, found) → sentences."""
    kinds: Counter[tuple[str, bool]]

    def get_precision(self, verdict: Verdict) -> float:
        total = sum(number for (_, found), number in self.pairs.items() if found is verdict)
        return self.pairs[verdict, verdict] / total if total else 1.0

    def get_recall(self, verdict: Verdict) -> float:
        total = sum(number for (gold, _), number in self.pairs.items() if gold is verdict)
        return self.pairs[verdict, verdict] / total if total else 1.0


class Stay(NamedTuple):
    note: str
    code: Code
    title: str
    case: Case
    outcome: Outcome

    @property
    def later(self) -> str:
        return self.outcome.reveal().lower()


def plant(stay: Stay, chance: random.Random) -> Iterator[Planted]:
    """Yield planted sentences of a stay, each about another thing."""
    condition = stay.case.condition
    names = [name for name in (condition.name, *condition.other_names) if len(name.split()) <= 6 and "," not in name]
    is_new = names and condition.revealing.search(stay.note) is None and stay.code.chapter.number not in (18, 21)
    truths: list[tuple[str, str, Frames, Frames, Frames]]
    truths = [("condition", chance.choice(names), ASSERTED, EXCLUDED, WEIGHED)] if is_new else []
    truths += [("coded", name, ASSERTED, EXCLUDED, WEIGHED) for name in _list_coded(stay)[:2]]
    truths += [("drug", drug, DRUG_ASSERTED, DRUG_EXCLUDED, ()) for drug in _list_new_drugs(stay)[:1]]
    for kind, thing, asserted, excluded, weighed in truths:
        if thing.lower() in stay.note.lower():
            continue
        stance, frames, gold = chance.choice(
            [("asserted", asserted, Verdict.CONFIRMED), ("excluded", excluded, Verdict.REFUTED)]
            + ([("weighed", weighed, Verdict.CONFIRMED)] if weighed else [])
        )
        yield Planted(thing, chance.choice(frames).format(thing), gold, f"{kind} {stance}")
    if name := _draw_other_disease(stay, chance):
        stance, frames = chance.choice([("asserted", ASSERTED), ("excluded", EXCLUDED), ("weighed", WEIGHED)])
        yield Planted(name, chance.choice(frames).format(name), Verdict.UNTOUCHED, f"other disease {stance}")
    if drugs := [drug for drug in INVENTED_DRUGS if drug not in stay.later and drug not in stay.note.lower()]:
        drug = chance.choice(drugs)
        yield Planted(drug, chance.choice(DRUG_ASSERTED).format(drug), Verdict.UNTOUCHED, "other drug asserted")


def _list_coded(stay: Stay) -> list[str]:
    """Return titles, up to a comma, of codes that the history does not name, and whose words the note does not have."""
    known = load_knowledge().comorbidity_of
    titles = (
        Code(value).title
        for value in stay.outcome.icd_codes[1:]
        if value[0] not in "RYZVWX" and getattr(known.get(Diagnosis(value, 10)), "history", None) is None
    )
    names = (title.partition(",")[0] for title in titles if title)
    return [name for name in names if len(name.split()) < 5 and not _shares_words(name, stay.note)]


def _shares_words(name: str, text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in re.findall(r"[a-z]{5,}", name.lower()))


def _list_new_drugs(stay: Stay) -> list[str]:
    """Return first words of the condition's treatment that the discharge medications have, and the note has not."""
    drugs = [phrase.say(random.Random(1), stay.case.facts).split()[0] for phrase in stay.case.condition.treatment]
    medicines, note = stay.outcome.reveal("Discharge Medications").lower(), stay.note.lower()
    return [
        drug
        for drug in drugs
        if drug.isalpha() and drug != "Vitamin" and drug.lower() in medicines and drug.lower() not in note
    ]


def _draw_other_disease(stay: Stay, chance: random.Random) -> str | None:
    """Return the name of a condition of which neither note nor outcome have a word."""
    for _ in range(20):
        other = chance.choice(sorted(load_knowledge().by_code.items()))[1]
        texts = stay.later + stay.note + stay.title + " ".join(Code(c).title or "" for c in stay.outcome.icd_codes)
        if other.revealing.search(texts) is None and not _shares_words(other.name, texts):
            return other.name
    return None


def read_stays(copy: Path, cohort: Path) -> Iterator[Stay]:
    hosp = HospCopy.find(copy)
    titles, stays = hosp.read_titles(), {stay.hadm_id: stay for stay in hosp.read_stays()}
    for split in SPLITS:
        rows = storage.read_table(cohort / f"{split}.parquet", COHORT).to_pylist()
        for row, outcome in zip(rows, read_outcomes(cohort, split, reader="verify"), strict=True):
            case = build_case(stays[row["hadm_id"]], titles, SEED)
            yield Stay(row["admission_note"], Code(row["icd_code"]), row["icd_title"], case, outcome)


def score(stays: Sequence[Stay], misses: list[str] | None = None) -> Scores:
    """Return the scores of planted sentences; `misses` collects what was judged otherwise than gold says."""
    scores = Scores(Counter(), Counter())
    for place, stay in enumerate(stays):
        chance = random.Random(f"plant:{place}")
        trace = rehearse(stay.note, stay.code, "", f"plant:{place}").text.rpartition("\n\n")[0]
        planted = list(plant(stay, chance))
        start = len(trace) + 2
        forecasts = hold(f"{trace}\n\n{' '.join(item.sentence for item in planted)}", stay)
        for item in planted:
            end = start + len(item.sentence)
            found = _amount([one for one in forecasts if start <= one.start < end])
            scores.pairs[item.gold, found] += 1
            scores.kinds[item.kind, item.gold is found] += 1
            if misses is not None and item.gold is not found:
                misses.append(f"{item.kind}: {item.gold} → {found}: {item.sentence!r}")
            start = end + 1
    return scores


def hold(trace: str, stay: Stay) -> list[Forecast]:
    titles = [title for value in stay.outcome.icd_codes if (title := Code(value).title)]
    outcome = read_outcome(stay.outcome.reveal_sections(), titles)
    return find_borne_out(list_expectations(trace, stay.note, outcome.names), outcome)


def _amount(forecasts: Sequence[Forecast]) -> Verdict:
    verdicts = {one.verdict for one in forecasts}
    return next((one for one in (Verdict.REFUTED, Verdict.CONFIRMED) if one in verdicts), Verdict.UNTOUCHED)


def main(copy: Path | None = None) -> None:
    with TemporaryDirectory() as folder:
        if copy is None:
            copy = Path(folder) / "mimic"
            synthesize(copy, ADMISSIONS, SEED)
        build(copy, copy, Path(folder) / "cohort", Criteria())
        stays = list(read_stays(copy, Path(folder) / "cohort"))
    clock = time.process_time()
    misses: list[str] = []
    scores = score(stays, misses)
    seconds = time.process_time() - clock
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "stays": len(stays),
        "planted": scores.pairs.total(),
        "rows_per_core_second": round(len(stays) / seconds, 1),
        "precision": {verdict: round(scores.get_precision(verdict), 4) for verdict in Verdict},
        "recall": {verdict: round(scores.get_recall(verdict), 4) for verdict in Verdict},
        "gold_and_found": {f"{gold} / {found}": n for (gold, found), n in sorted(scores.pairs.items())},
        "right_by_kind": {
            kind: [scores.kinds[kind, True], scores.kinds[kind, True] + scores.kinds[kind, False]]
            for kind in sorted({kind for kind, _ in scores.kinds})
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    print("\n".join(sorted(misses)[::4]), file=sys.stderr)
    (RESULTS / "borne_out.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
