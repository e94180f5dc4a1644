"""Find out what a file is and where its content comes from, from the file itself and the run that wrote it.

Parquet files and ledgers carry their origin. Any other file has the origin of the run whose folder it is in: the
nearest run.json above it. Where there is none, the origin is unknown, and unknown counts as credentialed.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

Kind = Literal["rows", "weights", "ledger", "log", "record", "text", "picture", "other"]

TEXTS = {
    ".bib", ".cff", ".csv", ".html", ".ipynb", ".j2", ".json", ".md", ".py", ".rst", ".sql", ".svg", ".tex", ".toml",
    ".tsv", ".txt", ".xml", ".yaml", ".yml",
}  # fmt: skip
# Models, adapters, and states of optimizers and trainers.
WEIGHTS = {
    ".bin", ".ckpt", ".distcp", ".gguf", ".h5", ".msgpack", ".npz", ".onnx", ".pkl", ".pt", ".pth", ".safetensors",
    ".tflite",
}  # fmt: skip
LOGS = {".err", ".log", ".out"}
PLAIN = {"LICENSE", "COPYING", "CITATION", "README", "NOTICE", ".gitattributes", ".gitignore"}
TRAININGS = {"train grpo", "train sft"}
# Stages whose outputs are internal: exact counts, lists of ids. `card` writes what is meant to be shown.
INTERNAL = {"assemble", "audit", "build", "distill", "evaluate", "judge", "synthesize"} | TRAININGS

RunCache = dict[Path, tuple[Path | None, records.Record | None]]
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_TEXT = 2**20  # bytes up to which a compressed text of an image is unpacked


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file that is to leave, and the name that it will have."""

    name: str
    path: Path
    origin: Origin | None
    """None if unknown."""
    command: str = ""
    """The command that wrote it, if known."""

    @property
    def kind(self) -> Kind:
        """Return what it is, from its name."""
        suffix = self.path.suffix.lower()
        if self.path.name == records.RECORD:
            return "record"
        if suffix == ".parquet":
            return "rows"
        if suffix in WEIGHTS:
            return "weights"
        if suffix == ".jsonl":
            return "ledger"
        if suffix in LOGS:
            return "log"
        if suffix == ".png":
            return "picture"
        return "text" if suffix in TEXTS or self.path.name in PLAIN else "other"


def list_outgoing(path: Path) -> list[OutgoingFile]:
    """Return the file, or every file of the folder including hidden ones, with its origin; sorted by name."""
    if not path.exists():
        raise DeepicdError(f"There is no {path}.", "Name a file, or a folder whose files are to leave.")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise DeepicdError(f"{path} is empty.", "Name a file, or a folder whose files are to leave.")
    cache: RunCache = {}
    return [
        describe_outgoing(file, file.name if file == path else file.relative_to(path).as_posix(), cache)
        for file in files
    ]


def describe_outgoing(path: Path, name: str, cache: RunCache | None = None) -> OutgoingFile:
    """Return a file under its new name, with its origin. `cache`: the runs of folders that were seen before."""
    if path.suffix.lower() in (".parquet", ".jsonl"):
        return OutgoingFile(name, path, read_own_origin(path))
    folder, record = find_run(path.resolve().parent, {} if cache is None else cache)
    if record is None or folder is None:
        return OutgoingFile(name, path, None)
    inside = path.resolve().relative_to(folder).as_posix()
    output = record.outputs.get(inside)
    if output is None and record.origin == "public":
        return OutgoingFile(name, path, None)  # next to what was fetched, but not part of it
    if output is not None and record.origin == "public" and output.sha256 != storage.digest_path(path):
        return OutgoingFile(name, path, None)  # no longer what the run wrote
    # a training also writes files that its record does not list: states of checkpoints, its plan, the trainer's own
    is_output = output is not None or (record.command in TRAININGS and not _is_card_file(inside))
    return OutgoingFile(name, path, record.origin, record.command if is_output else "")


def _is_card_file(inside: str) -> bool:
    """Return whether `deepicd card` wrote it into a training's folder."""
    return inside == "README.md" or inside.startswith("card/")


def read_own_origin(path: Path) -> Origin | None:
    """Return the origin that a parquet file or a ledger carries; None for one that cannot be read."""
    import pyarrow as pa

    try:
        return storage.read_origin(path)
    except (pa.ArrowInvalid, OSError):
        return None


def find_run(folder: Path, cache: RunCache) -> tuple[Path | None, records.Record | None]:
    """Return the nearest folder, upwards, with the record of a run, and the record."""
    if folder not in cache:
        try:
            record = records.read(folder)
        except DeepicdError:  # another program's run.json
            record = None
        if record is None and folder.parent != folder:
            cache[folder] = find_run(folder.parent, cache)
        else:
            cache[folder] = (folder, record) if record else (None, None)
    return cache[folder]


def extract_png_texts(path: Path) -> Iterator[bytes]:
    """Yield the text chunks of a PNG, unpacked, and every other chunk that is not part of the image.

    Raises DeepicdError for anything that is not a PNG, and for bytes after its end.
    """
    content = path.read_bytes()
    if not content.startswith(_SIGNATURE):
        raise DeepicdError(f"{path.name} is not a PNG.")
    at, kind = len(_SIGNATURE), b""
    while at + 12 <= len(content) and kind != b"IEND":
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        data = content[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"zTXt":
            yield _decompress(data.partition(b"\0")[2][1:])
        elif kind == b"iTXt" and data.partition(b"\0")[2][:1] == b"\1":
            yield _decompress(data.partition(b"\0")[2][2:].split(b"\0", 2)[-1])
        elif kind not in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"pHYs"):
            yield data
    if kind != b"IEND" or at != len(content):
        raise DeepicdError(f"{path.name} is not a PNG from its first byte to its last.")


def _decompress(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MAX_TEXT)
    except zlib.error:
        return data
