"""Find out what a file is and where its content comes from: from proof, not from labels.

A file is made up or public if its run's record, and the records of everything that run has read, prove it: see
cards.firewall.made_up. Any other file in the folder of a credentialed run is credentialed; what remains is unknown, and
unknown counts as credentialed.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cards.firewall.made_up import Prover, find_run_folder
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
    prover = Prover()
    return [
        describe_outgoing(file, file.name if file == path else file.relative_to(path).as_posix(), prover)
        for file in files
    ]


def describe_outgoing(path: Path, name: str, prover: Prover | None = None) -> OutgoingFile:
    """Return a file under its new name, with its origin. `prover`: remembers what it has proven before."""
    is_labelled = path.suffix.lower() in (".parquet", ".jsonl")
    label = read_own_origin(path) if is_labelled else None
    proven = (prover or Prover()).prove_file(path)
    if proven and (not is_labelled or label == proven):
        return OutgoingFile(name, path, proven)
    if is_labelled:
        return OutgoingFile(name, path, "mimic" if label == "mimic" else None)
    folder = find_run_folder(path.resolve())
    record = _read_record(folder) if folder else None
    if folder is None or record is None or record.origin != "mimic":
        return OutgoingFile(name, path, None)
    inside = path.resolve().relative_to(folder).as_posix()
    # a training also writes files that its record does not list: states of checkpoints, its plan, the trainer's own
    is_output = inside in record.outputs or (record.command in TRAININGS and not _is_card_file(inside))
    return OutgoingFile(name, path, "mimic", record.command if is_output else "")


def _read_record(folder: Path) -> records.Record | None:
    """Return the record in a folder; None for another program's run.json."""
    try:
        return records.read(folder)
    except DeepicdError:
        return None


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
