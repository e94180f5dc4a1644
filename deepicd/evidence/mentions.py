"""The drugs and findings that a text mentions: denied or not, weighed or stated, on which side, of whom.

The rules are those of NegEx and ConText in small: a cue ('denies', 'possible', 'mother') reaches some words ahead, a
list extends it, and the end of the sentence or a word like 'but' closes it. The words are in cues.yaml.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from deepicd.evidence.lexicon import Lexicon, Name, Term
from deepicd.evidence.tokens import SENTENCE_ENDS, Tokens

_LIST_WORDS = frozenset((",", "or", "and", "nor", "/", "any", "new", "recent", "acute", "significant"))
_TO_PLACE = frozenset("of in on over to at the his her their a an around down both from along".split())
_FROM_PLACE = frozenset("is are was were with and".split())  # 'left knee is swollen'

_FAR = 3  # words between a finding and its side or place
_ADVERBS = 2  # words between a denial and the link that it denies: 'does not usually cause'
_LINK_REACH = 10  # words behind a denied link that are weighed
_SCOPE_LIMIT = 40  # words that a list may carry a denial


class Hit(NamedTuple):
    """A name in a text: tokens first up to (not including) last."""

    first: int
    last: int
    term: Term


@dataclass(slots=True)
class Mention:
    """A drug, class of drugs, finding or sided place in a text. Offsets are characters."""

    start: int
    end: int
    first: int
    last: int
    term: Term
    is_denied: bool = False
    is_hedged: bool = False
    is_past: bool = False
    is_of_family: bool = False
    side: str = ""
    site: str = ""


def scan(tokens: Tokens, lexicon: Lexicon, extra: Mapping[str, Sequence[Name]]) -> list[Hit]:
    """Return the names in a text, in order and without overlap; `extra` are names that only this text's note has."""
    hits: list[Hit] = []
    words, names, count, at = tokens.words, lexicon.names, len(tokens.words), 0
    while at < count:
        word = words[at]
        found = _match(tokens, at, names[word]) if word in names else None
        other = _match(tokens, at, extra[word]) if word in extra else None
        if other is not None and (found is None or other.last > found.last):
            found = other
        if found is None and lexicon.is_drug(word):
            found = Hit(at, at + 1, Term("drug", word))
        if found is None:
            at += 1
        else:
            hits.append(found)
            at = found.last
    return hits


def _match(tokens: Tokens, at: int, names: Sequence[Name]) -> Hit | None:
    for words, cased, term in names:
        last = at + len(words)
        if cased is None:
            if last == at + 1 or tokens.words[at:last] == words:
                return Hit(at, last, term)
        elif tokens.text[tokens.starts[at] : tokens.ends[at]] == cased:
            return Hit(at, last, term)
    return None


def list_mentions(tokens: Tokens, hits: Sequence[Hit]) -> list[Mention]:
    """Return the mentions among the hits, with all that the words around them say."""
    mentions = [
        Mention(tokens.starts[hit.first], tokens.ends[hit.last - 1], hit.first, hit.last, hit.term, hit.term.is_denial)
        for hit in hits
        if hit.term.sort in ("finding", "drug", "class")
    ]
    _place(tokens, hits, mentions)
    mentions += _list_sided_places(tokens, hits)
    mentions.sort(key=lambda mention: mention.first)
    _Scope(tokens, hits).apply(mentions)
    return mentions


def _place(tokens: Tokens, hits: Sequence[Hit], mentions: Sequence[Mention]) -> None:
    """Give findings the side and place that stand before them ('left knee pain') or after ('pain in the left knee')."""
    hits = [hit for hit in hits if hit.term.sort not in ("end", "end_verb")]
    of_first = {mention.first: mention for mention in mentions if mention.term.sort == "finding"}
    for index, hit in enumerate(hits):
        if (mention := of_first.get(hit.first)) is None:
            continue
        for step in (-1, 1):
            at, edge = index + step, hit
            while 0 <= at < len(hits) and (key := hits[at].term.sort) in ("side", "site", "sided site"):
                near = hits[at]
                between = tokens.words[near.last : edge.first] if step < 0 else tokens.words[edge.last : near.first]
                if len(between) > _FAR or not (_FROM_PLACE if step < 0 else _TO_PLACE).issuperset(between):
                    break
                side, site = _read_place(near.term)
                mention.side, mention.site = mention.side or side, mention.site or site
                if key != "site":  # a site alone is part of most findings' names anyway
                    mention.start = min(mention.start, tokens.starts[near.first])
                    mention.end = max(mention.end, tokens.ends[near.last - 1])
                edge, at = near, at + step


def _read_place(term: Term) -> tuple[str, str]:
    if term.sort == "sided site":
        side, _, site = term.key.partition(" ")
        return side, site
    return (term.key, "") if term.sort == "side" else ("", term.key)


def _list_sided_places(tokens: Tokens, hits: Sequence[Hit]) -> Iterator[Mention]:
    """Yield 'left knee', 'RLQ', or 'left' alone, whether or not a finding stands beside them."""
    for hit, near in zip_longest(hits, hits[1:]):
        if hit.term.sort == "sided site":
            side, site = _read_place(hit.term)
            yield _make_place(tokens, hit.first, hit.last, side, site)
        elif hit.term.sort == "side":
            is_near = (
                near is not None
                and near.term.sort == "site"
                and near.first - hit.last <= 1
                and SENTENCE_ENDS.isdisjoint(tokens.words[hit.last : near.first])
            )
            last, site = (near.last, near.term.key) if near is not None and is_near else (hit.last, "")
            yield _make_place(tokens, hit.first, last, hit.term.key, site)


def _make_place(tokens: Tokens, first: int, last: int, side: str, site: str) -> Mention:
    term = Term("place", site, "place")
    return Mention(tokens.starts[first], tokens.ends[last - 1], first, last, term, side=side, site=site)


class _Scope:
    """Applies cues to mentions, from the start of the text to its end."""

    def __init__(self, tokens: Tokens, hits: Sequence[Hit]) -> None:
        self.words = tokens.words
        cues = [(hit.first, hit.last, hit.term) for hit in hits if hit.term.sort not in _NO_CUES]
        ends = [(at, at + 1, _END) for at, word in enumerate(tokens.words) if word in SENTENCE_ENDS]
        self.events = sorted([*cues, *ends], key=lambda event: event[0])
        self.until = dict.fromkeys(("deny", "hedge", "history", "family"), 0)
        self.denied_from = 0

    def apply(self, mentions: Sequence[Mention]) -> None:
        at, events = 0, self.events
        for index, mention in enumerate(mentions):
            while at < len(events) and events[at][0] < mention.first:
                self._open_or_close(*events[at], mentions, index)
                at += 1
            self._mark(mention)
        for event in events[at:]:
            self._open_or_close(*event, mentions, len(mentions))

    def _open_or_close(self, first: int, last: int, cue: Term, mentions: Sequence[Mention], index: int) -> None:
        until = self.until
        if cue.sort == "sentence":
            until.update(dict.fromkeys(until, 0))
        elif cue.sort == "turn":
            until["deny"] = until["hedge"] = 0
        elif cue.sort == "end" or (cue.sort == "end_verb" and first != self.denied_from):
            until["deny"] = 0
        elif cue.sort == "deny":
            until["deny"], self.denied_from = last + cue.reach, last
        elif cue.sort in ("hedge", "hedge_around"):
            until["hedge"] = last + cue.reach
        elif cue.sort == "link":
            self._pass_link(first, last, cue)
        elif cue.sort == "history":
            until["history"] = last + 12
        elif cue.sort == "family":
            until["family"] = last + 25
        if cue.sort in ("deny_back", "hedge_back", "hedge_around"):
            self._mark_back(first, cue, mentions, index)

    def _pass_link(self, first: int, last: int, link: Term) -> None:
        """Weigh what is linked. A denied link denies no finding: 'does not cause rigors' takes them as given."""
        if first < self.until["deny"] and first - self.denied_from <= _ADVERBS:
            self.until["deny"], self.until["hedge"] = 0, last + _LINK_REACH
        elif link.reach:
            self.until["hedge"] = last + link.reach

    def _mark(self, mention: Mention) -> None:
        first, until = mention.first, self.until
        if first < until["deny"]:
            mention.is_denied = not mention.term.is_denial
            self._extend("deny", mention)
        if first < until["hedge"]:
            mention.is_hedged = True
            self._extend("hedge", mention)
        mention.is_past = first < until["history"]
        mention.is_of_family = first < until["family"]

    def _extend(self, cue: str, mention: Mention) -> None:
        """Carry a cue over a list: 'no fever, chills, or cough'."""
        following = self.words[mention.last : mention.last + 2]
        if following and following[0] in _LIST_WORDS and mention.last - self.denied_from < _SCOPE_LIMIT:
            self.until[cue] = max(self.until[cue], mention.last + 5)

    def _mark_back(self, first: int, cue: Term, mentions: Sequence[Mention], index: int) -> None:
        for mention in reversed(mentions[max(index - 3, 0) : index]):
            between = self.words[mention.last : first]
            if len(between) > cue.reach or not SENTENCE_ENDS.isdisjoint(between):
                return
            if cue.sort == "deny_back":
                mention.is_denied = True
            else:
                mention.is_hedged = True


_NO_CUES = frozenset(("finding", "drug", "class", "measure", "site", "side", "sided site", "plain", "limit", "about"))
_END = Term("sentence", "")
