"""The demo keeps what it says: it needs no network, and asks nothing of it."""

import shlex
import sys
from pathlib import Path

import pytest
from loopback import Watched, has_namespaces, run_watched

NATIVE_CONNECTION = """
import ctypes, socket, struct
libc = ctypes.CDLL(None)
address = struct.pack("=HH4s8x", socket.AF_INET, 0x901f, bytes([192, 0, 2, 1]))  # of a range for documentation
libc.connect(libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0), address, 16)
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """The demo of a user who has never run anything: no cache, and nothing that says offline."""
    scratch = tmp_path_factory.mktemp("offline")
    environment = {
        "HOME": str(scratch),
        "HF_HOME": str(scratch / "hf"),
        "HF_HUB_OFFLINE": "",
        "HF_DATASETS_OFFLINE": "",
    }
    command = [sys.executable, "-m", "deepicd", "demo", scratch / "demo", "--admissions", "100"]
    watched = run_watched(command, scratch, environment)
    assert watched.code == 0, watched.err
    load = next(line for line in watched.out.splitlines() if line.startswith("Load it: "))
    loaded = run_watched([sys.executable, *shlex.split(load.removeprefix("Load it: "))[1:]], scratch, environment)
    assert loaded.code == 0, loaded.err
    routes = None if watched.without_route is None else watched.without_route + (loaded.without_route or 0)
    return Watched(0, watched.out + loaded.out, "", watched.attempts + loaded.attempts, routes)


def test_the_demo_and_the_line_that_loads_it_ask_no_other_machine(demo: Watched) -> None:
    assert demo.attempts == []


@pytest.mark.skipif(not has_namespaces(), reason="needs network namespaces (Linux, open to users)")
def test_nor_does_any_library_below_python(demo: Watched) -> None:
    assert demo.without_route == 0


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
