"""What an engine had started ends when its own process is killed, and only then."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

PARENT = """
import subprocess, sys, time, os
from deepicd.engines.orphans import start_watching
earlier = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
watcher = start_watching(os.getpid())
time.sleep(0.1)  # the clock of processes has a hundredth of a second
below = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
engine = subprocess.Popen([sys.executable, "-c", below], start_new_session=True)
print(watcher.pid, engine.pid, earlier.pid, flush=True)
while True:  # processes that end while the watcher looks at them are no reason to kill the others
    subprocess.run(["true"])
"""


def wait_until(is_true: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_processes_below_a_killed_process_are_killed() -> None:
    psutil = pytest.importorskip("psutil")
    ended = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)

    def has_ended(process: Any) -> bool:
        try:
            return process.status() in ended
        except psutil.NoSuchProcess:
            return True

    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        watcher, engine, earlier = map(psutil.Process, map(int, parent.stdout.readline().split()))
        assert wait_until(lambda: len(engine.children()) == 1)
        below = engine.children()[0]
        time.sleep(4)  # the watcher has looked several times, and has left them alone
        assert not any(map(has_ended, (watcher, engine, below)))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_until(lambda: all(map(has_ended, (watcher, engine, below))))
    assert earlier.is_running()  # it was there before the watcher
    earlier.kill()
