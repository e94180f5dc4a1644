"""Pictures that hold more than pixels, links, pipes and files that cannot be opened are refused, not skipped."""

import base64
import json
import os
import struct
import zlib
from pathlib import Path

import pytest

from cards.firewall import patterns
from cards.firewall.check import NOT_PNG, check_path

SECRET = b"Slipped on wet leaves behind the brewery"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
PIXELS = zlib.compress(bytes(2 * 7))
END = chunk(b"IEND", b"")


def image(*middle: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + HEADER + b"".join(middle)


@pytest.mark.parametrize(
    "content",
    [
        image(chunk(b"IDAT", PIXELS), chunk(b"pHYs", SECRET), END),
        image(chunk(b"IDAT", PIXELS), chunk(b"eXIf", SECRET), END),
        image(chunk(b"iCCP", b"x\0\0" + zlib.compress(SECRET)), chunk(b"IDAT", PIXELS), END),
        image(chunk(b"noTE", SECRET), chunk(b"IDAT", PIXELS), END),
        image(chunk(b"IDAT", PIXELS + SECRET), END),
        image(chunk(b"IDAT", PIXELS), chunk(b"IDAT", SECRET), END),
        image(chunk(b"IDAT", PIXELS), chunk(b"tIME", bytes(7)), chunk(b"IDAT", SECRET), END),
        image(chunk(b"IDAT", zlib.compress(bytes(14) + SECRET)), END),
        image(chunk(b"IDAT", PIXELS), chunk(b"IEND", SECRET)),
        image(chunk(b"IDAT", PIXELS), END, chunk(b"tEXt", SECRET)),
        image(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**20 + 1) + SECRET)), chunk(b"IDAT", PIXELS), END),
        image(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"fine") + SECRET), chunk(b"IDAT", PIXELS), END),
        image(chunk(b"IDAT", PIXELS)[:-1] + b"!", END),
        image(END),
    ],
)
def test_a_picture_with_anything_but_pixels_and_readable_texts_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert [finding.reason for finding in check_path(tmp_path).findings] == [NOT_PNG]


def test_a_picture_in_several_parts_and_one_of_matplotlib_are_read(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    parts = chunk(b"IDAT", PIXELS[:5]), chunk(b"IDAT", PIXELS[5:])
    (tmp_path / "a.png").write_bytes(image(chunk(b"gAMA", bytes(4)), *parts, END))
    figure = Figure()
    figure.subplots().plot([3, 1, 2])
    figure.savefig(tmp_path / "b.png")
    assert check_path(tmp_path).findings == []


def test_embedded_data_are_refused(tmp_path: Path) -> None:
    packed = base64.b64encode(SECRET * 3).decode()
    (tmp_path / "a.svg").write_text(f'<svg><image href="data:image/png;base64,{packed}"/></svg>')
    (tmp_path / "b.md").write_text(f"![x](data:text/plain;charset=utf-8;base64,{packed})")
    (tmp_path / "c.ipynb").write_text(json.dumps({"cells": [{"outputs": [{"data": {"image/png": packed}}]}]}))
    (tmp_path / "d.md").write_text("Data: base64, or image/png, as words.")
    found = {finding.name: finding.reason for finding in check_path(tmp_path).findings}
    assert found == dict.fromkeys(("a.svg", "b.md", "c.ipynb"), patterns.EMBEDDED)


def test_links_and_pipes_are_refused_whatever_they_lead_to(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir(), out.mkdir()
    (elsewhere / "rows.csv").write_text("fine")
    (out / "fine.md").write_text("fine")
    (out / "file.md").symlink_to(elsewhere / "rows.csv")
    (out / "folder").symlink_to(elsewhere)
    (out / "broken").symlink_to(tmp_path / "absent")
    os.mkfifo(out / "pipe.md")
    found = {finding.name: finding.reason for finding in check_path(out).findings}
    link = "a link, which leads to a file elsewhere"
    assert found == dict.fromkeys(("broken", "file.md", "folder"), link) | {"pipe.md": "no regular file"}
    assert [finding.reason for finding in check_path(out / "pipe.md").findings] == ["no regular file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens everything")
def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed.md").write_text("fine")
    for name in ("closed", "closed.md"):
        (tmp_path / name).chmod(0)
    found = {finding.name: finding.reason for finding in check_path(tmp_path).findings}
    (tmp_path / "closed").chmod(0o700)
    assert found == {"closed": "a folder that cannot be opened", "closed.md": "could not be opened"}
