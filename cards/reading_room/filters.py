"""What of the rows a reader asked for: parsed from a query string, written back into one, and as SQL.

filters = parse_filters({"chapter": "9", "verdict": "rejected", "page": "2"})
filters.where()                       # ("chapter = ? and verdict = ?", [9, "rejected"])
filters.link(page=3)                  # 'chapter=9&verdict=rejected&page=3'
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from deepicd.errors import DeepicdError
from deepicd.schema import SPLITS

VERDICTS = ("kept", "rejected", "no trace")
SORTS = {
    "": "row",
    "words": "words desc, row",
    "contradicted": "contradicted desc, absent desc, row",
    "score": "score, row",
}
"""Name in the query → order. Without a name: the cohort's order."""
SORT_TITLES = {
    "": "in the cohort's order",
    "words": "longest first",
    "contradicted": "most contradicted first",
    "score": "lowest score first",
}
CLAIMS = ("contradicted", "absent", "inference")  # kinds of claims that a trace may be asked to have
MAX_TEXT = 200  # characters of a search


@dataclass(frozen=True, slots=True)
class Filters:
    """A reader's selection; '' and 0 select everything."""

    split: str = ""
    chapter: int = 0
    code: str = ""
    """A code or its beginning, without dot."""
    verdict: str = ""
    reason: str = ""
    flag: str = ""
    score: int = 0
    recipe: str = ""
    """Digest."""
    claim: str = ""
    """A kind of claim that the trace has."""
    q: str = ""
    """Text in note, trace or title."""
    sort: str = ""
    page: int = 1

    @property
    def is_narrow(self) -> bool:
        """Whether anything is left out."""
        return replace(self, sort="", page=1) != Filters()

    def link(self, **changes: object) -> str:
        """Return the query string of this selection with some changes; the page starts over unless it is given."""
        values = asdict(self) | {"page": 1} | changes
        return urlencode({name: value for name, value in values.items() if value != getattr(_ALL, name)})

    def where(self) -> tuple[str, list[object]]:
        """Return the condition on table `entries` and its parameters; the text is searched for separately."""
        conditions: dict[str, object] = {
            "split = ?": self.split,
            "chapter = ?": self.chapter,
            "starts_with(icd_code, ?)": self.code,
            "verdict = ?": self.verdict,
            "list_contains(reasons, ?)": self.reason,
            "list_contains(flags, ?)": self.flag,
            "round(score) = ?": self.score,
            "recipe_digest = ?": self.recipe,
        }
        chosen = {text: value for text, value in conditions.items() if value}
        chosen |= {f"{self.claim} > ?": 0} if self.claim else {}
        return " and ".join(chosen) or "true", list(chosen.values())


_ALL = Filters()


def parse_filters(query: Mapping[str, str]) -> Filters:
    """Return the selection of a query string. Raises DeepicdError for a value that is none of the offered ones."""
    return Filters(
        split=_choose(query, "split", SPLITS),
        chapter=_count(query, "chapter", 22),
        code=_parse_prefix(query.get("code", "")),
        verdict=_choose(query, "verdict", VERDICTS),
        reason=query.get("reason", "")[:MAX_TEXT],
        flag=query.get("flag", "")[:MAX_TEXT],
        score=_count(query, "score", 5),
        recipe=query.get("recipe", "")[:MAX_TEXT],
        claim=_choose(query, "claim", CLAIMS),
        q=query.get("q", "").strip()[:MAX_TEXT],
        sort=_choose(query, "sort", tuple(SORTS)),
        page=max(_count(query, "page", 1_000_000), 1),
    )


def _choose(query: Mapping[str, str], name: str, offered: Sequence[str]) -> str:
    value = query.get(name, "")
    if value and value not in offered:
        raise DeepicdError(
            f"There is no {name} {value[:MAX_TEXT]!r}.", f"Choose one of: {', '.join(filter(None, offered))}."
        )
    return value


def _count(query: Mapping[str, str], name: str, most: int) -> int:
    value = query.get(name, "") or "0"
    if not (value.isascii() and value.isdigit() and len(value) < 9 and int(value) <= most):
        raise DeepicdError(f"{value[:MAX_TEXT]!r} is not a {name}.", f"Give a whole number from 1 to {most:,}.")
    return int(value)


def _parse_prefix(text: str) -> str:
    prefix = text.strip().upper().replace(".", "")
    if prefix and not (prefix.isascii() and prefix.isalnum() and len(prefix) <= 7):
        raise DeepicdError(f"{text[:MAX_TEXT]!r} does not begin an ICD-10-CM code.", "For instance: I50, I50.2, C7A")
    return prefix
