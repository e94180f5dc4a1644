"""Pairs of codes that differ in severity only: with and without exacerbation, mild and severe, unstable and not.

    >>> from deepicd.icd10cm import Code
    >>> find_severity(Code("J441"))
    Reading(disease='chronic obstructive pulmonary disease', severity=frozenset({'with exacerbation'}))
    >>> differs_in_severity(Code("I200"), Code("I209")), differs_in_severity(Code("J441"), Code("J449"))
    (True, True)
    >>> differs_in_severity(Code("I200"), Code("I214")), differs_in_severity(Code("J441"), Code("J441"))
    (False, False)

Two codes of a category are such a pair if their titles are the same once words of severity are taken out. A wrong code
of such a pair names the right disease: another error than one of another disease.
"""

import re
from typing import NamedTuple

from deepicd.icd10cm import Code

_COMPLICATION = (
    r"(?:(?:acute |major |other |unspecified )?(?:exacerbation|complications?|status asthmaticus|perforation|bleeding"
    r"|lower respiratory infection|hemorrhage|obstruction|coma|shock|crisis|ketoacidosis|gangrene|rupture|abscess"
    r"|septic shock|intractability|status epilepticus|hypoxia|hypercapnia|respiratory failure|organ dysfunction"
    r"|psychotic features|encephalopathy|delirium))"
)
_SEVERITY = re.compile(
    r"\b(?:"
    rf"(?:with|without)(?: mention of)? {_COMPLICATION}(?:(?:,| and| or| with| without) {_COMPLICATION})*"
    r"|uncomplicated|complicated|mild|moderate|severe|profound|unstable|stable|intractable|not intractable|refractory"
    r"|stage (?:[1-5][ab]?|[iv]+)|(?:first|second|third) degree|grade [1-4]"
    r"|(?:in )?(?:partial|full) remission|single|recurrent|intermittent|persistent"
    r"|acute on chronic|chronic or unspecified|acute|subacute|chronic(?= (?:systolic|diastolic|combined))"
    r")\b",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"\b(?:unspecified|other forms of|other|pectoris|type|nos|degree|stage|episode|as acute or chronic)\b|[,;()\-]"
)


class Reading(NamedTuple):
    """What a title says of the disease, and what of its severity."""

    disease: str
    severity: frozenset[str]


def find_severity(code: Code) -> Reading | None:
    """Return what a code's title says of disease and severity; None for a code that is not in the release."""
    title = code.title
    return None if title is None else _read(title)


def differs_in_severity(first: Code, second: Code) -> bool:
    """Return whether two codes are of one category and differ in severity only."""
    if first == second or first.category != second.category:
        return False
    one, other = find_severity(first), find_severity(second)
    return one is not None and other is not None and one.disease == other.disease and one.severity != other.severity


def _read(title: str) -> Reading:
    lower = title.lower().replace("(acute) ", "").replace("as acute or chronic, ", "")
    severity = frozenset(match[0] for match in _SEVERITY.finditer(lower))
    words = _EMPTY.sub(" ", _SEVERITY.sub(" ", lower)).split()
    while words and words[-1] in ("and", "or", "with", "without", "in", "of"):
        words.pop()
    return Reading(" ".join(words), severity)
