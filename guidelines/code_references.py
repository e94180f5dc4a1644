"""What a guideline text points to: codes, categories and ranges of them, and other sections.

>>> [reference["text"] for reference in find_codes("Z79.4, E11.- or T38.3X6-; codes A00.0 through T88.9 (I10–I1A)")]
['Z79.4', 'E11.-', 'T38.3X6-', 'A00.0 through T88.9', 'I10–I1A']
"""

import re
from collections.abc import Collection, Iterator, Mapping

from deepicd.schema import CodeReference

_CODE = r"[A-Z][0-9][0-9AB](?:\.[0-9A-Z]{1,4})?"
CODES = re.compile(
    rf"(?<![\w.])({_CODE})"
    rf"(?:\s?(?:[-–—]|through|to)\s?({_CODE})(?![\w])"  # a range, …
    r"|\.?-(?!\w)|(?![\w-]))"  # … a dash for the characters left open, or the code alone
)

# 'Section I.C.15.', 'Section II, H.', 'guideline I.C.1.g.1.a', 'See I.C.9.'; also 'Section IA' and 'Section C.1.',
# which lack a dot or the Roman number
SECTIONS = re.compile(
    r"(?:[Ss]ections?\s+|[Gg]uideline\s+|[Ss]ee\s+)"
    r"(?P<roman>(?:IV|I{1,3})(?![a-z])(?:[.,]?\s?)|(?=[ABC]\.\d))"
    r"(?P<rest>(?:[A-Z](?![A-Za-z0-9])(?:[.,]\s?\(?(?:\d{1,2}|[a-z])\)?(?![A-Za-z0-9]))*)?)"
)
MORE_SECTIONS = re.compile(r"\bSections (?:(?:IV|I{1,3})(?:, and |, | and )?){2,}")
APPENDIX = re.compile(r"\bAppendix ([IVX]+)\b")
SAME_TITLE = 12  # letters in which a quoted title and a section's title must agree, where neither ends before


def find_codes(text: str) -> list[CodeReference]:
    """Every code, category and range in a text, in order."""
    return [
        CodeReference(text=found[0], first=_undotted(found[1]), last=_undotted(found[2] or found[1]))
        for found in CODES.finditer(text)
    ]


def find_sections(text: str, titles: Mapping[str, str], own: str) -> list[str]:
    """Ids of the sections that a text of section `own` points to, in order. `titles`: id → title, of all sections.

    A reference that stops at a chapter and quotes a title below it ('See Section I.C.19. Coding of traumatic
    fractures') leads to the section of that title. One that leads nowhere is cut until it does.
    """
    appendices = ((match.start(), f"Appendix-{match[1]}") for match in APPENDIX.finditer(text))
    found = sorted([*_lists(text), *_singles(text, titles), *appendices])
    targets = (_nearest(target, titles) for _, target in found)
    return list(dict.fromkeys(target for target in targets if target and target != own))


def _lists(text: str) -> Iterator[tuple[int, str]]:
    for match in MORE_SECTIONS.finditer(text):
        for roman in re.findall(r"\b(?:IV|I{1,3})\b", match[0]):
            yield match.start(), roman


def _singles(text: str, titles: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for match in SECTIONS.finditer(text):
        parts = [match["roman"].strip("., ") or "I", *re.findall(r"[A-Za-z]|\d+", match["rest"])]
        target = _nearest(".".join(parts), titles)
        if target:
            yield match.start(), _quoted(target, text[match.end() :], titles)


def _nearest(target: str, titles: Collection[str]) -> str:
    """The section of an id or the nearest one above it, '' where there is none."""
    while target and target not in titles:
        target = target.rpartition(".")[0]
    return target


def _quoted(target: str, following: str, titles: Mapping[str, str]) -> str:
    """The section below `target` whose title follows the reference, or `target` itself."""
    quote = _letters(following)
    own = _letters(re.sub(r"^Chapter \d+: | \([A-Z]\d.*", "", titles[target]))
    if own and quote.startswith(own):
        quote = quote[len(own) :]
    below = (section for section in titles if section.startswith(f"{target}."))
    best, length = target, 0
    for section in below:
        title = _letters(titles[section])
        same = _common(title, quote)
        if same > length and same >= min(len(title), SAME_TITLE) and same >= 4:
            best, length = section, same
    return best


def _undotted(code: str) -> str:
    return code.replace(".", "")


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _common(one: str, other: str) -> int:
    """Length of the common beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
