"""Check whether files may leave this machine: each file by its origin, each text word by word.

Files that are proven to be made up or public may leave (cards.firewall.made_up). Of all others only texts and PNG
images may: texts without an id in MIMIC's ranges, without `___` and without eight consecutive words of a note, and
images whose embedded texts meet the same conditions. Without notes to compare with, they are not checked. Rows,
ledgers, logs, filled-in prompts, records, exact counts of the stages and whatever cannot be read stay. A finding names
file, line and reason; it never shows the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from cards.firewall import passages, patterns
from cards.firewall.content_origin import (
    INTERNAL,
    OutgoingFile,
    extract_png_texts,
    find_obstacle,
    list_outgoing,
)
from cards.firewall.normalize import normalize
from cards.firewall.note_search import find_notes, read_ids, read_notes
from cards.firewall.readings import Block, Reader, Reading
from deepicd.errors import DeepicdError

PASSAGE = f"{passages.LENGTH} words in a row that also occur in a note or trace"
NOT_TEXT = "text that cannot be read as UTF-8"
NOT_PNG = "not a PNG from its first byte to its last"
MAX_FINDINGS = 1000  # per file; the rest of the file is then not read
_BLOCK = 2**18  # bytes read at a time, and on to the end of the line


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A reason why a file may not leave."""

    name: str
    line: int
    """0 for the file as a whole."""
    reason: str

    def __str__(self) -> str:
        return f"{self.name}{f', line {self.line}' if self.line else ''}: {self.reason}"


@dataclass
class Report:
    """The files that were checked and the findings."""

    files: int = 0
    size: int = 0
    scanned: int = 0
    """Bytes of text that were read word by word."""
    origins: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    """Texts that would have to be compared with notes, where there were none."""
    notes_from: list[Path] = field(default_factory=list)
    """Where the notes are that texts were compared with."""

    @property
    def may_leave(self) -> bool:
        """Return whether everything was checked and nothing was found."""
        return not self.findings and not self.unchecked

    def refuse(self) -> None:
        """Raise DeepicdError if anything may not leave."""
        files = f"{self.files:,} file{'s'[: self.files != 1]}"
        if self.findings:
            raise DeepicdError(
                f"{len({finding.name for finding in self.findings}):,} of {files} may not leave:\n"
                + "\n".join(f"  {line}" for line in format_findings(self.findings)),
                "Remove what descends from credentialed records, or leave the file out.",
            )
        if self.unchecked:
            raise DeepicdError(
                f"{len(self.unchecked):,} of {files} could not be checked, {self.unchecked[0]} among them: nothing"
                " proves what they hold to be made up or public, and there are no notes to compare with.",
                "Name the notes to compare them with (--notes-from DIR), or rerun the stage that made them.",
            )


@dataclass(frozen=True, slots=True)
class _Run:
    """Runs of words or letters of a text that have to be compared with the notes."""

    name: str
    line: int
    """Of the first byte; 0 for the file as a whole."""
    reading: Reading

    def find_lines(self, shared: passages.HashSet) -> list[int]:
        """Return the lines whose runs are among these."""
        places = self.reading.places[shared.find(self.reading.hashes)[0]]
        if not self.line or not len(places):
            return [0] * bool(len(places))
        return sorted(set((self.line + np.searchsorted(_find_ends(self.reading.text), places)).tolist()))


@dataclass
class _Contents:
    """What of all texts has to be compared with the notes."""

    notes_from: Sequence[Path]
    runs: list[_Run] = field(default_factory=list)

    @cached_property
    def ids(self) -> passages.HashSet:
        """Return the ids of the notes."""
        return passages.HashSet(np.array(list(set[int]().union(*map(read_ids, self.notes_from))), np.uint64))

    def add(self, name: str, line: int, block: Block, reader: Reader) -> list[Finding]:
        """Keep the runs of a block, and return where ids of the notes stand in parts."""
        self.runs += [_Run(name, line, reading) for reading in reader.read(block)]
        places = [place for place, _ in patterns.find_apart(block.text, self.ids)]
        lines = set((line + np.searchsorted(block.breaks, places)).tolist()) if line else {0} if places else set()
        return [Finding(name, at, patterns.APART) for at in sorted(lines)]


def check_path(path: Path, *, notes_from: Path | None = None) -> Report:
    """Return a report on a file or a folder. Without `notes_from`, it is compared with the notes of its own run."""
    files = list_outgoing(path)
    found = [notes_from] if notes_from else find_notes(path)
    if not found and any(file.kind == "rows" and file.origin == "mimic" for file in files):
        found = [path]
    return check_files(files, notes_from=found)


def check_files(files: Sequence[OutgoingFile], *, notes_from: Sequence[Path]) -> Report:
    """Return a report on these files. `notes_from`: where the notes are that texts must not repeat; empty for none."""
    report, contents = Report(len(files)), _Contents(notes_from)
    for file in files:
        obstacle = find_obstacle(file.path)
        report.size += 0 if obstacle else file.path.stat().st_size
        report.origins[file.origin or "unknown"] += 1
        if file.origin in ("synthetic", "public") and not obstacle:
            continue
        name = normalize(file.name.encode(errors="replace"))
        for _, pattern in patterns.find_patterns(name):
            report.findings.append(Finding(re.sub(r"\d", "#", file.name), 0, f"its name has {pattern}"))
        if notes_from:
            shown = f"{re.sub(r'[^/._ -]', '#', file.name)} (its name)"
            report.findings += contents.add(shown, 0, Block(name), Reader())
        if reason := obstacle or _refuse_by_kind(file):
            report.findings.append(Finding(file.name, 0, reason))
            continue
        try:
            report.findings += _scan(file, report, contents if notes_from else None)
            report.unchecked += [] if notes_from else [file.name]
        except DeepicdError:
            report.findings.append(Finding(file.name, 0, NOT_PNG if file.kind == "picture" else NOT_TEXT))
    if notes_from and contents.runs:
        report.findings += _find_passages(contents.runs, notes_from)
        report.notes_from += notes_from
    report.findings.sort()
    return report


def _refuse_by_kind(file: OutgoingFile) -> str | None:
    """Return why a file may not leave whatever it contains; None where its text decides."""
    match file.kind:
        case "rows":
            return "rows of credentialed records, or of records whose origin is unknown"
        case "weights":
            return "weights, which can repeat their training data, of credentialed or unknown records"
        case "ledger":
            return "a ledger or journal of work on credentialed or unknown records"
        case "log":
            return "a log of work on credentialed or unknown records"
        case "record" if file.origin == "mimic":
            return "a run's record, with its command line, paths of this machine and exact counts"
        case "other":
            return "content that cannot be inspected, of an origin that is not proven free"
    if file.origin == "mimic" and file.command in INTERNAL:
        return f"exact counts or lists of `deepicd {file.command}` on credentialed records"
    return None


def _scan(file: OutgoingFile, report: Report, contents: _Contents | None) -> Iterator[Finding]:
    """Yield the findings in a text or in the texts of an image; what has to be compared is added to `contents`."""
    number, line = 0, 1
    reader = Reader()
    is_picture = file.kind == "picture"
    for raw in extract_png_texts(file.path) if is_picture else _read_blocks(file.path):
        report.scanned += len(raw)
        block = Block(normalize(raw) if is_picture else _normalize_text(raw))
        for below, reason in _find_patterns(block, markdown=file.path.suffix == ".md"):
            number += 1
            yield Finding(file.name, 0 if is_picture else line + below, reason)
        if contents is not None and number < MAX_FINDINGS:
            apart = contents.add(file.name, 0 if is_picture else line, block, reader)
            number += len(apart)
            yield from apart
        if number >= MAX_FINDINGS:
            yield Finding(file.name, 0, f"{MAX_FINDINGS:,} or more findings; the rest was not read")
            return
        line += len(block.breaks)


def _find_patterns(block: Block, *, markdown: bool) -> Iterator[tuple[int, str]]:
    """Yield line, from 0, and reason of what stands in a text, and of the ids that tags or stars divide in it."""
    found = sorted(set(patterns.find_patterns(block.text, markdown=markdown)))
    known = [(int(np.searchsorted(block.breaks, place)), reason) for place, reason in found]
    yield from known
    listed = set(known)
    for place, reason in patterns.find_patterns(block.unmarked or b"", markdown=markdown):
        line = int(np.searchsorted(block.breaks, place))
        if reason in patterns.IDS and (line, reason) not in listed:
            yield line, reason


def _find_ends(text: bytes) -> passages.Places:
    return np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))


def _read_blocks(path: Path) -> Iterator[bytes]:
    """Yield a text in blocks that end at a line's end."""
    with path.open("rb") as text:
        while block := text.read(_BLOCK):
            yield block + text.readline()


def _normalize_text(block: bytes) -> bytes:
    """Raise DeepicdError for text that is not UTF-8. UTF-16 contains zero bytes, which our texts never do."""
    try:
        text = normalize(block, "strict")
    except UnicodeDecodeError as error:
        raise DeepicdError(NOT_TEXT) from error
    if b"\0" in block:
        raise DeepicdError(NOT_TEXT)
    return text


def _find_passages(runs: list[_Run], notes_from: Sequence[Path]) -> Iterator[Finding]:
    """Yield the lines that share a run with the notes."""
    candidates = np.concatenate([run.reading.hashes for run in runs])
    notes = (text for source in notes_from for text in read_notes(source))
    has_letters = any(run.reading.is_letters for run in runs)
    shared = passages.HashSet(passages.find_shared(candidates, notes, letters=has_letters))
    found = {(run.name, line) for run in runs for line in run.find_lines(shared)}
    yield from (Finding(name, line, PASSAGE) for name, line in found)


def format_findings(findings: Iterable[Finding], most: int = 20) -> Iterator[str]:
    """Yield the findings as lines, at most `most` per file and reason."""
    shown: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        shown[finding.name, finding.reason] += 1
        if shown[finding.name, finding.reason] <= most:
            yield str(finding)
    for (name, reason), number in shown.items():
        if number > most:
            yield f"{name}: {number - most:,} more: {reason}"
