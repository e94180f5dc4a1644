"""How a trace is worded: is it English, does it give away that the diagnosis was known?

Pure functions of the text, each linear in its length.
"""

import re
from collections.abc import Sequence

from deepicd.icd10cm import Code

# Words that carry grammar and no matter: some 40 in 100 words of English prose, some 25 of clinical shorthand.
_ENGLISH = frozenset(
    "a about after all also an and any are as at be because been before but by can could did do does for from had has"
    " have he her him his how i if in into is it its may more most no nor not of on or other over she should since so"
    " some such than that the their them then there these they this those though to under until was we were what when"
    " where which while who why will with without would yet you".split()
)
# Those of German, which descriptions bring into the prompt, that are no English words.
_GERMAN = frozenset(
    "aber als auch auf aus bei beim bis das dem den der des die diese dieser durch ein eine einem einen einer eines er"
    " es für haben hat ich ihr ihre im ist kann mit nach nicht nur oder sehr sich sie sind und uns unter vom von vor"
    " wenn werden wie wird wurde zu zum zur über".split()
)

# Turns of phrase of somebody who has seen the answer. Each is a plain run of words, so that matching stays linear.
_GIVEAWAY = re.compile(
    r"\b(?:"
    r"as (?:was |were |is |are )?(?:provided|given|supplied|instructed|requested)\b(?! (?:in|by) the (?:note|history))"
    r"|(?:the|this|an?) (?:already )?(?:assigned|provided|given|supplied|target|billed|known|gold|true|correct|actual)"
    r" (?:icd[- ]?10(?:[- ]?cm)? )?(?:code|diagnosis|label|answer)"
    r"|(?:code|diagnosis|answer) (?:that )?(?:i|we) (?:was|were|am|are) (?:given|told|shown|asked to)"
    r"|(?:code|diagnosis|answer) (?:is|was) (?:already )?(?:given|provided|known|supplied|assigned)\b"
    r"|diagnosis to arrive at|what patients are told"
    r"|(?:was|were|been|is|are) (?:later |eventually |subsequently )?billed\b"
    r"|(?:provided|given|supplied) (?:coding )?(?:guidelines?|descriptions?)"
    r"|(?:guidelines?|descriptions?) (?:that (?:was|were) )?(?:provided|given|supplied)"
    r"|with (?:the benefit of )?hindsight|(?:pretend|as if|as though) (?:i|we) (?:do |did )?not know"
    r")",
    re.IGNORECASE,
)
# a letter behind Latin with all its accents, Greek left out
_OTHER_LETTER = re.compile(r"[^\W\d_\u0000-\u024f\u0370-\u03ff]")


def giveaways(trace: str) -> int:
    """How many phrases tell that the writer knew the answer.

    >>> giveaways("The assigned code is I21.4, as provided."), giveaways("Oxygen was given at home.")
    (2, 0)
    """
    return sum(1 for _ in _GIVEAWAY.finditer(trace))


def named_at(trace: str, code: Code, title: str, note: str) -> float | None:
    """Where the code or its whole title first stands, as a share of the trace (0 the start); None where neither does.

    A title that the note itself has is no secret and does not count.

    >>> named_at("It is gout. M10.9 fits.", Code.parse("M10.9"), "Gout, unspecified", "")
    0.52...
    """
    found = [match.start() for match in [_code_pattern(code).search(trace)] if match]
    words = title.casefold().split()
    if words and (plain := " ".join(words)) not in " ".join(note.casefold().split()):
        folded = trace.casefold()  # as long as the trace but for a few letters, which move a share by nothing
        pattern = r"\b" + r"\s+".join(map(re.escape, plain.split())) + r"\b"
        found += [match.start() for match in [re.search(pattern, folded)] if match]
    return min(found) / len(trace) if found else None


def _code_pattern(code: Code) -> re.Pattern[str]:
    dotted = str(code).replace(".", r"\.?")
    return re.compile(rf"\b{dotted}\b(?!\.\d)", re.IGNORECASE)


def english(words: Sequence[str]) -> float:
    """Share of the words that carry English grammar, less those that carry German.

    >>> english("the pain is worse".split()), english("die Schmerzen sind und".split())
    (0.5, -0.75)
    """
    if not words:
        return 0.0
    return sum((word in _ENGLISH) - (word in _GERMAN) for word in map(str.lower, words)) / len(words)


def other_script(text: str) -> float:
    """Share of the letters that are not Latin ones; Greek, of which medicine uses single letters, is let pass.

    >>> other_script("β-blocker"), other_script("心脏 ok")
    (0.0, 0.5)
    """
    letters = sum(map(str.isalpha, text))
    if text.isascii() or not letters:
        return 0.0
    return len(_OTHER_LETTER.findall(text)) / letters
