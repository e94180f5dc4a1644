"""Storage by Xet for the stand-in: `hf_xet` itself keeps the chunks, in a folder instead of on a server.

A client that is told `local://FOLDER` writes chunks and shards there. A shard says of each file its digest by Xet and
its SHA-256; with the former hf_xet puts the file together again.
"""

import struct
import time
from pathlib import Path

ENTRY = 48  # bytes of each record of a shard
_WITH_SHA256, _WITH_PROOF = 1 << 30, 1 << 31


def token(folder: Path) -> dict[str, str]:
    """The headers that send a client there."""
    expires = str(int(time.time()) + 3600)
    return {"X-Xet-Cas-Url": f"local://{folder}", "X-Xet-Access-Token": "test", "X-Xet-Token-Expiration": expires}


def hex_of(digest: bytes) -> str:
    """Digests are kept as four numbers, each with its last byte first."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", digest))


def files(folder: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 → digest by Xet and size, of every file in the shards of a folder."""
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
    """Put a file together from its chunks; False where no shard knows it."""
    import hf_xet

    if (known := files(folder).get(sha256)) is None:
        return False
    session = hf_xet.XetSession()
    access = {"endpoint": f"local://{folder}", "token": "test", "token_expiry_unix_secs": 2**33}
    with session.new_file_download_group(**access) as group:
        group.start_download_file(hf_xet.XetFileInfo(*known), str(target))
    return True
