"""What an outcome says of diseases, procedures, findings and drugs, indexed once per stay.

    read = read_outcome(sections, titles)     # sections: (name, text) of the note; titles: of the stay's codes
    read.find("pneumonia")                    # Statement(is_denied=False, section='Discharge Diagnosis')

Beside the lexicon of deepicd.evidence, a stay has names of its own: lines of its discharge diagnosis, headings of its
problems, procedures, drugs of its medication list, titles of its codes. Sections that advise or describe the patient at
discharge say nothing of what was found.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from deepicd.evidence.lexicon import Name, Term, load_lexicon
from deepicd.evidence.mentions import Mention
from deepicd.evidence.reading import read_text
from deepicd.evidence.tokens import split_tokens

CODES = "Codes"
"""The section that the titles of the stay's codes make."""
DIAGNOSIS, PROCEDURE, DRUGS = "Discharge Diagnosis", "Major Surgical or Invasive Procedure", "Discharge Medications"
UNHELPFUL = frozenset(
    {"Discharge Instructions", "Followup Instructions", "Transitional Issues", "Discharge Exam", "Discharge Condition",
     "Discharge Disposition", "Discharge", "Redacted"}
)  # fmt: skip
_DECISIVE = (CODES, DIAGNOSIS, PROCEDURE, DRUGS)
"""What stands here is so, whatever the course says of it before."""
LONGEST_NAME = 6  # words
SHORTEST_NAME = 4  # letters

_LINE = re.compile(r"[\n;]")
_BULLET = re.compile(r"^[\s\-#•*\d.)(]+")
_LABEL = re.compile(
    r"^(?:primary|secondary|final|principal|other|chronic|active|acute)?\s*(?:diagnos[ie]s|issues?)?\s*:\s*", re.I
)
_PROBLEM = re.compile(r"^#+\s*([^:\n.]{3,60})[:\n]", re.MULTILINE)
_DRUG = re.compile(r"^\s*\d{1,2}[.)]\s+([A-Za-z][A-Za-z-]{3,30})\b", re.MULTILINE)
_REMARK = re.compile(
    r"\([^)]*\)|\b(?:unspecified|not elsewhere classified|initial encounter|subsequent encounter)\b", re.I
)
_NOTHING = frozenset({"none", "no", "n/a", "as above", "same", "deceased"})


@dataclass(frozen=True, slots=True)
class Statement:
    """What an outcome says of one thing."""

    is_denied: bool
    section: str


@dataclass(frozen=True, slots=True)
class OutcomeText:
    statements: Mapping[str, Sequence[Mention]]
    """Finding or drug → its mentions, without those that are weighed, past or of the family."""
    section_of: Mapping[int, str]
    """Start of a mention → its section."""
    names: Mapping[str, Sequence[Name]]
    """First word → the names that this stay adds to the lexicon."""

    def list_mentions(self, key: str) -> Sequence[Mention]:
        return self.statements.get(key, ())

    def decide(self, mentions: Iterable[Mention]) -> Statement | None:
        """Return what mentions of one thing amount to: what a decisive section affirms, else the last that is said."""
        last: Statement | None = None
        for mention in mentions:
            said = Statement(mention.is_denied, self.section_of[mention.start])
            if said.section in _DECISIVE and not said.is_denied:
                return said
            last = said
        return last


def read_outcome(sections: Iterable[tuple[str, str]], titles: Iterable[str]) -> OutcomeText:
    """Return the indexed outcome of a stay."""
    return _read(tuple((name, text) for name, text in sections if name not in UNHELPFUL), tuple(titles))


@lru_cache(maxsize=4)
def _read(sections: tuple[tuple[str, str], ...], titles: tuple[str, ...]) -> OutcomeText:
    lexicon = load_lexicon()
    names: dict[str, list[Name]] = {}
    for spelling, sort, nature in dict.fromkeys(_list_names(sections, titles)):
        words = split_tokens(spelling).words
        if len(words) > 1 or (words and words[0] not in lexicon.names):
            term = Term(sort, " ".join(words), nature)
            names.setdefault(words[0], []).append(Name(words, None, term))
    names = {first: sorted(group, key=lambda name: -len(name.words)) for first, group in names.items()}
    statements: dict[str, list[Mention]] = {}
    section_of: dict[int, str] = {}
    start = 0
    for section, text in (*sections, (CODES, ".\n\n".join(map(strip_title, titles)))):
        for mention in read_text(text, names).mentions:
            mention.start += start  # so that it tells mentions of several sections apart
            section_of[mention.start] = section
            if mention.is_hedged or mention.is_of_family or mention.term.sort == "place":
                continue
            if section == CODES and mention.is_denied:
                continue  # 'without complication'
            key = mention.term.key
            for broader in lexicon.broader.get(key, (key,)):
                if broader == key or not mention.is_denied:
                    statements.setdefault(broader, []).append(mention)
            if mention.term.sort == "drug":
                for group in lexicon.find_classes(key):
                    statements.setdefault(group, []).append(mention)
        start += len(text) + 1
    return OutcomeText(statements, section_of, names)


def _list_names(sections: Iterable[tuple[str, str]], titles: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (spelling, sort, nature) of what a stay calls by name."""
    for section, text in sections:
        if section in (DIAGNOSIS, PROCEDURE):
            nature = "disease" if section == DIAGNOSIS else "procedure"
            for line in _LINE.split(text):
                if name := _clean_name(_LABEL.sub("", _BULLET.sub("", line))):
                    yield name, "finding", nature
        elif section == DRUGS:
            yield from ((match[1], "drug", "") for match in _DRUG.finditer(text))
        else:
            for match in _PROBLEM.finditer(text):
                if name := _clean_name(match[1]):
                    yield name, "finding", "disease"
    for title in titles:
        if name := _clean_name(strip_title(title)):
            yield name, "finding", "disease"


def strip_title(title: str) -> str:
    """Return a title as a clinician would say it: 'Pneumonia, unspecified organism' → 'Pneumonia'.

    >>> strip_title("Non-ST elevation (NSTEMI) myocardial infarction"), strip_title("Gout, unspecified")
    ('Non-ST elevation myocardial infarction', 'Gout')
    """
    return " ".join(_REMARK.sub("", title.partition(",")[0]).split())


def _clean_name(text: str) -> str | None:
    name = " ".join(text.split()).strip(" .,:;-_*")
    if name.lower() in _NOTHING or len(name) < SHORTEST_NAME or len(name.split()) > LONGEST_NAME:
        return None
    return name if name.replace("_", "").strip() and "___" not in name else None
