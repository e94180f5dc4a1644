"""What a card tells beside another one of nearly the same data, which neither tells alone.

A cohort with one more stay gives a card whose every total is one more, and so is the chapter of that stay. Cards that
were published from here, to whatever repository, have their counts in the journals; a count that differs by one to
nine from the same count of an earlier card tells of so many rows. What others published is not known here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from deepicd import storage
from deepicd.cells import is_small
from deepicd.errors import DeepicdError

NAMED = 5  # counts in a message

Shown = Mapping[str, int | None]


def describe_small_differences(records: Path, shown: Shown) -> list[str]:
    """A line for each earlier publication beside which these counts tell of one to nine rows."""
    return list(dict.fromkeys(_describe_small_differences(records, shown)))


def _describe_small_differences(records: Path, shown: Shown) -> Iterator[str]:
    for path in sorted(records.glob("*/journal.jsonl")):
        for entry in storage.read_json_lines(path):
            small = find_small_differences(entry.get("shown") or {}, shown)
            if small:
                more = f" and {len(small) - NAMED:,} more" if len(small) > NAMED else ""
                yield (
                    f"the card of {entry['at'][:10]} in {path.parent.name.replace('--', '/')} has {len(small):,} counts"
                    f" that differ from this one's by one to nine: {', '.join(small[:NAMED])}{more}"
                )


def find_small_differences(before: Shown, now: Shown) -> list[str]:
    """The names of counts that both show and whose difference is a small cell.

    >>> find_small_differences({"a": 100, "b": 20, "c": None}, {"a": 101, "b": 40, "c": 7})
    ['a']
    """
    found = []
    for name, count in now.items():
        earlier = before.get(name)
        if count is not None and earlier is not None and is_small(abs(count - earlier)):
            found.append(name)
    return sorted(found)


def refuse_small_differences(lines: list[str]) -> None:
    """Raise DeepicdError where a card for the public tells small counts beside an earlier one."""
    if lines:
        raise DeepicdError(
            "Together with an earlier card this one tells of fewer than ten rows: nothing was sent.\n"
            + "\n".join(f"  {line}" for line in lines),
            "Publish it privately, or from the earlier data; or, if nobody else could read the earlier card, add"
            " --despite-differences.",
        )
