"""Find sentences of a history that tell of the stay itself, and sections that only point elsewhere.

    >>> remove_stay("Fever for two weeks. Bronchoscopy on hospital day 3 grew CMV.")
    'Fever for two weeks.'

Some cues can hardly be about anything but this stay: such sentences are always cut. Others, such as 'was started on',
are as often about the emergency room: `deepicd audit` counts them, `deepicd build --strict` cuts them.
"""

import re
from collections.abc import Iterator

_DAY = r"(?:#\s*)?(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten)\b"
# 'on day 3 of antibiotics' counts from elsewhere.
_NOT_OF = r"(?!\s+of\s+(?!(?:admission|hospitali[sz]ation|(?:the|this|his|her)\s+(?:hospital|admission|stay))))"
# Of a casefolded text: without IGNORECASE, an alternative whose first letter differs costs nothing.
_STAY = re.compile(
    r"\b(?=\w)(?:(?:on|by|until)\s+the\s+(?:\w+(?:st|nd|rd|th)|first|second|third)\s+(?:hospital\s+|post-?operative\s+)?day\s+(?:of\s+(?:the|this|his|her)"
    r"\s+(?:stay|admission|hospitali[sz]ation)|after\s+(?:admission|surgery))"
    rf"|(?:on|by|until)\s+(?:hospital|post-?\s?op(?:erative)?)\s+day\s+{_DAY}"
    rf"|(?:underwent|received|(?:was|were)\s+(?:\w+\s+)?(?:taken|\w+ed|given|put|done|begun))\b[^.]*?\b(?:on|by|until)\s+day\s+{_DAY}{_NOT_OF}"
    rf"|(?:on|by|until)\s+day\s+{_DAY}{_NOT_OF}[^.]*?\b(?:underwent|(?:was|were)\s+(?:\w+\s+)?(?:taken|started|given|transferred|extubated|intubated))\b"
    rf"|hospital\s+day\b|(?:hd|pod)\s*#?\s*\d"
    r"|(?:prior\s+to|before|until|at|on|upon|by)\s+(?:the\s+)?(?:(?:time|day|date)\s+of\s+)?(?:(?:his|her|their)\s+)?discharge\b"
    r"(?!\s+(?:from|of)\b)"
    r"|(?:day|time)\s+of\s+(?:discharge|death)\b|(?:was|were)\s+(?:then\s+|later\s+|subsequently\s+|finally\s+)?discharged\b"
    r"|(?:during|throughout)\s+(?:(?:this|his|her|their|the(?:\s+(?:remainder|rest|course)\s+of)?)\s+)(?:(?:this|his|her|the)\s+)?"
    r"(?:(?:current|present|entire|initial|inpatient)\s+)?(?:hospital\s+(?:stay|course)|hospitali[sz]ation|stay|admission)\b"
    r"|(?:(?:morning|day|night|evening|hours?|days?|weeks?)\s+)?(?:after|following)\s+(?:(?:this|his|her|the)\s+)?admission\b"
    r"|the\s+(?:next|following)\s+(?:morning|day)\s+(?:he|she|the\s+patient)\s+(?:was|underwent)\b"
    r"|hospital\s+course\b|(?:patient|pt|he|she)\s+expired\b)"
)
# Days of the stay, outside of a history: there they may be days of an illness.
_DAYS = re.compile(
    rf"\b(?:on|by|until|till|from|through|since|of)\s+day\s+{_DAY}{_NOT_OF}|\bday\s+\d{{1,2}}\s*:", re.IGNORECASE
)
# The days of an illness, in a history.
_ILLNESS = re.compile(
    r"\bfor\s+\d+\s+days\b|\b(?:illness|symptoms?|noticed|developed|eased|began|of\s+life)\b", re.IGNORECASE
)
# A sentence with one of these is about an earlier stay or another hospital.
_EARLIER = re.compile(
    r"\b(?:last|previous(?:ly)?|prior(?!\s+to)|recent(?:ly)?|ago|earlier|outside|OSH|another\s+hospital|readmi\w+|since(?!\s+then|\s*[.;,])|history\s+of|h/o"
    r"|(?:after|following)\s+(?:his|her|the)?\s*discharge|(?:19|20)\d\d|in\s+(?:january|february|march|april|may|june|july|august"
    r"|september|october|november|december)|(?:in|on|from|to|at)\s+___|rehab|elsewhere|at\s+(?:birth|home)|born|(?:days?|weeks?|months?)[\s-]+old|that\s+(?:admission|hospitali[sz]ation|stay))\b",
    re.IGNORECASE,
)
# Fewer of them stand beside a cue that is no proof: 'on ___' is as often a day of this stay.
_ELSEWHERE = re.compile(
    r"\b(?:last\s+(?:year|month|week|admission|time)|previously|prior\s+(?:admission|hospitali[sz]ation)|outside\s+hospital|OSH"
    r"|another\s+hospital|elsewhere|(?:years?|months?|weeks?)\s+ago|(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"\b(?:over\s+the\s+(?:next|following|ensuing|subsequent)\s+(?:\w+\s+)?(?:hours|days?|weeks?)|the\s+(?:next|following)\s+(?:day|morning)"
    r"|(?:was|were)\s+(?:then\s+|subsequently\s+|later\s+|eventually\s+|successfully\s+)?(?:extubated|weaned|diuresed|discontinued|stented"
    r"|discharged|continued\s+on|transitioned|advanced|tapered|monitored|repleted|held|switched|maintained|restarted)"
    r"|(?:was|were)\s+(?:subsequently|eventually|successfully|ultimately|finally)\s+\w+ed"
    r"|taken\s+(?:to\s+the\s+(?:OR|operating\s+room|cath\w*)|for\s+\w+)|post-?operatively|intraoperatively"
    r"|tolerated\s+(?:the\s+procedure|\w+)\s+well|(?:pathology|cultures?|biopsy|cytology)\s+(?:\w+\s+)?(?:returned|grew|showed|revealed)"
    r"|at\s+the\s+time\s+of\s+(?:this\s+)?(?:dictation|summary)|final\s+(?:pathology|cultures?|read)"
    r"|remained\s+(?:\w+\s+)?(?:stable|afebrile|asymptomatic)|(?:gradually|slowly|clinically|markedly)\s+(?:improved|resolved)"
    r"|(?:improved|resolved)\s+(?:with|on|after|over|by)\b|course\s+was\s+(?:complicated|notable|uneventful|unremarkable)"
    r"|(?:remainder|rest)\s+of\s+(?:the|his|her|their|this)\s+(?:hospital\s+)?(?:stay|admission|hospitali[sz]ation|course)"
    r"|(?:for|to|until|of|after|since|with)\s+(?:\w+\s+)?discharge|(?:self-)?extubat(?:ed|ion)|weaned\s+(?:off|from|to)"
    r"|(?:transferred|transfer|called\s+out|moved|stepped\s+down)\s+(?:back\s+)?to\s+the\s+(?:\w+\s+)?(?:floor|ward|step-?down)"
    r"|(?:chest\s+tubes?|drains?|foley|catheter|lines?|sutures?|staples?|packing)\s+(?:\w+\s+){0,2}(?:out|removed|pulled)\b"
    r"|peaked\s+(?:at|on)|trended\s+(?:down|up)|down-?trended|(?:was|were)?\s*(?:narrowed|de-?escalated|stepped\s+down)\s+(?:to|by|on|from)"
    r"|return(?:ed|ing)\s+to\s+(?:(?:his|her|their|the)\s+)?(?:baseline|normal|usual)|back\s+to\s+(?:his|her|their)\s+(?:baseline|usual)"
    r"|tolerat(?:ed|ing)\s+(?:an?\s+)?(?:\w+\s+)?(?:diet|feeds?)|diet\s+(?:was\s+)?advanced|advanced\s+to\s+(?:an?\s+)?(?:\w+\s+)?(?:diet|goal|feeds)"
    r"|(?:physical|occupational|speech)\s+therap\w+\s+(?:\w+\s+){0,3}(?:recommend\w*|advised|cleared|evaluated)|(?:PT|OT)\s+(?:recommended|cleared|evaluated)"
    r"|follow(?:ing|ed)\s+by\s+\w+\s+(?:service|team)|consult(?:ed|ation)|was\s+found\s+to\s+be\s+growing)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])[ \t]+(?=[A-Z_\"'(])|(?<=[.!?])\n|\n[ \t]*\n|\n(?=[A-Z][A-Za-z/ ]{0,24}:)"
    r"|(?<=[^.!?\n])\n(?=(?:The|On|He|She) )"
)
# Each such sentence contains one of these; they are searched first, because that is fast.
_CUES = (
    "discharge", "hospital day", "hospital course", "during th", "during h", "throughout", "expired", "of death",
    "admission", "the next ", "the following ", "pod", "hd",
)  # fmt: skip
_DAY_CUE = re.compile(
    r"day\s+(?:#|\d|of |after |he |she |the patient|(?:one|two|three|four|five|six|seven|eight|nine|ten)\b)"
)
_AROUND = 160  # characters on either side of a cue, in which the words that belong to it stand
_REFERENCE = re.compile(
    r"(?:(?:please|for\s+(?:full|further|complete|more)?\s*details?,?|kindly)\s+)*(?:(?:is|are|was|has\s+been)\s+)?"
    r"(?:(?:as\s+)?(?:previously\s+|already\s+)?(?:dictated|documented|noted|described|detailed|outlined|recorded|stated|given|above|per|listed)"
    r"|(?:please\s+)?(?:see|refer\s+to|consult)|(?:the\s+)?(?:patient's|full|complete)?\s*(?:history|HPI|H\s?&\s?P)\s+(?:is|was|has\s+been|can\s+be)"
    r"|unchanged\s+from|on\s+(?:the\s+)?chart|same\s+as|refer)\b",
    re.IGNORECASE,
)
LONGEST_REFERENCE = 30  # words; a longer text says something itself


def remove_stay(text: str, *, is_history: bool = True) -> str:
    """Return a section without the sentences that are about this stay beyond doubt."""
    if not _may_tell_of_stay(text) and (is_history or not counts_days(text)):
        return text
    kept = [
        sentence + end
        for sentence, end in _split_sentences(text)
        if not _is_about_stay(sentence, is_history=is_history)
    ]
    return "".join(kept).strip("\n \t")


def extract_stay(text: str) -> str:
    """Return the sentences of a history that `remove_stay` leaves out."""
    if not _may_tell_of_stay(text):
        return ""
    cut = [sentence for sentence, _ in _split_sentences(text) if _is_about_stay(sentence, is_history=True)]
    return "\n".join(cut).strip("\n \t")


def _is_about_stay(sentence: str, *, is_history: bool) -> bool:
    """Return whether a sentence is about this stay and not about an earlier one."""
    is_cue = _STAY.search(sentence.casefold()) is not None or (not is_history and counts_days(sentence))
    return is_cue and not _EARLIER.search(sentence)


def counts_days(text: str) -> bool:
    """Return whether a text other than a history counts the days of a stay.

    >>> counts_days("Supplements from day 2; eats well."), counts_days("Best on day 3 of treatment.")
    (True, False)
    """
    return "day" in text and _DAYS.search(text) is not None


def _may_tell_of_stay(text: str) -> bool:
    folded = text.casefold()
    places = [match.start() for match in _DAY_CUE.finditer(folded)] if "day" in folded else []
    for cue in _CUES:
        if cue in folded:  # which is faster than a regular expression or `find`
            place = folded.find(cue)
            while place >= 0:
                places.append(place)
                place = folded.find(cue, place + _AROUND)
    return any(_STAY.search(folded, max(place - _AROUND, 0), place + _AROUND) for place in places)


def tells_later_events(sentence: str) -> bool:
    """Return whether a sentence of a history has a cue of events after the admission."""
    is_about_stay = _STAY.search(sentence.casefold()) or (counts_days(sentence) and not _ILLNESS.search(sentence))
    if is_about_stay and not _EARLIER.search(sentence):
        return True
    return _LATER.search(sentence) is not None and not _ELSEWHERE.search(sentence)


def is_reference(text: str) -> bool:
    """Return whether a section only says where its content stands.

    >>> is_reference("As dictated by Dr. ___."), is_reference("See below; he fell from a ladder on his left hip.")
    (True, False)
    """
    if _REFERENCE.match(text.lstrip("*-=_~( \t\n")) is None:
        return False
    words = len(text.split())
    if words > LONGEST_REFERENCE or _SUMMARY.search(text):
        return False
    return words <= 3 or _POINTS_TO.search(text) is not None


_SUMMARY = re.compile(r"\b(?:briefly|in\s+(?:brief|short|summary)|\d+[\s-]+(?:y/?o|years?))\b", re.IGNORECASE)
_POINTS_TO = re.compile(
    r"\b(?:dictat\w+|note|H\s?&\s?P|history\s+and\s+physical|admission|chart|record|report|summary|above|Dr|previous|elsewhere"
    r"|documentation|consult\w*|EMR|OMR|details?)\b(?![^.]*\b(?:he|she|fell|pain|fever|present\w*|complain\w*)\b)",
    re.IGNORECASE,
)


def _split_sentences(text: str) -> Iterator[tuple[str, str]]:
    """Yield sentences, each with the white space behind it."""
    begin = 0
    for end in _SENTENCE_END.finditer(text):
        yield text[begin : end.start()], end[0]
        begin = end.end()
    yield text[begin:], ""
