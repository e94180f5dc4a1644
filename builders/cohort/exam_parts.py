"""Cut a physical exam down to its admission part, and results down to the block marked as admission labs.

>>> extract_admission_exam("ADMISSION EXAM:\\nHR 110\\nDISCHARGE EXAM (day 5):\\nHR 70")
'ADMISSION EXAM:\\nHR 110'
"""

import re

_SIGNS = r"(?:physical|exam\w*|pe|vitals?|vs)"
_OUT = (
    r"(?:(?:pre-?)?discharge|d/?c|death|expiration|pronouncement|transfer(?:\s+to[\w ]{1,20})?|post-?\s?op(?:erative)?"
    r"|pod\s*#?\s*\d*|hd\s*#?\s*\d+|hospital day)"
)
_IN = r"(?:admission|admit|arrival|presentation|initial)"
_AT = r"(?:(?:at|on|upon|prior to|before|day of|time of|the)\s+)*"
_ENDS = rf"(?=\s*(?:{_SIGNS}\b|day\b|date\b|[:()\]=*\-]|#?\s*\d+\s*[:)]|$))"  # follows it in a sub-header only
# "Discharge: none" is about an eye or a wound.
_FINDING = (
    r"(?:no|none|not|nil|absent|negative|denies|present|scant|minimal|mild|moderate|small|copious|clear|white|yellow"
    r"|green|brown|bloody|thick|thin|watery|purulent|mucoid|serous|serosanguin\w+|mucopurulent|from|foul\S*)"
)
# A line of the exam that opens its discharge part, "DISCHARGE PHYSICAL EXAM:", "Exam on discharge (day 5):", or goes
# back to its admission part. "Discharge from the left ear", "Discharge: none", "Exam without discharge" open nothing.
_PART = re.compile(
    rf"[\W_]*(?!discharge\s*[:\-]\s*{_FINDING}\b)(?:(?:[a-z]+ ){{0,2}}?{_SIGNS}\b(?!.*\b(?:no|without|with)\b)"
    rf"[^:]{{0,30}}?\b(?:(?P<out>{_OUT})|{_IN})\b|{_AT}(?:(?P<out2>{_OUT})|{_IN})\b{_ENDS})",
    re.IGNORECASE,
)
# Words in a line that say it was written later: "Lungs clear at discharge", "Now, on hospital day 4, afebrile".
_LATER = re.compile(
    r"\b(?:(?:at|on|upon|prior to|before|by|until|since)\s+(?:the\s+)?(?:(?:time|day|date|morning)\s+of\s+)?"
    r"(?:(?:his|her|their)\s+)?(?:discharge|transfer|dismissal)\b(?!\s+from\s+(?:the\s+)?(?:ear|eye|nose|wound|left|right))"
    r"|(?:day|time|date|morning)\s+of\s+(?:discharge|transfer|death)\b|hospital\s+day\s*#?\s*\d|(?:pod|hd)\s*#?\s*\d"
    r"|post-?\s?op(?:erative)?\s+day\b|time\s+of\s+death|\bdischarge\s*:\s*(?=(?:bp|hr|t|p|vs|tmax|temp\w*|wt|weight|blood)\b|\d))",
    re.IGNORECASE,
)
_LATER_WORDS = (
    "discharge", "d/c", "death", "expiration", "transfer", "dismissal", "pronounce", "post-op", "postop", "post op",
    "pod", "hd", "hospital day", "dc ",
)  # fmt: skip
SHORT_CLAUSE = 1  # words; a longer one before "at discharge" is from the admission
ADMISSION_WORDS = ("admi", "arrival", "presentation", "initial")
"""Each line above contains one of these words; they are searched first, because that is fast."""
DISCHARGE_WORDS = _LATER_WORDS[:6]

_LABS = r"lab(?:s|orator\w+)?"
_ADMISSION_LABS = re.compile(
    rf"^[\W_]*(?:{_IN}\b[^\n:]{{0,20}}\b{_LABS}\b|{_LABS}\b[^\n:]{{0,40}}\b(?:at|on|upon)\s+{_IN}\b)",
    re.MULTILINE | re.IGNORECASE,
)
_HEADER_WITH_TEXT = re.compile(r"[^:\n]*?(?::+|[ \t]-|\])[ \t]+(?=\S)")
_OTHER_RESULTS = re.compile(
    r"^[\W_]*(?:discharge|d/c|interval|interim|relevant|pertinent|other|micro\w*|cultures?|imaging|studies|radiology|reports?"
    r"|pathology|ekg|ecg|echo|tte|cta?|mri|cxr|ultrasound|trend\w*)\b[^\n:]{0,40}(?::|$)",
    re.MULTILINE | re.IGNORECASE,
)


def extract_admission_exam(text: str) -> str:
    """Return a physical exam without what stands under a discharge sub-header, and without lines that tell of later.

    An exam whose first line is from the discharge is so as a whole, up to a sub-header of the admission.
    """
    if not contains_any(text.casefold(), _LATER_WORDS):
        return trim(text)
    lines, is_kept, is_first = list[str](), True, True
    for line in text.split("\n"):
        folded = line.casefold()
        if (is_later := contains_any(folded, _LATER_WORDS)) or contains_any(folded[:80], ADMISSION_WORDS):
            if part := _PART.match(line[:160]):
                is_kept = not (part["out"] or part["out2"])
            later = _LATER.search(line) if is_later else None
            if later and is_kept:
                before = line[: later.start()]
                has_clause = before.rstrip()[-1:] in (";", ",", ".") and len(before.split()) > SHORT_CLAUSE
                if has_clause or contains_any(before.casefold(), ADMISSION_WORDS):  # both on one line
                    line = before[: max(map(before.rfind, ".;,/")) + 1].rstrip(" ;,/")
                else:
                    is_kept, line = not (is_first or _opens_line(before)), ""
                if not line:
                    continue
        if is_kept:
            lines.append(line)
        is_first = is_first and not line.strip()
    return trim("\n".join(lines))


def _opens_line(before: str) -> bool:
    """Return whether nothing but a label or decoration precedes a place in a line."""
    return not before.strip(" \t*=#-•(") or before.rstrip().endswith(":")


def extract_admission_labs(text: str) -> str:
    """Return the block of the results that is marked as admission labs; '' if none is.

    >>> extract_admission_labs("ADMISSION LABS:\\nWBC 9\\nDISCHARGE LABS:\\nWBC 5")
    'ADMISSION LABS:\\nWBC 9'
    """
    start = _ADMISSION_LABS.search(text)
    if start is None:
        return ""
    end = _OTHER_RESULTS.search(text, start.end())
    inline = _HEADER_WITH_TEXT.match(text, start.start())  # the header's line holds results
    begin = inline.end() if inline else start.start()
    return trim(text[begin : end.start() if end else len(text)])


def trim(text: str) -> str:
    """Return a text without empty lines at either end or blanks at line ends; inner lines stay as they are."""
    text = text.strip("\n \t")
    return "\n".join(map(str.rstrip, text.split("\n"))) if " \n" in text or "\t\n" in text else text


def contains_any(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - any() takes three times as long, and this runs for every header
        if word in text:
            return True
    return False
