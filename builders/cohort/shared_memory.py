"""Objects that hold much in few buffers, such as Arrow batches, passed between processes through shared memory.

    shelf = array of bytes that both processes have
    packed = pack(batch, shelf)       # its buffers are on the shelf now; `packed` is small and goes through a pipe
    unpack(packed, shelf)             # elsewhere: the same batch, its buffers where they lie

A pipe takes a text apart into pieces of 64 KiB, each of which wakes the other side: with the notes of MIMIC a quarter
of a build went there.
"""

import pickle
from dataclasses import dataclass

ALIGNED = 64  # bytes, as Arrow likes its buffers


@dataclass(frozen=True, slots=True)
class Packed:
    """An object without its large buffers, and where on the shelf those are; all in the pickle, if they had no room."""

    pickled: bytes
    places: tuple[tuple[int, int], ...] = ()
    """Start and length, in bytes."""


def pack(value: object, shelf: memoryview) -> Packed:
    """Put the buffers of an object on a shelf, over what was there."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [buffer.raw() for buffer in buffers]
    places, end = list[tuple[int, int]](), 0
    for part in parts:
        places.append((end, part.nbytes))
        end += -(-part.nbytes // ALIGNED) * ALIGNED
    if end > len(shelf):
        return Packed(pickle.dumps(value, protocol=5))
    for (start, length), part in zip(places, parts, strict=True):
        shelf[start : start + length] = part
    return Packed(pickled, tuple(places))


def unpack(packed: Packed, shelf: memoryview, *, copied: bool = False) -> object:
    """The object. Unless `copied`, it is valid as long as nothing else is put on the shelf."""
    parts = (shelf[start : start + length] for start, length in packed.places)
    buffers = map(bytes, parts) if copied else parts
    return pickle.loads(packed.pickled, buffers=buffers)
