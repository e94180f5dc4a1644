"""May these files leave? Every file by its origin, every text word by word.

Made-up files (origin `synthetic`) and what public sources gave (`public`, unchanged since) are free. Of credentialed or
unknown files pass: texts without an id of MIMIC's ranges, without `___` and without eight words in a row of a note; and
pictures whose texts are such. Rows, ledgers, logs, filled-in prompts, records, exact counts of the stages and whatever
cannot be read do not pass. A finding names file, line and reason; it never shows the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cards.firewall import notes, passages, patterns
from cards.firewall.content_origin import INTERNAL, OutgoingFile, extract_png_texts, list_outgoing
from deepicd.errors import DeepicdError

PASSAGE = f"{passages.LENGTH} words in a row that a note or trace has as well"
NOT_TEXT = "text that cannot be read as UTF-8"
NOT_PNG = "no PNG from its first byte to its last"
MAX_FINDINGS = 1000  # findings in one file, after which the rest of it is not read
_BLOCK = 2**18  # bytes read at a time, up to the end of a line


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
    """What was looked at and what was found."""

    files: int = 0
    size: int = 0
    scanned: int = 0
    """Bytes of texts that were read word by word."""
    origins: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    compared: bool = False
    """Whether notes were at hand."""

    def refuse(self) -> None:
        """Raises DeepicdError if anything may not leave."""
        if self.findings:
            raise DeepicdError(
                f"{len({finding.name for finding in self.findings}):,} of {self.files:,} files may not leave:\n"
                + "\n".join(f"  {line}" for line in format_findings(self.findings)),
                "Remove what descends from credentialed records, or leave the file out.",
            )


@dataclass
class _TextRuns:
    """Runs of words of the texts, and where they stand."""

    hashes: list[passages.Hashes] = field(default_factory=list)
    lines: list[passages.Places] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def check_path(path: Path, *, notes_from: Path | None = None) -> Report:
    """A report on a file or on all files of a folder. A dataset folder brings its own notes to compare with."""
    files = list_outgoing(path)
    if notes_from is None and any(file.kind == "rows" and file.origin == "mimic" for file in files):
        notes_from = path
    return check_files(files, notes_from=[notes_from] if notes_from else [])


def check_files(files: Sequence[OutgoingFile], *, notes_from: Sequence[Path]) -> Report:
    """A report on these files; `notes_from`: where the notes are that texts must not repeat."""
    report, words = Report(len(files), compared=bool(notes_from)), _TextRuns()
    for file in files:
        report.size += file.path.stat().st_size
        report.origins[file.origin or "unknown"] += 1
        if file.origin in ("synthetic", "public"):
            continue
        for _, named in patterns.find_patterns(file.name.encode()):
            report.findings.append(Finding(re.sub(r"\d", "#", file.name), 0, f"its name has {named}"))
        if reason := _refuse_by_kind(file):
            report.findings.append(Finding(file.name, 0, reason))
            continue
        try:
            report.findings += _scan(file, report, words if notes_from else None)
        except DeepicdError:
            report.findings.append(Finding(file.name, 0, NOT_PNG if file.kind == "picture" else NOT_TEXT))
    if notes_from and words.hashes:
        report.findings += _find_passages(words, notes_from)
    report.findings.sort()
    return report


def _refuse_by_kind(file: OutgoingFile) -> str | None:
    match file.kind:
        case "rows":
            return "rows of credentialed records, or that do not say what of"
        case "weights":
            return "weights, which can repeat what they have read, of credentialed or unknown records"
        case "ledger":
            return "a ledger or journal of work on credentialed or unknown records"
        case "log":
            return "a log of work on credentialed or unknown records"
        case "record" if file.origin == "mimic":
            return "a run's record: command line, paths of this machine, exact counts"
        case "other":
            return "content that cannot be looked into, and an origin that is not proven free"
    if file.origin == "mimic" and file.command in INTERNAL:
        return f"exact counts or lists of `deepicd {file.command}` on credentialed records"
    return None


def _scan(file: OutgoingFile, report: Report, words: _TextRuns | None) -> Iterator[Finding]:
    """Findings in a text or in a picture's texts; its runs of words go to `words`."""
    found, line, runs = 0, 1, passages.WordRuns()
    for block in extract_png_texts(file.path) if file.kind == "picture" else _read_blocks(file.path):
        if file.kind != "picture":
            _require_utf8(block)
        report.scanned += len(block)
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        for place, reason in patterns.find_patterns(block, markdown=file.path.suffix == ".md"):
            found += 1
            yield Finding(file.name, line + int(np.searchsorted(ends, place)) if file.kind != "picture" else 0, reason)
        if found >= MAX_FINDINGS:
            yield Finding(file.name, 0, f"{MAX_FINDINGS:,} findings and more; the rest was not read")
            return
        if words is not None:
            start = runs.at
            for hashes, places in runs.feed(
                _blank_escapes(block) if file.path.suffix in (".json", ".ipynb") else block
            ):
                words.hashes.append(hashes)
                # a run that began in the block before stands on the last of its lines, to a line
                words.lines.append(line + np.searchsorted(ends, np.maximum(places - start, 0)).astype(np.int64))
                words.names += [file.name]
        line += len(ends)


def _read_blocks(path: Path) -> Iterator[bytes]:
    """A text in blocks that end with a line."""
    with path.open("rb") as text:
        while block := text.read(_BLOCK):
            yield block + text.readline()


def _require_utf8(block: bytes) -> None:
    """Raises DeepicdError for what is no UTF-8; UTF-16 has bytes of 0, which no text of ours has."""
    try:
        block.decode()
    except UnicodeDecodeError as error:
        raise DeepicdError(NOT_TEXT) from error
    if b"\0" in block:
        raise DeepicdError(NOT_TEXT)


def _blank_escapes(block: bytes) -> bytes:
    """JSON with blanks for its escapes, so that `\\nPast` is a word; every byte stays where it is."""
    for escape in (rb"\n", rb"\t", rb"\r", rb"\""):
        block = block.replace(escape, b"  ")
    return block


def _find_passages(words: _TextRuns, notes_from: Sequence[Path]) -> Iterator[Finding]:
    wanted = np.setdiff1d(np.concatenate(words.hashes), passages.hash_titles())
    shared = passages.find_shared(wanted, (text for source in notes_from for text in notes.read_notes(source)))
    for name, hashes, lines in zip(words.names, words.hashes, words.lines, strict=True):
        for line in np.unique(lines[np.isin(hashes, shared)]).tolist():
            yield Finding(name, line, PASSAGE)


def format_findings(findings: Iterable[Finding], most: int = 20) -> Iterator[str]:
    """For the terminal: the findings, of a file and reason no more than so many."""
    shown: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        shown[finding.name, finding.reason] += 1
        if shown[finding.name, finding.reason] <= most:
            yield str(finding)
    for (name, reason), number in shown.items():
        if number > most:
            yield f"{name}: {number - most:,} more: {reason}"
