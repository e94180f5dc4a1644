"""Prove that a file is made up or public: a record lists it with its digest, and so for every input of that record.

    dataset/train.parquet  ← dataset/run.json lists it with this digest
      cohort, digest       ← the folder is there and has this digest; its run.json lists each file
        discharge, digest  ← SYNTHETIC.json beside it lists it with this digest

A label is no proof: pyarrow keeps the first table's metadata when tables are joined, and anybody can write
`"origin": "synthetic"`. Neither is a folder: a file that its run did not write is not proven by lying there, and a
record that was edited no longer has its own checksum. Where an input was moved or deleted, the digests in the lineage
of the record take its place; the digests of the copy have to stand in a SYNTHETIC.json whose files are there.

What this cannot see: a copy that somebody declares made up by writing a SYNTHETIC.json, or a record, with all its
digests and its checksum.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cards.rendering import TEMPLATES
from deepicd import records, storage, synthetic_proof
from deepicd.errors import DeepicdError
from deepicd.schema import DESCRIPTIONS, SECTIONS
from deepicd.stage_records import CardRecord, GuidelinesRecord, ScrapeRecord
from deepicd.storage import Origin

SOURCES = {
    GuidelinesRecord.COMMANDS[0]: re.compile(
        r"(?:chapter_\d\d|section_[IV]+(?:_[A-Z])?|appendix_[IVX]+|front)\.json|sections\.parquet"
    ),
    ScrapeRecord.COMMANDS[0]: re.compile(r"descriptions\.parquet"),
}
"""Commands that read no record of a patient, and the names of what they write."""
SCHEMAS = {"sections.parquet": SECTIONS, "descriptions.parquet": DESCRIPTIONS}
NEAR = 3  # folders above a file in whose subfolders a copy that was moved along is looked for

Lineage = Mapping[str, records.Record]


class Prover:
    """Proves files one after the other; what is proven once is not read again."""

    def __init__(self) -> None:
        self._origins: dict[Path, Origin | None] = {}
        self._copies: dict[Path, frozenset[str]] = {}

    def prove_file(self, path: Path) -> Origin | None:
        """Return the origin of a file, 'synthetic' or 'public', or None where it is not proven."""
        path = path.resolve()
        if path not in self._origins:
            self._origins[path] = None  # a record that leads back to itself proves nothing
            with suppress(DeepicdError, OSError, RecursionError):  # damaged, unreadable or too deep: not proven
                self._origins[path] = self._prove(path)
        return self._origins[path]

    def prove_run(self, folder: Path, *, ignored: frozenset[str] = frozenset()) -> Origin | None:
        """Return the origin of what a folder's run has read, or None where it is not proven.

        `ignored`: roles of inputs that do not matter, for instance the weights of which only a card is shown.
        """
        try:
            record = records.read(folder)
            return self._prove_record(record, folder, ignored) if record else None
        except (DeepicdError, OSError, RecursionError):
            return None

    def _prove(self, path: Path) -> Origin | None:
        copy = next((above for above in path.parents if (above / synthetic_proof.MARK).is_file()), None)
        if copy is not None and (found := self._prove_in_copy(copy, path)):
            return found
        if path.name == records.RECORD:
            return self.prove_run(path.parent)
        folder = find_run_folder(path)
        record = records.read(folder) if folder else None
        if folder is None or record is None:
            return None
        inside = path.relative_to(folder).as_posix()
        output, digest = record.outputs.get(inside), storage.digest_path(path)
        if output is not None:
            return self._prove_record(record, folder) if output.sha256 == digest else None
        if inside == "README.md" and (card := records.read(folder / "card")) and card.command in CardRecord.COMMANDS:
            shown = card.parse_as(CardRecord).counts.readme_sha256
            return self._prove_record(card, folder / "card") if shown == digest else None
        return None

    def _prove_in_copy(self, copy: Path, path: Path) -> Origin | None:
        """Prove a file of a made-up copy, its mark or its record."""
        listed = {copy / name for name in synthetic_proof.read_mark(copy)}
        if path in (copy / synthetic_proof.MARK, copy / records.RECORD):
            outputs = {copy / name for name in _read_sealed(copy).outputs} - {copy / synthetic_proof.MARK}
            return "synthetic" if outputs <= listed and synthetic_proof.is_synthetic(copy, listed) else None
        return "synthetic" if path in listed and synthetic_proof.is_synthetic(copy, [path]) else None

    def _prove_record(
        self, record: records.Record, folder: Path, ignored: frozenset[str] = frozenset()
    ) -> Origin | None:
        if not records.is_unchanged(folder):
            return None
        near = [copy for above in list(folder.parents)[:NEAR] for copy in above.glob(f"*/{synthetic_proof.MARK}")]
        copies = frozenset(digest for copy in near for digest in self._read_copy(copy.parent))
        return self._prove_inputs(record, record.lineage, copies, folder, ignored)

    def _prove_inputs(
        self,
        record: records.Record,
        lineage: Lineage,
        copies: frozenset[str],
        folder: Path | None = None,
        ignored: frozenset[str] = frozenset(),
    ) -> Origin | None:
        if record.origin == "mimic":
            return None
        if names := SOURCES.get(record.command):
            is_own = all(names.fullmatch(name) for name in record.outputs) and _has_schemas(record, folder)
            return record.origin if is_own else None
        inputs = {role: given for role, given in record.inputs.items() if role not in ignored}
        is_proven = all(self._prove_input(role, given, lineage, copies, folder) for role, given in inputs.items())
        return record.origin if inputs and is_proven and record.origin == "synthetic" else None

    def _prove_input(
        self, role: str, given: records.Input, lineage: Lineage, copies: frozenset[str], folder: Path | None
    ) -> bool:
        if given.digest in copies or given.digest == storage.digest_path(TEMPLATES):
            return True
        places = [Path(given.path)] if given.path else []
        if folder is not None:  # a card that was moved with its dataset
            places.append(folder.parent / (records.RECORD if role == "record" else role))
        if any(self._prove_in_place(place, given.digest) for place in places):
            return True
        return any(
            given.digest in _digest_outputs(before)
            and self._prove_inputs(before, {name: run for name, run in lineage.items() if run is not before}, copies)
            for before in lineage.values()
        )

    def _prove_in_place(self, path: Path, digest: str) -> bool:
        """Return whether an input is still where it was, unchanged, and proven file by file."""
        if not path.exists() or storage.digest_path(path) != digest:
            return False
        files = [path] if path.is_file() else storage.list_files(path)
        return bool(files) and all(self.prove_file(file) for file in files)

    def _read_copy(self, copy: Path) -> frozenset[str]:
        """Return the digests of those files of a made-up copy that are there and are what its mark says."""
        if copy not in self._copies:
            listed = synthetic_proof.read_mark(copy)
            files = [name for name in listed if synthetic_proof.is_synthetic(copy, [copy / name])]
            self._copies[copy] = frozenset(listed[name] for name in files)
        return self._copies[copy]


def find_run_folder(path: Path) -> Path | None:
    """Return the nearest folder above a file that holds a record."""
    return next((above for above in path.parents if (above / records.RECORD).is_file()), None)


def _read_sealed(folder: Path) -> records.Record:
    """Return the record of a folder. Raises DeepicdError where there is none, or where it was edited."""
    record = records.read(folder)
    if record is None or not records.is_unchanged(folder):
        raise DeepicdError(f"{folder / records.RECORD} is not as its run wrote it.", "Run the stage again.")
    return record


def _has_schemas(record: records.Record, folder: Path | None) -> bool:
    """Return whether the tables of a source have its columns and no others, as far as they are at hand."""
    import pyarrow.parquet as pq

    names = [name for name in record.outputs if name in SCHEMAS and folder and (folder / name).is_file()]
    return all(folder and pq.read_schema(folder / name).names == SCHEMAS[name].names for name in names)


def _digest_outputs(record: records.Record) -> Iterator[str]:
    """Yield the digests that the outputs of a run have as an input: each file, each folder, the whole."""
    yield from (output.sha256 for output in record.outputs.values())
    folders = {""} | {
        f"{parent}/" for name in record.outputs for parent in map(str, Path(name).parents) if parent != "."
    }
    for below in folders:
        total = sha256()
        for name in sorted(Path(name) for name in record.outputs if name.startswith(below)):
            inside = name.relative_to(below) if below else name
            total.update(f"{inside.as_posix()}\0{record.outputs[name.as_posix()].sha256}\n".encode())
        yield total.hexdigest()
