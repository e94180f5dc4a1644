"""Texts on disk, of which memory holds the places: the notes and answers of a million rows are gigabytes.

    with open_text_store(out) as texts:
        text = texts.add("<think>…")
        text.read()                      # "<think>…"

The file has no name and ends with the process, so that a killed one leaves no answers to credentialed notes behind.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_text_store(folder: Path) -> Iterator["TextStore"]:
    """Yield an empty store on the disk of a folder, which need not exist yet; elsewhere if nobody may write there."""
    path = folder.absolute()
    places = (place for place in (path, *path.parents) if place.is_dir() and os.access(place, os.W_OK))
    with tempfile.TemporaryFile(dir=next(places, None)) as file:
        yield TextStore(file)


class TextStore:
    """Texts in a file, one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, 0

    def add(self, text: str) -> "StoredText":
        """Write a text, even one with half a surrogate pair; return what reads it again."""
        content = text.encode(errors="surrogatepass")
        stored = StoredText(self, self._size, len(content))
        self._file.write(content)
        self._size += len(content)
        return stored

    def read(self, start: int, length: int) -> str:
        self._file.flush()
        return os.pread(self._file.fileno(), length, start).decode(errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class StoredText:
    """A text in a store; false if it is empty."""

    store: TextStore
    start: int
    length: int

    def __bool__(self) -> bool:
        return self.length > 0

    def read(self) -> str:
        return self.store.read(self.start, self.length)
