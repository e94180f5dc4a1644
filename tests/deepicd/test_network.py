"""The demo keeps what it says: it needs no network, and asks nothing of it."""

import sys
from pathlib import Path

import pytest
from loopback import has_namespaces, run_watched

from .conftest import Demo

NATIVE_CONNECTION = """
import ctypes, socket, struct
libc = ctypes.CDLL(None)
address = struct.pack("=HH4s8x", socket.AF_INET, 0x901f, bytes([192, 0, 2, 1]))  # of a range for documentation
libc.connect(libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0), address, 16)
"""


def test_the_demo_and_the_line_that_loads_it_ask_no_other_machine(demo: Demo) -> None:
    assert demo.ran.attempts + demo.loaded.attempts == []


@pytest.mark.skipif(not has_namespaces(), reason="needs network namespaces (Linux, open to users)")
def test_nor_does_any_library_below_python(demo: Demo) -> None:
    assert (demo.ran.without_route, demo.loaded.without_route) == (0, 0)


def test_the_watch_sees_a_lookup_and_a_connection_of_a_process_that_another_one_starts(tmp_path: Path) -> None:
    ask = "import socket; socket.create_connection(('192.0.2.1', 80))"
    code = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-P', '-c', {ask!r}]).returncode)"
    watched = run_watched([sys.executable, "-c", code], tmp_path)
    assert watched.code == 1
    assert watched.attempts == ["socket.getaddrinfo 192.0.2.1"]
    assert "this process keeps to loopback" in watched.err


@pytest.mark.skipif(not has_namespaces(), reason="needs network namespaces (Linux, open to users)")
def test_the_kernel_counts_a_connection_that_python_does_not_see(tmp_path: Path) -> None:
    watched = run_watched([sys.executable, "-c", NATIVE_CONNECTION], tmp_path)
    assert (watched.attempts, watched.without_route) == ([], 1)
