"""Does a trace say what its note says? Numbers, drugs and quotations of the trace, looked for in the note.

    grounding(trace, note)   # Grounding(numbers=Share(found=5, of=6), drugs=…, quotes=…, verbatim=14)

A share says how many of a kind the note has too. Limits: a number is found wherever it stands in the note, and may mean
another thing there; numbers that come from the guidelines count as not found. No list of drugs is free to ship, so a
word counts as a drug by the stem that its class gives it (-pril, -olol, cef-; WHO, The use of stems in the selection of
International Nonproprietary Names) or by the dose behind it; old names without a stem are listed as far as they
are common at admission, and brand names are seen only with a dose. What the note abbreviates ("ASA") is not recognised
as the drug it stands for.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Share(NamedTuple):
    """How many of a trace's items its note has."""

    found: int
    of: int

    @property
    def share(self) -> float | None:
        return self.found / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Grounding:
    numbers: Share
    drugs: Share
    quotes: Share
    verbatim: int
    """Words of the longest run that stands in the note word for word, case and punctuation aside."""


_WORD = re.compile(r"[^\W_]+")
# not the digits of a code (I21.4) or of a word (T3); a unit may stand close behind (40mg)
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
_NO_DRUGS = frozenset("april dose doses dosage total daily weight oral cholesterol about over with than".split())


def grounding(trace: str, note: str) -> Grounding:
    note_words = _WORD.findall(note.lower())
    trace_words = _WORD.findall(trace.lower())
    return Grounding(
        numbers=_share(numbers(trace), frozenset(numbers(note))),
        drugs=_share(drugs(trace, trace_words), frozenset(note_words)),
        quotes=_quotes(trace, note_words),
        verbatim=longest_shared_run(trace_words, note_words),
    )


def numbers(text: str) -> list[str]:
    """The numbers of a text, written one way.

    >>> numbers("1) HR 110, BP 95/60. Lactate 2.0 (I21.4 or T3), sodium 1,200.")
    ['110', '95', '60', '2', '1200']
    """
    return [_plain(match) for match in _NUMBER.findall(_ENTRY.sub("", text))]


def _plain(number: str) -> str:
    number = re.sub(r",(?=\d{3})", "", number).replace(",", ".")
    whole, _, fraction = number.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole.lstrip('0') or '0'}{'.' + fraction if fraction else ''}"


def drugs(text: str, words: Sequence[str]) -> set[str]:
    """Words that are drugs by stem, by list, or by the dose behind them.

    >>> sorted(drugs("took Zantac 150 mg and lisinopril", ["took", "zantac", "150", "mg", "and", "lisinopril"]))
    ['lisinopril', 'zantac']
    """
    found = {word for word in set(words) if word in _LISTED or _STEMS.match(word)}
    found |= {word for dosed in _DOSE.findall(text) for word in _WORD.findall(dosed.lower())[-1:]}
    return found - _NO_DRUGS


def _share(items: Iterable[str], known: frozenset[str]) -> Share:
    asked = list(items)
    return Share(sum(item in known for item in asked), len(asked))


def _quotes(trace: str, note_words: Sequence[str]) -> Share:
    note = f" {' '.join(note_words)} "
    quotes = [words for pair in _QUOTES.findall(trace) if (words := _WORD.findall("".join(pair).lower()))]
    return Share(sum(f" {' '.join(words)} " in note for words in quotes), len(quotes))


def longest_shared_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Items of the longest run that stands in both, by a suffix automaton over the first: linear in both.

    >>> longest_shared_run("she was pale and sweating".split(), "skin pale and sweating heavily".split())
    3
    """
    edges: list[dict[str, int]] = [{}]
    link, length, last = [-1], [0], 0
    for item in one:
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
    for item in other:
        while at and item not in edges[at]:
            at = link[at]
            run = length[at]
        if item in edges[at]:
            at, run = edges[at][item], run + 1
        best = max(best, run)
    return best
