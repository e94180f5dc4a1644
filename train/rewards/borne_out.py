"""What a trace expects beyond its note, compared with what became of the stay, as a reward from −1 to 1.

    held = BorneOut(Path("out/cohort"))
    held.score(note_ids, notes, texts)     # [0.4, None, …]; never raises

It sees the trace, the note and the sealed outcome, and gives a number back: no word of the outcome reaches the model.
None where there is no trace or the stay is not in the cohort's training split. See `deepicd.verification.borne_out.pay`
for why neither claims of everything, nor copies of the note, nor vague lists earn.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from deepicd.answer_form import Answer, parse_answer
from deepicd.icd10cm import Code
from deepicd.outcome import Outcome, read_outcomes
from deepicd.verification.borne_out import find_borne_out, list_expectations, pay
from deepicd.verification.outcome_text import read_outcome

CACHE_SIZE = 65_536  # scores

logger = logging.getLogger(__name__)


class BorneOut:
    """Holds answers against the outcomes of a cohort's training split, some 10 kB of memory per row."""

    def __init__(self, cohort: Path) -> None:
        """Read the outcomes. Raises DeepicdError for a cohort without them."""
        self._outcomes = {outcome.note_id: outcome for outcome in read_outcomes(cohort, "train", reader="reward")}
        self._hold = lru_cache(maxsize=CACHE_SIZE)(self._hold_trace)
        self.unknown = 0
        """Answers about stays that the cohort does not have."""

    def score(self, note_ids: Sequence[str], notes: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        """Return the value of each answer. `texts` are whole answers, with what opened them."""
        return [self._score_one(*item) for item in zip(note_ids, notes, texts, strict=True)]

    def _score_one(self, note_id: str, note: str, text: str) -> float | None:
        answer = parse_answer(text)
        if not isinstance(answer, Answer):
            return None
        if note_id not in self._outcomes:
            self.unknown += 1
            if self.unknown == 1:
                logger.warning(
                    "An answer is about a stay that the cohort of the reward does not have: it earns nothing."
                )
            return None
        return self._hold(note_id, note, answer.trace, answer.code)

    def _hold_trace(self, note_id: str, note: str, trace: str, predicted: Code) -> float:
        return hold(trace, note, self._outcomes[note_id], predicted)


def hold(trace: str, note: str, outcome: Outcome, predicted: Code) -> float:
    """Return the value of a trace. The diagnosis that it closes on is paid for elsewhere and is no expectation here."""
    titles = [title for value in outcome.icd_codes if (title := Code(value).title)]
    read = read_outcome(outcome.reveal_sections(), titles)
    given = [predicted.title or "", *predicted.inclusion_terms]
    return pay(find_borne_out(list_expectations(trace, note, read.names, given), read))
