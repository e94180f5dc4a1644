"""Headers of MIMIC's discharge notes: the template's sections (headers.yaml) and the sub-headers inside them.

Headers whose words are ambiguous (`___ Exam`, `Home medications`, `Primary diagnosis`) are decided by their place in
the note: builders.cohort.section_rules.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from deepicd.errors import DeepicdError

TEMPLATE_FILE = Path(__file__).with_name("headers.yaml")


@dataclass(frozen=True, slots=True)
class Heading:
    """A section of the template."""

    name: str
    known: bool
    """Whether its content was known at admission."""
    forms: tuple[str, ...]
    """Regular expressions for its header without the colon, case-insensitive."""


def load_template(path: Path = TEMPLATE_FILE) -> tuple[Heading, ...]:
    """Return the sections in the template's order. Raises DeepicdError for a file that is not such a template."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        template = tuple(_parse_heading(entry, tree["fragments"]) for entry in tree["sections"])
    except (yaml.YAMLError, re.error, KeyError, TypeError, ValueError) as error:
        raise DeepicdError(
            f"{path} is not a template of discharge notes ({type(error).__name__}: {error}).",
            "Each section has a name, `known` (true or false) and one or more regular expressions as `forms`.",
        ) from error
    names = [heading.name for heading in template]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise DeepicdError(f"{path} names sections twice: {', '.join(sorted(repeated))}.", "Merge their forms.")
    return template


def _parse_heading(entry: dict[str, object], fragments: dict[str, str]) -> Heading:
    name, known, forms = (entry[field] for field in ("name", "known", "forms"))
    if not isinstance(name, str) or not isinstance(known, bool) or not isinstance(forms, list) or not forms:
        raise ValueError(f"section {name!r}")
    expanded = []
    for form in forms:
        for fragment, pattern in fragments.items():
            form = form.replace(f"{{{fragment}}}", pattern)
        re.compile(form)
        expanded.append(form)
    return Heading(name, known, tuple(expanded))


TEMPLATE = load_template()
KNOWN = tuple(heading.name for heading in TEMPLATE if heading.known)
ORDER = {heading.name: place for place, heading in enumerate(TEMPLATE)}

# Sub-headers inside a section.
_SIGNS = r"(?:physical|exam\w*|pe|vitals?|vs)"
_OUT = r"(?:discharge|d/c|death|expiration|transfer(?:\s+to[\w ]{1,20})?)"
_IN = r"(?:admission|admit|arrival|presentation|initial)"
_AT = r"(?:(?:at|on|upon|prior to|before|day of|time of|the)\s+)*"
_ENDS = rf"(?=\s*(?:{_SIGNS}\b|day\b|date\b|[:()\]=*\-]|$))"  # follows the word in a sub-header, but not in a sentence
# "Discharge: none" is about an eye or a wound.
_FINDING = (
    r"(?:no|none|not|nil|absent|negative|denies|present|scant|minimal|mild|moderate|small|copious|clear|white|yellow"
    r"|green|brown|bloody|thick|thin|watery|purulent|mucoid|serous|serosanguin\w+|mucopurulent|from|foul\S*)"
)
# A line of the exam that opens its discharge part, "DISCHARGE PHYSICAL EXAM:", "Exam on discharge (day 5):", or goes
# back to its admission part. "Discharge from the left ear", "Discharge: none", "Exam without discharge" open nothing.
EXAM_PART = re.compile(
    rf"[\W_]*(?!discharge\s*[:\-]\s*{_FINDING}\b)(?:(?:[a-z]+ ){{0,2}}?{_SIGNS}\b(?!.*\b(?:no|without|with)\b)"
    rf"[^:]{{0,30}}?\b(?:(?P<out>{_OUT})|{_IN})\b|{_AT}(?:(?P<out2>{_OUT})|{_IN})\b{_ENDS})",
    re.IGNORECASE,
)
DISCHARGE_WORDS = ("discharge", "d/c", "death", "expiration", "transfer")
ADMISSION_WORDS = ("admi", "arrival", "presentation", "initial")
"""Each such line contains one of these words; they are searched first, because that is fast."""

ADMISSION_LABS = re.compile(
    rf"^[\W_]*(?:{_IN}\b[^\n:]{{0,20}}\blabs?\b|labs?\b[^\n:]{{0,20}}\b(?:at|on|upon)\s+{_IN}\b)",
    re.MULTILINE | re.IGNORECASE,
)
OTHER_RESULTS = re.compile(
    r"^[\W_]*(?:discharge|d/c|interval|interim|relevant|pertinent|other|micro\w*|cultures?|imaging|studies|radiology|reports?"
    r"|pathology|ekg|ecg|echo|tte|cta?|mri|cxr|ultrasound|trend\w*)\b[^\n:]{0,40}(?::|$)",
    re.MULTILINE | re.IGNORECASE,
)
