"""Measure how far a trace is grounded in its note, by looking up its numbers, drugs and quotations there.

    measure_grounding(trace, note)   # Grounding(numbers=Share(in_note=5, total=6), drugs=…, quotes=…, verbatim=14)

Limits: a number counts as found wherever it occurs in the note, though it may mean something else there; numbers from
the guidelines count as not found. No list of drugs is free to ship, so a word counts as a drug by the stem of its class
(-pril, -olol, cef-; WHO, The use of stems in the selection of International Nonproprietary Names) or by the dose after
it; older names without a stem are listed as far as they are common at admission, and brand names are recognised only
with a dose. An abbreviation in the note ("ASA") is not recognised as its drug.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Share(NamedTuple):
    """How many of a trace's items its note has too."""

    in_note: int
    total: int

    @property
    def share(self) -> float | None:
        return self.in_note / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Grounding:
    numbers: Share
    drugs: Share
    quotes: Share
    verbatim: int
    """Words of the longest run that the trace copies from the note, ignoring case and punctuation."""


_WORD = re.compile(r"[^\W_]+")
# not the digits of a code (I21.4) or of a word (T3); a unit may follow without a space (40mg)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_ENTRY = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
_QUOTES = re.compile(r'“([^“”\n]{3,300})”|"([^"\n]{3,300})"')
_DOSE = re.compile(r"\b([A-Za-z][A-Za-z-]{3,30}) \d[\d.,]{0,6} ?(?:mg|mcg|µg|g|units?|meq|ml|iu)\b", re.IGNORECASE)

_STEMS = re.compile(
    r"(?:(?:cef|ceph)[a-z]{4,}"
    r"|[a-z]{2,}(?:pril|sartan|olol|statin|azole|cillin|mycin|micin|floxacin|cycline|prazole|tidine|dipine|zosin|gliptin"
    r"|gliflozin|glutide|parin|xaban|grel|triptan|setron|azepam|azolam|barbital|caine|dronate|zumab|ximab|umab|tinib"
    r"|ciclovir|cyclovir|navir|tegravir|nisolone|sonide|thiazide|semide|lukast|buterol|meterol|tropium|oxetine"
    r"|triptyline|apine|formin|glitazone|steride|penem|penam|gabalin|gabatin|racetam|thyroxine|azosin|conazole|fibrate"
    r"|platin|rubicin|trexate))\Z"
)
_LISTED = frozenset(
    "acetaminophen albuterol allopurinol amiodarone aspirin baclofen bupropion citalopram clonidine codeine colchicine"
    " dexamethasone digoxin diltiazem docusate escitalopram fentanyl furosemide gabapentin haloperidol heparin"
    " hydralazine hydrocodone hydrocortisone hydromorphone ibuprofen insulin ketorolac lactulose levothyroxine lithium"
    " magnesium mirtazapine methadone methotrexate metronidazole morphine naloxone naproxen nitroglycerin"
    " oxycodone paracetamol phenytoin prednisone quetiapine risperidone senna sertraline spironolactone tacrolimus"
    " tamsulosin tramadol trazodone valproate vancomycin venlafaxine verapamil warfarin zolpidem".split()
)
_NOT_DRUGS = frozenset("april dose doses dosage total daily weight oral cholesterol about over with than".split())


def measure_grounding(trace: str, note: str) -> Grounding:
    """Return how much of a trace its note has."""
    note_words = _WORD.findall(note.lower())
    trace_words = _WORD.findall(trace.lower())
    return Grounding(
        numbers=_count_known(find_numbers(trace), frozenset(find_numbers(note))),
        drugs=_count_known(find_drugs(trace, trace_words), frozenset(note_words)),
        quotes=_count_quotes(trace, note_words),
        verbatim=measure_longest_shared_run(trace_words, note_words),
    )


def find_numbers(text: str) -> list[str]:
    """Return the numbers of a text in one notation.

    >>> find_numbers("1) HR 110, BP 95/60. Lactate 2.0 (I21.4 or T3), sodium 1,200.")
    ['110', '95', '60', '2', '1200']
    """
    return [_normalize(match) for match in _NUMBER.findall(_ENTRY.sub("", text))]


def _normalize(number: str) -> str:
    number = re.sub(r",(?=\d{3})", "", number).replace(",", ".")
    whole, _, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}"


def find_drugs(text: str, words: Sequence[str]) -> set[str]:
    """Return the words that are drugs by stem, by list, or by the dose after them.

    >>> sorted(find_drugs("took Zantac 150 mg and lisinopril", ["took", "zantac", "150", "mg", "and", "lisinopril"]))
    ['lisinopril', 'zantac']
    """
    names = {word for word in set(words) if word in _LISTED or _STEMS.match(word)}
    names |= {word for dosed in _DOSE.findall(text) for word in _WORD.findall(dosed.lower())[-1:]}
    return names - _NOT_DRUGS


def _count_known(items: Iterable[str], known: frozenset[str]) -> Share:
    items = list(items)
    return Share(sum(item in known for item in items), len(items))


def _count_quotes(trace: str, note_words: Sequence[str]) -> Share:
    note = f" {' '.join(note_words)} "
    quotes = [words for pair in _QUOTES.findall(trace) if (words := _WORD.findall("".join(pair).lower()))]
    return Share(sum(f" {' '.join(words)} " in note for words in quotes), len(quotes))


def measure_longest_shared_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest run of items in both, in linear time (suffix automaton of the first).

    >>> measure_longest_shared_run("she was pale and sweating".split(), "skin pale and sweating heavily".split())
    3
    """
    edges: list[dict[str, int]] = [{}]
    link, length, last = [-1], [0], 0
    for item in first:
        state = len(edges)
        edges.append({})
        length.append(length[last] + 1)
        link.append(0)
        at = last
        while at >= 0 and item not in edges[at]:
            edges[at][item] = state
            at = link[at]
        if at >= 0:
            target = edges[at][item]
            if length[at] + 1 == length[target]:
                link[state] = target
            else:
                clone = len(edges)
                edges.append(edges[target].copy())
                length.append(length[at] + 1)
                link.append(link[target])
                while at >= 0 and edges[at].get(item) == target:
                    edges[at][item] = clone
                    at = link[at]
                link[target] = link[state] = clone
        last = state
    best = run = at = 0
    for item in second:
        while at and item not in edges[at]:
            at = link[at]
            run = length[at]
        if item in edges[at]:
            at, run = edges[at][item], run + 1
        best = max(best, run)
    return best
