"""Headers of discharge summaries (headers.yaml): which section a label opens, and what else its words say.

    headers = load_headers()
    headers["Home medications"].section    # 'Medications on Admission'
    headers["HEENT"].lists                 # {'exam', …}: a label inside an exam

A label is what precedes a colon at the start of a line, or stands alone on one. Those whose words are ambiguous
(`___ Exam`, `Home medications`, `Primary diagnosis`) are decided by their place in the note
(builders.cohort.section_rules), and so are those that no list holds (builders.cohort.unknown_headers).
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.parsing import ParseError, parse_yaml

TEMPLATE_FILE = Path(__file__).with_name("headers.yaml")
TEXT = "text"
"""What a user says a header opens if it is part of the section it stands under."""
_SMALL_WORDS = {"of", "the", "or", "and", "on", "at", "in", "for", "to", "by", "with", "prior", "upon", "&", "/", "a"}
_FAULTS = (re.error, Warning, RecursionError, ArithmeticError, LookupError, AttributeError, TypeError, ValueError)
_CONJUNCTIONS = re.compile(r"\s*(?:[/,&]|\band\b)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Heading:
    """A section of the template."""

    name: str
    known: bool
    """Whether its content was known at admission."""
    forms: tuple[str, ...]
    """Regular expressions for its header without the colon, case-insensitive."""
    others: tuple[str, ...] = ()
    """The same, tried after the forms of all sections."""


@dataclass(frozen=True, slots=True)
class Template:
    """The content of headers.yaml."""

    sections: tuple[Heading, ...]
    labels: Mapping[str, frozenset[str]]
    """List → the words of labels inside sections; 'any' for those that none consists of."""
    labels_of: Mapping[str, frozenset[str]]
    """Section → the lists that hold its labels."""
    phrases: Mapping[str, re.Pattern[str]]
    """List → labels in other words."""
    stay_words: frozenset[str]
    prose_words: frozenset[str]
    prose_starts: tuple[str, ...]


class Label(NamedTuple):
    """What the words of a label say, wherever it stands."""

    text: str
    """The label without decoration, with single blanks."""
    words: str
    """The same, casefolded."""
    section: str | None
    """The section that it opens; None if no form matches."""
    is_generic: bool
    """Whether only a form of `others` matches."""
    has_capital: bool
    is_title: bool
    """Whether it has several words, all with a capital but for small ones."""
    is_caps: bool
    is_own: bool
    """Whether it is the name of a section in MIMIC's template."""
    lists: frozenset[str]
    """The lists of labels that hold all its words."""
    is_about_the_stay: bool
    is_prose: bool
    is_inert: bool
    """Whether it opens nothing, wherever it stands."""
    may_be_half: bool
    """Whether it may be the first of two lines that make a header."""


def load_template(path: Path = TEMPLATE_FILE) -> Template:
    """Return the sections in the template's order, and the lists of words. Raises DeepicdError for another file."""
    try:
        with warnings.catch_warnings(action="error"):  # of a pattern that another Python may read differently
            template = _parse_template(parse_yaml(storage.read_bounded(path)))
    except _FAULTS as error:
        raise DeepicdError(
            f"{path} is not a template of discharge notes ({type(error).__name__}: {error}).",
            "Each section has a name, `known` (true or false) and one or more regular expressions as `forms`.",
        ) from error
    names = [heading.name for heading in template.sections]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise DeepicdError(f"{path} names sections twice: {', '.join(sorted(repeated))}.", "Merge their forms.")
    return template


def _parse_template(tree: Any) -> Template:
    return Template(
        sections=tuple(_parse_heading(entry, tree["fragments"]) for entry in tree["sections"]),
        labels={name: frozenset(words.split()) for name, words in tree["labels"].items()},
        labels_of={name: frozenset(lists) for name, lists in tree["labels_of"].items()},
        phrases={name: re.compile("|".join(forms), re.IGNORECASE) for name, forms in tree["phrases"].items()},
        stay_words=frozenset(tree["stay_words"].split()),
        prose_words=frozenset(tree["prose_words"].split()),
        prose_starts=tuple(f"{word} " for word in tree["prose_starts"].split()),
    )


def _parse_heading(entry: Mapping[str, object], fragments: Mapping[str, str]) -> Heading:
    name, known, forms, others = entry["name"], entry["known"], entry["forms"], entry.get("others", [])
    if not (isinstance(name, str) and isinstance(known, bool) and isinstance(forms, list) and forms):
        raise ValueError(f"section {name!r}")
    if not isinstance(others, list):
        raise ValueError(f"section {name!r}")
    expanded = []
    for form in (*forms, *others):
        for fragment, pattern in fragments.items():
            form = form.replace(f"{{{fragment}}}", pattern)
        expanded.append(re.compile(form).pattern)
    return Heading(name, known, tuple(expanded[: len(forms)]), tuple(expanded[len(forms) :]))


TEMPLATE = load_template()
KNOWN = tuple(heading.name for heading in TEMPLATE.sections if heading.known)
KNOWN_NAMES = frozenset(KNOWN)
ORDER = {heading.name: place for place, heading in enumerate(TEMPLATE.sections)}
_OWN = {name.casefold() for name in ORDER} | {"hospital course", "physical examination"}
_FORMS = [(name, form) for name, form in ((h.name, h.forms) for h in TEMPLATE.sections)]
_FORMS += [(heading.name, heading.others) for heading in TEMPLATE.sections if heading.others]
# One alternative per row, groups s0, s1, …; a remark in brackets may stand between header and colon.
_HEADER = re.compile(
    "|".join(rf"(?P<s{row}>(?:{'|'.join(forms)}) ?(?:[(\[][^)\]]*[)\]])?)" for row, (_, forms) in enumerate(_FORMS)),
    re.IGNORECASE,
)


class Headers(dict[str, Label]):
    """Label as written → what its words say. Each is classified once: the same few open nearly all sections."""

    MOST = 2**16
    """Labels to remember."""

    def __init__(self, own: Iterable[tuple[str, str]] = ()) -> None:
        """`own`: pairs of a header and its section, which precede those of the template."""
        self._own = {clean_label(header).casefold(): section for header, section in own}

    def __missing__(self, raw: str) -> Label:
        label = self._classify(clean_label(raw))
        if len(self) < self.MOST:
            self[raw] = label
        return label

    def _classify(self, text: str) -> Label:
        words, parts = text.casefold(), text.split()
        tokens = frozenset(token for token in re.split(r"[^a-z0-9'_-]+", words) if token)
        is_title = len(parts) > 1 and all(part in _SMALL_WORDS or not part[0].islower() for part in parts)
        is_caps = text.isupper() and sum(map(str.isalpha, text)) > 1
        section, is_generic = _match_form(text)
        if section is None or is_generic:
            joint = self._match_parts(text)
            section, is_generic = (joint, False) if joint else (section, is_generic)
        is_sentence = bool(tokens & TEMPLATE.prose_words) or len(parts) > 9
        if words.startswith(TEMPLATE.prose_starts) and not is_title and not is_caps:  # 'Per EMS report', 'In the ED'
            section, is_sentence = None, True
        section = self._own.get(words) or section
        lists = frozenset(name for name, listed in TEMPLATE.labels.items() if _consists_of(tokens, listed))
        lists |= {name for name, phrases in TEMPLATE.phrases.items() if phrases.fullmatch(text)}
        is_prose = is_sentence and not is_title and not is_caps
        return Label(
            text,
            words,
            section,
            is_generic,
            has_capital=not text[:1].islower(),
            is_title=is_title,
            is_caps=is_caps,
            is_own=words in _OWN or words.endswith("hospital course") or (section == "Discharge" and len(parts) > 1),
            lists=lists,
            is_about_the_stay=bool(tokens & TEMPLATE.stay_words),
            is_prose=is_prose,
            is_inert=section is None and bool(is_prose or lists) and " - " not in text,
            may_be_half=not is_prose and 0 < len(text) <= 40 and text[:1].isupper(),
        )

    def _match_parts(self, text: str) -> str | None:
        """Return the section of a header that names several; None if one of them is no section.

        'Chief Complaint/HPI', 'Family and Social History'. One that was not known at admission has the whole text.
        """
        parts = [part for part in _CONJUNCTIONS.split(text) if part]
        if len(parts) < 2:
            return None
        last = parts[-1].split()[-1]
        sections = [self._own.get(part.casefold()) or _match_part(part, last) for part in parts]
        if None in sections:
            return None
        return next((name for name in sections if name not in KNOWN), sections[0])


@cache
def load_headers(own: tuple[tuple[str, str], ...] = ()) -> Headers:
    """Return the template's headers together with a user's."""
    return Headers(own)


def clean_label(raw: str) -> str:
    """Return a label without decoration, its blanks single, dots of abbreviations removed."""
    text = re.sub(r"(?<= )H/O$", "History", " ".join(raw.strip(" \t*=-:\n").split()), flags=re.IGNORECASE)
    return text.replace(".", "") if re.fullmatch(r"(?:[A-Za-z]\.)+", text) else text


def _match_form(text: str) -> tuple[str | None, bool]:
    """Return the section with a form that matches a header, and whether it is one of its `others`."""
    match = _HEADER.fullmatch(text)
    if match is None:
        return None, False
    row = int(str(match.lastgroup)[1:])
    return _FORMS[row][0], row >= len(TEMPLATE.sections)


def _match_part(part: str, last: str) -> str | None:
    """Return the section of 'Family' in 'Family and Social History', whose last word is 'History'."""
    matches = _match_form(part), _match_form(f"{part} {last}")
    return next((name for name, is_generic in matches if name and not is_generic), matches[0][0] or matches[1][0])


def _consists_of(tokens: frozenset[str], listed: frozenset[str]) -> bool:
    """Return whether all words of a label are listed, at least one of them not among those of any list."""
    anywhere = TEMPLATE.labels["any"]
    return listed is not anywhere and tokens <= (listed | anywhere) and not tokens <= anywhere


def read_headers(pairs: Iterable[str], file: Path | None = None) -> tuple[tuple[str, str], ...]:
    """Return a user's headers: 'HEADER=SECTION' each, and those of a YAML file (header: section). Raises DeepicdError.

    >>> read_headers(["Pertinent Data=Pertinent Results"])
    (('pertinent data', 'Pertinent Results'),)
    """
    sections = {name.casefold(): name for name in (*ORDER, TEXT)}
    entries = [(*pair.rpartition("=")[::2], pair) for pair in pairs]
    if file is not None:
        try:
            tree = parse_yaml(storage.read_bounded(file))
        except ParseError as error:
            raise DeepicdError(f"{file} cannot be read as YAML: {error}.", _HEADERS_ADVICE) from error
        if not isinstance(tree, dict):
            raise DeepicdError(f"{file} holds no mapping of headers to sections.", _HEADERS_ADVICE)
        entries = [(str(header), str(section), f"{header}: {section}") for header, section in tree.items()] + entries
    own: dict[str, str] = {}
    for header, section, entry in entries:
        name = sections.get(section.strip().casefold())
        if not (key := clean_label(header).casefold()) or name is None:
            raise DeepicdError(f"{entry!r} does not say which section a header opens.", _HEADERS_ADVICE)
        own[key] = name
    return tuple(sorted(own.items()))


_HEADERS_ADVICE = (
    'Write --header "Pertinent Data=Pertinent Results", or lines `Pertinent Data: Pertinent Results` in a YAML file. '
    f"Sections: {', '.join(ORDER)}; {TEXT} for a line of the section above it."
)
