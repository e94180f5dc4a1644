"""Xet storage for the stand-in: `hf_xet` itself keeps the chunks, in a folder instead of on a server.

A client that is given `local://FOLDER` writes chunks and shards there. A shard has the Xet digest and the SHA-256 of
each file; from the former, hf_xet restores the file.
"""

import struct
import time
from pathlib import Path

ENTRY = 48  # bytes of each record of a shard
_WITH_SHA256, _WITH_PROOF = 1 << 30, 1 << 31


def token(folder: Path) -> dict[str, str]:
    """Return the headers that send a client to the folder."""
    expires = str(int(time.time()) + 3600)
    return {"X-Xet-Cas-Url": f"local://{folder}", "X-Xet-Access-Token": "test", "X-Xet-Token-Expiration": expires}


def hex_of(digest: bytes) -> str:
    """Return a digest in hex; shards keep it as four little-endian numbers."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", digest))


def files(folder: Path) -> dict[str, tuple[str, int]]:
    """Return SHA-256 → Xet digest and size of every file in the shards of a folder."""
    found: dict[str, tuple[str, int]] = {}
    for path in folder.glob("xet/xorbs/shards/*.mdb"):
        content, at = path.read_bytes(), ENTRY
        while content[at : at + 32] != b"\xff" * 32:
            digest, (flags, number) = content[at : at + 32], struct.unpack_from("<II", content, at + 32)
            segments = range(at + ENTRY, at + ENTRY * (1 + number), ENTRY)
            size = sum(struct.unpack_from("<I", content, segment + 36)[0] for segment in segments)
            at += ENTRY * (1 + number * (2 if flags & _WITH_PROOF else 1))
            if flags & _WITH_SHA256:
                found[hex_of(content[at : at + 32])] = hex_of(digest), size
                at += ENTRY
    return found


def restore(folder: Path, sha256: str, target: Path) -> bool:
    """Restore a file from its chunks; return False where no shard has it."""
    import hf_xet

    if (known := files(folder).get(sha256)) is None:
        return False
    session = hf_xet.XetSession()
    access = {"endpoint": f"local://{folder}", "token": "test", "token_expiry_unix_secs": 2**33}
    with session.new_file_download_group(**access) as group:
        group.start_download_file(hf_xet.XetFileInfo(*known), str(target))
    return True
