"""Find the labels of a note that may open a section: words before a colon at the start of a line, or alone on one.

Notes without the separators of MIMIC's template are also searched for headers inside lines, with a number, in brackets,
with a dash or full stop instead of a colon, and for abbreviations with dots.
"""

import re
from collections import defaultdict
from functools import cache
from operator import itemgetter
from typing import NamedTuple

from builders.cohort.exam_parts import ADMISSION_WORDS, contains_any
from builders.cohort.headers import KNOWN_NAMES, Headers, Label, load_headers
from builders.cohort.section_rules import DISCHARGE_EXAM, EXAM, MEDICATIONS, RESULTS, follows_empty_line

# What may be a label: words at the start of a line, followed by a colon or alone on it, perhaps with a remark in
# brackets. The first comma or full stop gives prose away. Possessive, so that each line is scanned once.
LABEL = re.compile(
    r"\n[ \t#*=]*+([A-Za-z_][A-Za-z0-9_ /&'#-]{0,70}+(?:(?<=[A-Z]),[A-Z ,/&'-]{3,60}+)?+(?:[(\[][^)\]\n]{0,60}+[)\]])?+"
    r"[ \t*=]*+)(?::++(?!\d)|(?=\n))"
)
# Inside a line; with a number, with a dash instead of a colon, or as an abbreviation with dots.
_OTHERS = re.compile(
    r"(?:(?<=[.;,)])[ \t]{0,4}|(?<=[ \t][ \t]))(?P<inside>[A-Z][A-Za-z/&' -]{1,60}+):(?!\d)"
    r"|\n[ \t]*(?:(?:\d{1,2}|[IVX]{1,5}|[A-Z])[.)][ \t]+(?P<numbered>[A-Za-z_][A-Za-z0-9_/&'-]*+"
    r"(?: [A-Za-z0-9_/&'][A-Za-z0-9_/&'-]*+){0,8}+)(?: ?:++|\.(?=\s)| ?[-–—]+(?=\s)|(?=\n))"
    r"|(?P<dotted>(?:[A-Z]\.){2,4}):"
    r"|\[(?:(?:\d{1,2}|[IVX]{1,5}|[A-Z])[.)] )?(?P<bracketed>[A-Z][A-Za-z0-9 /&'-]{1,60}+)\]:?+"
    r"|(?P<dashed>[A-Z][A-Za-z/&'-]*+(?: [A-Za-z/&'][A-Za-z/&'-]*+){0,6}+) ?[-–—][ \t]"
    r"|(?P<stopped>[A-Z][A-Z/&'-]*+(?: [A-Z/&'][A-Z/&'-]*+){0,6}+)\.(?:[ \t]|(?=\n)))"
)
_CONNECTIVES = (" of", " on", " and", " at", " or", " to", " the", " OF", " ON", " AND", " AT", " OR", " TO", " THE")
_RULES = frozenset({"----", "====", "____", "~~~~", "****"})
SEPARATOR = "\n \n"
SHORTEST_BARE = 6
"""Letters of an unknown header in capitals that has neither colon nor empty line above it."""
FEW = 6
"""A note with fewer of the template's separators is searched for headers in other forms."""
MAIN = frozenset({"Chief Complaint", "History of Present Illness", "Past Medical History", EXAM, MEDICATIONS})
TEMPLATES_OWN = frozenset({"Sex", "Redacted", "Allergies"})
FEW_MAIN = 3
"""So is one with fewer of these. So many known headers in one form make it the note's own, else they form a list."""
Found = tuple[str | None, int, int, Label, bool]
"""A label that may be a header: its section by its words, where it starts, where its text begins, its words, whether it
is an item of a list. A plain tuple, for speed."""


class Form(NamedTuple):
    """What the start of a line says by itself, whatever stands around it."""

    label: Label
    has_colon: bool
    is_item: bool
    may_open: bool
    is_header: bool
    """Whether it is a header beyond doubt."""
    needs_space: bool
    """Whether all that matters is that white space follows: not 'Q4H:PRN'."""


class Forms(dict[str, Form]):
    """The start of a line as written, up to its colon → its form. Each is judged once, as are labels (Headers)."""

    def __init__(self, headers: Headers) -> None:
        self.headers = headers

    def judge(self, match: re.Match[str]) -> Form:
        """Return the form of a match of LABEL, and remember it."""
        start, label = match[0], self.headers[match[1]]
        is_item = "#" in start[: start.index(match[1])]
        form = _judge_form(label, has_colon=start.endswith(":"), is_item=is_item, has_dash=" - " in match[1])
        if len(self) < Headers.MOST:
            self[start] = form
        return form


@cache
def load_forms(own: tuple[tuple[str, str], ...] = ()) -> Forms:
    """Return the forms judged by the template's headers together with a user's."""
    return Forms(load_headers(own))


def _judge_form(label: Label, *, has_colon: bool, is_item: bool, has_dash: bool) -> Form:
    name = label.section
    # An item of a problem list, such as '# PE', is no header.
    is_problem = is_item and name in KNOWN_NAMES and (len(label.text) < 5 or name == MEDICATIONS)
    is_plain = name is not None and name != "Date of Birth" and not (name == RESULTS and "lab" in label.words)
    may_open = not (label.is_inert or is_problem)
    return Form(
        label,
        has_colon,
        is_item,
        may_open,
        is_header=may_open and is_plain and has_colon and (label.is_title or label.has_capital),
        needs_space=may_open and name is None and has_colon and not has_dash,
    )


def find_labels(note: str, forms: Forms) -> list[Found]:
    """Return the labels of a note that begins and ends with a line break, in its order."""
    found = _find_at_lines(note, forms)
    sections = {entry[0] for entry in found}
    has_template = len(note.split(SEPARATOR, FEW)) > FEW  # stops at the last it needs, as note.count would not
    if has_template and len(sections & MAIN) >= FEW_MAIN and not sections.isdisjoint(TEMPLATES_OWN):
        return found
    return _add_others(found, note, forms.headers)


def _find_at_lines(note: str, forms: Forms) -> list[Found]:
    """Return the labels at the starts of lines.

    Known ones begin with a capital or `___` and end in a colon, or have capitals throughout. Others must follow an
    empty line: wrapped prose may begin a line with the same words.
    """
    found = list[Found]()
    half: re.Match[str] | None = None  # a line that may be the first half of a header
    for match in LABEL.finditer(note):
        label, has_colon, is_item, may_open, is_header, needs_space = form = forms.get(match[0]) or forms.judge(match)
        if not has_colon:
            half = match if label.may_be_half else None
        elif half is not None:
            first, half = half, None
            if joint := _join_halves(first, match, forms.headers):
                if found and found[-1][1] == first.start():
                    found.pop()
                found.append(joint)
                continue
        if is_header:
            start, begin = match.span()
            found.append((label.section, start, begin, label, is_item))
        elif needs_space:
            start, begin = match.span()
            if note[begin].isspace():
                found.append((None, start, begin, label, is_item))
        elif may_open and (entry := _describe(note, match, form, forms.headers)):
            found.append(entry)
    return found


def _describe(note: str, match: re.Match[str], form: Form, headers: Headers) -> Found | None:
    """Return the label of a line whose form alone does not decide; None if it opens nothing."""
    name, (start, begin) = form.label.section, match.span()
    if name is None:
        return _describe_unknown(note, match, form, headers)
    if not _is_accepted(note, start, form):
        return None
    if name == "Date of Birth":
        name, begin = _find_sex(note, begin)
    elif name == RESULTS and "lab" in form.label.words:
        begin = match.start(1)  # the header itself says which labs they are
    return name, start, begin, form.label, form.is_item


def _find_sex(note: str, begin: int) -> tuple[str, int]:
    """Return where the text of the sex begins, which shares its line with the date of birth."""
    place = note.find("Sex:", begin, note.find("\n", begin))
    return ("Sex", place + len("Sex:")) if place >= 0 else ("Date of Birth", begin)


def _join_halves(first: re.Match[str], second: re.Match[str], headers: Headers) -> Found | None:
    """Return the header that two lines make together; None if they make none."""
    if first.end() != second.start():
        return None
    half, other = headers[first[1]], headers[second[1]]
    is_open = half.text.endswith(_CONNECTIVES)
    if (
        other.section
        and not is_open
        and (half.section or (other.has_capital and " " in other.text and not _leads(half)))
    ):
        return None  # two headers, or a header below a line of text
    label = headers[f"{first[1]} {second[1]}"]
    if label.section is None or label.is_generic:
        return None
    is_lab = label.section == RESULTS and "lab" in label.words
    return label.section, first.start(), first.start(1) if is_lab else second.end(), label, False


def _leads(half: Label) -> bool:
    """Return whether a line may open a header whose second line would be one of its own: 'DISCHARGE', 'ADMISSION'."""
    return half.is_about_the_stay or contains_any(half.words, ADMISSION_WORDS)


def _describe_unknown(note: str, match: re.Match[str], form: Form, headers: Headers) -> Found | None:
    """Return a label that no form matches, if it may open a section all the same."""
    raw, label, (start, begin) = match[1], form.label, match.span()
    if " - " in raw:  # 'HOME MEDICATIONS - Daily:'
        head = raw.partition(" - ")[0]
        if headers[head].section:
            is_lab = headers[head].section == RESULTS
            return headers[head].section, start, match.start(1) + (0 if is_lab else len(head) + 2), headers[head], False
    if form.has_colon:
        is_candidate = note[begin].isspace()  # not 'Q4H:PRN'
    else:
        is_set_off = note[begin + 1 : begin + 5] in _RULES or follows_empty_line(note, start)
        is_candidate = is_set_off or (label.is_caps and len(label.text) >= SHORTEST_BARE)
    return (None, start, begin, label, form.is_item) if is_candidate else None


def _is_accepted(note: str, start: int, form: Form) -> bool:
    """Return whether a known label stands as a header does."""
    label = form.label
    if form.has_colon:
        return label.is_title or label.has_capital or follows_empty_line(note, start)
    return (label.is_own and label.is_title) or label.is_caps or follows_empty_line(note, start)


def _add_others(found: list[Found], note: str, headers: Headers) -> list[Found]:
    """Return the labels with known ones inside lines and in other forms."""
    starts = {start for _, start, _, _, _ in found}
    more: list[Found] = []
    styled = defaultdict[str, list[Found]](list)
    for match in _OTHERS.finditer(note):
        form = str(match.lastgroup)
        label = headers[match[form]]
        is_lab = label.section == RESULTS and "lab" in label.words
        entry = (label.section, match.start(), match.start(form) if is_lab else match.end(), label, False)
        if entry[1] in starts:
            continue
        if form != "inside":
            styled[form].append(entry)
        elif label.section and len(label.text) > 4 and _is_emphatic(label):
            more.append(entry)
    for form, entries in styled.items():
        if sum(bool(entry[0]) for entry in entries) >= FEW_MAIN:  # the note's own way to write headers
            more += [entry for entry in entries if entry[0] or _is_set_off(note, entry)]
        elif form != "numbered":  # else it is a list
            more += [entry for entry in entries if entry[0] and _is_emphatic(entry[3])]
    return sorted([*found, *more], key=itemgetter(1)) if more else found


def _is_set_off(note: str, entry: Found) -> bool:
    """Return whether an unknown label follows an empty line, or has capitals and a colon."""
    return follows_empty_line(note, entry[1]) or (entry[3].is_caps and note[entry[2] - 1] == ":")


def _is_emphatic(label: Label) -> bool:
    return label.is_caps or (label.is_title and not label.is_generic) or label.section == DISCHARGE_EXAM
