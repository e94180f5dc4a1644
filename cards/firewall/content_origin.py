"""Find out what a file is and where its content comes from: from proof, not from labels.

A file is made up or public if its run's record, and the records of everything that run has read, prove it: see
cards.firewall.made_up. Any other file in the folder of a credentialed run is credentialed; what remains is unknown, and
unknown counts as credentialed.
"""

import os
import struct
import zlib
from collections.abc import Container, Iterator, Mapping
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
_MAX_PIXELS = 2**28  # bytes of an image, unpacked
_ANY = range(2**24)
_CHUNKS: Mapping[bytes, Container[int]] = {
    b"IHDR": (13,), b"PLTE": range(3, 769, 3), b"IDAT": _ANY, b"IEND": (0,), b"tRNS": range(1, 257), b"pHYs": (9,),
    b"gAMA": (4,), b"sRGB": (1,), b"cHRM": (32,), b"sBIT": range(1, 5), b"bKGD": (1, 2, 6), b"tIME": (7,),
    b"tEXt": _ANY, b"zTXt": _ANY, b"iTXt": _ANY,
}  # fmt: skip
"""Chunks that may occur, and how long they may be; others could hold anything."""


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
        if suffix in (".jsonl", ".arrow"):
            return "ledger"
        if suffix in LOGS:
            return "log"
        if suffix == ".png":
            return "picture"
        return "text" if suffix in TEXTS or self.path.name in PLAIN else "other"


def list_outgoing(path: Path) -> list[OutgoingFile]:
    """Return the file, or every file of the folder including hidden ones, with its origin; sorted by name.

    Links, pipes and folders that cannot be opened are among them: nothing is left out.
    """
    if not path.exists():
        raise DeepicdError(f"There is no {path}.", "Name a file, or a folder whose files are to leave.")
    files = list_entries(path) if path.is_dir() else [path]
    if not files:
        raise DeepicdError(f"{path} is empty.", "Name a file, or a folder whose files are to leave.")
    prover = Prover()
    return [
        describe_outgoing(file, file.name if file == path else file.relative_to(path).as_posix(), prover)
        for file in files
    ]


def list_entries(folder: Path) -> list[Path]:
    """Return what a folder holds at any depth but readable folders, sorted."""
    entries, closed = [], []
    for place, folders, files in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        entries += [Path(place) / name for name in (*files, *linked)]
    return sorted(entries + closed)


def describe_outgoing(path: Path, name: str, prover: Prover | None = None) -> OutgoingFile:
    """Return a file under its new name, with its origin. `prover`: remembers what it has proven before."""
    if find_obstacle(path):
        return OutgoingFile(name, path, None)
    is_labelled = path.suffix.lower() in (".parquet", ".jsonl")
    label = read_own_origin(path) if is_labelled else None
    proven = (prover or Prover()).prove_file(path)
    if proven and (not is_labelled or label == proven):
        return OutgoingFile(name, path, proven)
    if is_labelled:
        return OutgoingFile(name, path, "mimic" if label == "mimic" else None)
    folder = find_run_folder(path.resolve())
    record = read_record(folder) if folder else None
    if folder is None or record is None or record.origin != "mimic":
        return OutgoingFile(name, path, None)
    inside = path.resolve().relative_to(folder).as_posix()
    # a training also writes files that its record does not list: states of checkpoints, its plan, the trainer's own
    is_output = inside in record.outputs or (record.command in TRAININGS and not _is_card_file(inside))
    return OutgoingFile(name, path, "mimic", record.command if is_output else "")


def find_obstacle(path: Path) -> str | None:
    """Return why a file cannot be read as it would be sent, or None."""
    try:
        if path.is_symlink():
            return "a link, which leads to a file elsewhere"
        if path.is_dir():
            return "a folder that cannot be opened"
        if not path.is_file():
            return "no regular file"
        with path.open("rb"):
            return None
    except OSError:
        return "could not be opened"


def read_record(folder: Path) -> records.Record | None:
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
    try:
        return storage.read_origin(path)
    except (DeepicdError, OSError):
        return None


def extract_png_texts(path: Path) -> Iterator[bytes]:
    """Yield every chunk of a PNG that can hold a text, unpacked.

    Raises DeepicdError for anything that is not a PNG from its first byte to its last: a chunk that is not known or not
    of its size, a wrong checksum, more pixels than the image has, a text of more than 1 MiB, bytes after the end.
    """
    content, damage = path.read_bytes(), DeepicdError(f"{path.name} is not a PNG from its first byte to its last.")
    if not content.startswith(_SIGNATURE):
        raise damage
    at, kind, header = len(_SIGNATURE), b"", b""
    pixels: list[bytes] = []
    while at + 12 <= len(content) and kind != b"IEND":
        length, before, kind = int.from_bytes(content[at : at + 4]), kind, content[at + 4 : at + 8]
        data, checksum = content[at + 8 : at + 8 + length], content[at + 8 + length : at + 12 + length]
        at += 12 + length
        if zlib.crc32(kind + data) != int.from_bytes(checksum) or len(data) not in _CHUNKS.get(kind, ()):
            raise damage
        if kind == b"IHDR":
            header = data
        elif kind == b"IDAT":
            if pixels and before != b"IDAT":
                raise damage
            pixels.append(data)
        elif kind == b"zTXt":
            keyword, _, packed = data.partition(b"\0")
            yield keyword + b" " + _decompress(packed[1:], _MAX_TEXT)
        elif kind == b"iTXt" and data.partition(b"\0")[2][:1] == b"\1":
            keyword, _, rest = data.partition(b"\0")
            *names, packed = rest[2:].split(b"\0", 2)
            yield b" ".join((keyword, *names, _decompress(packed, _MAX_TEXT)))
        else:
            yield data
    if kind != b"IEND" or at != len(content) or len(header) != 13:
        raise damage
    _require_pixels(header, b"".join(pixels))


def _require_pixels(header: bytes, packed: bytes) -> None:
    """Raise DeepicdError unless the packed data are the pixels of the image, and nothing else."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color, 0)
    size = height * (1 + (width * samples * depth + 7) // 8)
    if not 0 < size <= _MAX_PIXELS or interlaced or len(_decompress(packed, size)) != size:
        raise DeepicdError("The image has other data than its pixels.")


def _decompress(data: bytes, limit: int) -> bytes:
    """Return what is packed. Raises DeepicdError for more than the limit, for damage, and for bytes behind the end."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise DeepicdError("Packed data that cannot be unpacked.") from error
    if len(content) > limit or not unpacker.eof or unpacker.unused_data:
        raise DeepicdError(f"Packed data of more than {limit:,} bytes, or with bytes behind their end.")
    return content
