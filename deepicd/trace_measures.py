"""How a trace argues: where it first names its diagnosis, and how often it weighs alternatives.

    find_first_mention(trace, code, titles, note)      # 0.52: halfway through
    count_weighing(trace)                              # sentences with "less likely", "rather than", "ruled out", …

What the clinicians of DeepICD-R1 complained of: traces that settle on a diagnosis early and then justify it. All are
linear in the length of the text. A diagnosis in other words than those of its title is not recognised.
"""

import re
from collections.abc import Iterable

from deepicd.icd10cm import Code

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WEIGHING = re.compile(
    r"\b(?:(?:less|more|un|most|not) ?likely|rather than|instead of|as opposed to|versus|vs|differentials?"
    r"|alternative(?:s|ly)?|rul(?:e|es|ed|ing) out|exclud(?:e|es|ed|ing)|(?:could|might|may) also|consider(?:ed|ing)?"
    r"|(?:argu|speak|weigh|count)(?:e|s|es|ed|ing)? (?:against|for|in favou?r)|(?:does|do) not (?:fit|explain)"
    r"|would (?:be expected|expect|bring|show|explain))\b",
    re.IGNORECASE,
)


def find_first_mention(trace: str, code: Code, titles: Iterable[str], note: str) -> float | None:
    """Return where the code or a whole title first stands, as a share of the trace (0 the start); None for nowhere.

    A title that the note itself has does not count.

    >>> find_first_mention("It is gout. M10.9 fits.", Code.parse("M10.9"), ["Gout, unspecified"], "")
    0.52...
    """
    starts = [match.start() for match in [_compile_code_pattern(code).search(trace)] if match]
    folded, known = trace.casefold(), " ".join(note.casefold().split())
    for title in titles:
        words = title.casefold().split()
        if words and " ".join(words) not in known:
            # `folded` is a few letters longer or shorter than the trace, which moves no share
            pattern = r"\b" + r"\s+".join(map(re.escape, words)) + r"\b"
            starts += [match.start() for match in [re.search(pattern, folded)] if match]
    return min(starts) / len(trace) if starts else None


def _compile_code_pattern(code: Code) -> re.Pattern[str]:
    dotted = str(code).replace(".", r"\.?")
    return re.compile(rf"\b{dotted}\b(?!\.\d)", re.IGNORECASE)


def count_weighing(trace: str) -> int:
    """Return how many sentences weigh something against something else.

    >>> count_weighing("Angina is less likely. Troponin is raised. Pneumonia would bring fever, so it is ruled out.")
    2
    """
    return sum(_WEIGHING.search(sentence) is not None for sentence in _SENTENCE.split(trace))
