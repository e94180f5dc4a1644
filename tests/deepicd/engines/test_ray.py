"""The engine `ray`: vLLM replicas on this machine, and one of two killed."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from engine_requests import answers, request

from deepicd.engines.base import Completion
from deepicd.engines.ray_cluster import open_cluster
from deepicd.engines.registry import open_engine
from distill.recipe import Recipe

pytestmark = pytest.mark.engines


def test_a_killed_replica_loses_no_row_and_doubles_none(tiny: Recipe) -> None:
    writer = open_engine(tiny.replace(engine="ray", data_parallel=2, max_tokens=64))
    killed: list[int] = []
    killer = threading.Thread(target=_kill_one_replica, args=(killed,))
    killer.start()
    found = answers(writer, [request(number) for number in range(400)])
    killer.join()
    writer.close()
    assert len(killed) == 1
    assert found.keys() == {f"key-{number}" for number in range(400)}
    assert all(isinstance(one, Completion) and one.text.startswith("<think>\n") for one in found.values())


def test_an_answer_of_a_replica_meets_the_schema_it_is_asked_in(tiny: Recipe) -> None:
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
        "required": ["score"],
        "additionalProperties": False,
    }
    writer = open_engine(tiny.replace(engine="ray", max_tokens=64))
    found = answers(writer, [request(number, schema=schema if number % 2 else None) for number in range(8)])
    writer.close()
    for number in range(8):
        answer = found[f"key-{number}"]
        assert isinstance(answer, Completion)
        text = answer.text.removeprefix("<think>\n")
        assert not number % 2 or json.loads(text)["score"] in range(1, 6)


def test_a_cluster_that_is_started_here_listens_on_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    psutil = pytest.importorskip("psutil")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with open_cluster(1, 0):
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        sockets = [socket for process in processes for socket in process.net_connections("inet")]
        addresses = {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}
    assert len(processes) > 3
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def _kill_one_replica(killed: list[int]) -> None:
    """Wait for both replicas' actors below this process, then end one without warning."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        actors = [pid for pid, name in _descendants() if "Replica" in name]
        if len(actors) >= 2:
            os.kill(actors[0], signal.SIGKILL)
            killed.append(actors[0])
            return
        time.sleep(0.2)


def _descendants() -> list[tuple[int, str]]:
    """(pid, title) of the processes that this one started, at any depth."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue

    def ours(pid: int) -> bool:
        while pid in parents and pid > 1:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return [(pid, titles[pid]) for pid in parents if ours(pid)]
