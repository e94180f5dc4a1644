"""Find the references in a guideline text: to codes, categories and ranges of them, and to other sections.

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
SECTION_LISTS = re.compile(r"\bSections (?:(?:IV|I{1,3})(?:, and |, | and )?){2,}")
APPENDIX = re.compile(r"\bAppendix ([IVX]+)\b")
SAME_TITLE = 12  # letters that a quoted title and a section's title must share, unless one of them is shorter
SHORTEST_TITLE = 4  # letters


def find_codes(text: str) -> list[CodeReference]:
    """Return every code, category and range in a text, in order."""
    return [
        CodeReference(text=match[0], first=_remove_dot(match[1]), last=_remove_dot(match[2] or match[1]))
        for match in CODES.finditer(text)
    ]


def find_sections(text: str, titles: Mapping[str, str], own: str) -> list[str]:
    """Return the ids of the sections that a text of section `own` refers to. `titles`: id → title, of all sections.

    A reference that names a chapter and quotes a title below it ('See Section I.C.19. Coding of traumatic fractures')
    resolves to the section with that title; a reference to a missing section resolves to the nearest one above.
    """
    appendices = ((match.start(), f"Appendix-{match[1]}") for match in APPENDIX.finditer(text))
    references = sorted([*_find_lists(text), *_find_single(text, titles), *appendices])
    targets = (_resolve(target, titles) for _, target in references)
    return list(dict.fromkeys(target for target in targets if target and target != own))


def _find_lists(text: str) -> Iterator[tuple[int, str]]:
    """Yield position and id of each section in lists of sections."""
    for match in SECTION_LISTS.finditer(text):
        for roman in re.findall(r"\b(?:IV|I{1,3})\b", match[0]):
            yield match.start(), roman


def _find_single(text: str, titles: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield position and id of each reference to one section."""
    for match in SECTIONS.finditer(text):
        parts = [match["roman"].strip("., ") or "I", *re.findall(r"[A-Za-z]|\d+", match["rest"])]
        target = _resolve(".".join(parts), titles)
        if target:
            yield match.start(), _resolve_title(target, text[match.end() :], titles)


def _resolve(target: str, titles: Collection[str]) -> str:
    """Return the section with an id or the nearest one above it; '' if there is none."""
    while target and target not in titles:
        target = target.rpartition(".")[0]
    return target


def _resolve_title(target: str, following: str, titles: Mapping[str, str]) -> str:
    """Return the section below `target` whose title follows the reference, or `target` itself."""
    quote = _keep_letters(following)
    own = _keep_letters(re.sub(r"^Chapter \d+: | \([A-Z]\d.*", "", titles[target]))
    if own and quote.startswith(own):
        quote = quote[len(own) :]
    best, length = target, 0
    for section in titles:
        if not section.startswith(f"{target}."):
            continue
        title = _keep_letters(titles[section])
        same = _count_common(title, quote)
        if same > length and same >= min(len(title), SAME_TITLE) and same >= SHORTEST_TITLE:
            best, length = section, same
    return best


def _remove_dot(code: str) -> str:
    return code.replace(".", "")


def _keep_letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _count_common(first: str, second: str) -> int:
    """Return the length of the common prefix."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))
