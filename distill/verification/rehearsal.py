"""What the engine `rehearsal` answers to a verification: words looked up, no model.

The solver names the chapter whose title the text's last paragraph repeats, and in it the code whose title shares the
rarest words with the text. Points ask for names that the
outcome has, and a point is met where the line of thought has that name's words. Evidence of nothing but a pipeline that
runs.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from math import log, sqrt

from deepicd.answer_form import write_answer
from deepicd.engines.base import Request
from deepicd.icd10cm import CHAPTERS, Code, find_chapter, load_release
from deepicd.verification.points import GRADES, POINTS_HEADING, TRACE_HEADING
from distill.verification.claims import CLAIMS, CLAIMS_HEADING
from distill.verification.questions import OUTCOME_HEADING, POINTS, SOLVER

_WORD = re.compile(r"[a-z]{4,}")
_CLAIM = re.compile(r"^\d+\. It \w+ '(?P<name>[^'\n]+)':", re.MULTILINE)
_POINT = re.compile(r"^\d+\. Does it (?:consider|mention) (?P<name>.+)\?$", re.MULTILINE)
_SENTENCE = re.compile(r"[^\n.:;]{12,120}")
COMMON = 1500  # titles with a word beyond which it tells nothing
FALLBACK = Code("R69")
MOST_POINTS = 5


def answer(request: Request) -> str | None:
    """Return the answer to a question of a verification; None for any other request."""
    if not request.messages:
        return None
    system, user = request.messages[0]["content"], request.messages[-1]["content"]
    if system == SOLVER:
        return solve(user.removeprefix(f"{TRACE_HEADING}\n"))
    if system == GRADES:
        return _grade(user)
    if system.startswith(POINTS.partition("{")[0]):
        return _write_points(user.removeprefix(f"{OUTCOME_HEADING}\n"))
    if system == CLAIMS:
        return _rule(user)
    return None


def solve(text: str) -> str:
    """Return an answer that names the code whose title fits a text best."""
    titles, lengths = _index_titles()
    last = text.rpartition("\n\n")[2].lower()
    chapters = {chapter.number for chapter in CHAPTERS if chapter.title.lower() in last}
    scores: defaultdict[str, float] = defaultdict(float)
    for word in dict.fromkeys(_WORD.findall(text.lower())):
        for value, weight in titles.get(word, ()):
            if not chapters or find_chapter(value[:3]).number in chapters:
                scores[value] += weight
    best = min(scores, key=lambda value: (-scores[value] / lengths[value], value), default=FALLBACK.value)
    return write_answer("Words of the title were looked up; no model read this.", Code(best))


@cache
def _index_titles() -> tuple[Mapping[str, list[tuple[str, float]]], Mapping[str, float]]:
    """Return word → (code, weight), and code → length of its title, over the billable codes."""
    codes = load_release().list_codes()
    words = {code.value: set(_WORD.findall((code.title or "").lower())) for code in codes}
    seen = Counter(word for listed in words.values() for word in listed)
    weights = {word: log(len(codes) / number) for word, number in seen.items()}
    index: dict[str, list[tuple[str, float]]] = {}
    for value, listed in words.items():
        for word in listed:
            if seen[word] <= COMMON:
                index.setdefault(word, []).append((value, weights[word]))
    lengths = {value: 1 + sqrt(sum(weights[word] ** 2 for word in listed)) for value, listed in words.items()}
    return index, lengths


def _write_points(outcome: str) -> str:
    points = []
    for match in _SENTENCE.finditer(outcome):
        quotation = " ".join(match[0].split())
        if len(_WORD.findall(quotation.lower())) >= 2:
            words = " ".join(quotation.strip("# ").split()[:4])
            points.append({"question": f"Does it mention {words}?", "quotation": quotation})
        if len(points) == MOST_POINTS:
            break
    return json.dumps({"points": points})


def _rule(user: str) -> str:
    """Confirm a claim by the first sentence of the outcome that has all words of its name."""
    outcome, _, listed = user.removeprefix(f"{OUTCOME_HEADING}\n").partition(f"\n\n{CLAIMS_HEADING}\n")
    sentences = [(sentence, set(_WORD.findall(sentence.lower()))) for sentence in _SENTENCE.findall(outcome)]
    claims: list[dict[str, object]] = []
    for number, name in enumerate(_CLAIM.findall(listed), 1):
        words = set(_WORD.findall(name.lower()))
        quotation = next((sentence for sentence, known in sentences if words and words <= known), "")
        verdict = "confirmed" if quotation else "untouched"
        claims.append({"number": number, "verdict": verdict, "quotation": quotation})
    return json.dumps({"claims": claims})


def _grade(user: str) -> str:
    points, _, trace = user.removeprefix(f"{POINTS_HEADING}\n").partition(f"\n\n{TRACE_HEADING}\n")
    known = set(_WORD.findall(trace.lower()))
    met = [set(_WORD.findall(name.lower())) <= known for name in _POINT.findall(points)]
    return json.dumps({"met": met})
