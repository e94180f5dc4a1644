"""Refuse pages whose text is not what a reader sees: pictures, letters without meaning, text that somebody added.

What recurs on most pages was taken out before (see running_lines). What a stamp or a note added to a few pages shows in
the tags of a tagged PDF, as it is published, and else in its font or in its place outside of the other text.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.icd10cm import load_release
from guidelines.characters import PageText, Run
from guidelines.lines import Line

ENGLISH = frozenset("a an and are as be by code codes for from if in is it not of or should that the to with".split())
ENGLISH_SHARE = 0.15  # of all words; 0.36 in FY2025
KNOWN_SHARE = 0.6  # of the words of a page or font that other pages or the titles of the codes have; FY2025: 0.83
FEWEST_WORDS = 10  # of a page or font
TAGGED_SHARE = 0.9  # of the characters of a tagged PDF
FONT_SHARE = 0.01  # of all characters: a font with fewer is foreign to the document
EDGE_PAGES = 0.03  # of all pages: an edge of the text that fewer reach is none
BEYOND = 1.5  # times the type size

WORD = re.compile(r"[A-Za-z]{3,}")
NAMELESS = re.compile(r"|(CIDFont\+)?[A-Za-z]{1,3}\d+(_\d+)?")  # of fonts: 'F1', 'TT0', 'CIDFont+F3'


def list_faults(pages: Sequence[PageText], rest: Sequence[Sequence[Run]]) -> Iterator[tuple[str, list[int]]]:
    """Yield each kind of fault and its pages. `rest`: the runs of each page without the running ones."""
    faults: tuple[tuple[str, Callable[[PageText, Sequence[Run]], bool]], ...] = (
        ("rotated", lambda page, _: page.is_rotated),
        ("without text, only a picture", lambda page, runs: not runs and not page.is_blank),
        ("a picture with text recognised on it", lambda _, runs: any(run.print.is_hidden for run in runs)),
        ("partly printed askew", lambda page, runs: not (page.is_rotated or all(run.print.is_upright for run in runs))),
        ("of letters whose meaning the file does not state (no ToUnicode)", lambda page, _: page.unmapped > 0),
    )
    for kind, is_fault in faults:
        if numbers := [page.number for page, runs in zip(pages, rest, strict=True) if is_fault(page, runs)]:
            yield kind, numbers


def list_foreign(pages: Sequence[Sequence[Line]], runs: Sequence[Sequence[Run]]) -> Iterator[tuple[int, str]]:
    """Yield page and text of what was added to a document, as far as it shows."""
    printed = [run for own in runs for run in own]
    total = sum(len(run.text) for run in printed)
    if sum(len(run.text) for run in printed if run.print.is_tagged) >= TAGGED_SHARE * total:
        yield from ((run.page, run.text) for run in printed if not run.print.is_tagged)
        return
    families = Counter[str]()
    for run in printed:
        families[_name_family(run)] += len(run.text)
    yield from (
        (run.page, run.text) for run in printed if families[_name_family(run)] < FONT_SHARE * total and run.text[1:]
    )
    yield from _list_beyond(pages)


def _name_family(run: Run) -> str:
    return run.print.font.lower().replace(" ", "")[:5]


def _list_beyond(pages: Sequence[Sequence[Line]]) -> Iterator[tuple[int, str]]:
    """Yield the lines outside of the edges that several pages reach: at the top, at the foot, at the sides."""
    ends: tuple[Callable[[Line], float], ...] = (
        lambda line: line.top,
        lambda line: -line.top,
        lambda line: line.left,
        lambda line: -line.right,
    )
    for measure in ends:
        reached = sorted(min(map(measure, lines)) for lines in pages if lines)
        edge = reached[min(max(3, round(EDGE_PAGES * len(reached))), len(reached)) - 1] if reached else 0.0
        for lines in pages:
            yield from ((line.page, line.text) for line in lines if measure(line) < edge - BEYOND * line.size)


def refuse_illegible(path: Path, runs: Sequence[Sequence[Run]], advice: str) -> None:
    """Raise DeepicdError unless the words are English on every page and in every font, and the fonts have names."""
    by_page = [Counter(_list_words(own)) for own in runs]
    everywhere = sum(by_page, Counter[str]())
    total = everywhere.total()
    if total and sum(everywhere[word] for word in ENGLISH) < ENGLISH_SHARE * total:
        raise DeepicdError(
            f"{path} cannot be read: most of its {total:,} words are not English.",
            f"Use the document as it was published; nothing was written. {advice}",
        )
    vocabulary = _list_vocabulary()
    for number, words in enumerate(by_page, start=1):
        known = sum(times for word, times in words.items() if word in vocabulary or everywhere[word] > times)
        if words.total() >= FEWEST_WORDS and known < KNOWN_SHARE * words.total():
            raise DeepicdError(
                f"{path} cannot be read: most words on page {number} are not English.",
                f"Use the document as it was published; nothing was written. {advice}",
            )
    _refuse_fonts(path, [run for own in runs for run in own], vocabulary, advice)


def _refuse_fonts(path: Path, runs: Sequence[Run], vocabulary: Iterable[str], advice: str) -> None:
    by_font = defaultdict[str, list[Run]](list)
    for run in runs:
        by_font[run.print.font].append(run)
    for font, own in by_font.items():
        words = Counter(_list_words(own))
        if words.total() < FEWEST_WORDS:
            continue
        if sum(times for word, times in words.items() if word in vocabulary) < KNOWN_SHARE * words.total() / 2:
            fault = f"most words in the font “{font}” are not English"
        elif NAMELESS.fullmatch(font):
            fault = f"the font “{font}” has lost its name, so that bold and italics, which mark changes, cannot be told"
        else:
            continue
        raise DeepicdError(
            f"{path} cannot be read: {fault}.",
            f"Use the document as it was published; nothing was written. {advice}",
        )
    if not any("bold" in run.print.styles for run in runs):
        raise DeepicdError(
            f"{path} has no bold text: its fonts have lost their names, and with them the marks of what changed.",
            f"Use the document as it was published; nothing was written. {advice}",
        )


def _list_words(runs: Iterable[Run]) -> Iterator[str]:
    """Yield the words in small letters, of three letters or more, and the short ones of `ENGLISH`."""
    for run in runs:
        for word in re.findall(r"[A-Za-z]+", run.text):
            if (small := word.lower()) in ENGLISH or len(small) >= 3:
                yield small


def _list_vocabulary() -> frozenset[str]:
    """Return the words of the codes' titles."""
    titles = load_release().titles.values()
    return ENGLISH.union(word.lower() for title in titles for word in WORD.findall(title))
