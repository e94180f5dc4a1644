"""End the processes of an engine whose own process was killed: vLLM's would keep a GPU's memory for ever.

vLLM's processes wait for requests and never ask whether anybody is left to send them. So each engine first starts one
process that looks once per second, and kills what was started after itself if the engine's process is gone (`kill -9`,
out of memory). What that process had started before, a notebook's other jobs for instance, is left alone.

Run by deepicd.engines.vllm: python -m deepicd.engines.orphans PID
"""

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

LOOK_EVERY = 1.0  # seconds


def start_watching(pid: int) -> "subprocess.Popen[bytes]":
    """Start the process that watches `pid`; terminate it when the engine closes."""
    return subprocess.Popen([sys.executable, "-P", "-m", __name__, str(pid)], start_new_session=True)


def main(pid: int) -> None:
    """Wait until the process, whose child this one is, is gone; then kill those that it has started since."""
    import psutil

    own, below = psutil.Process(), list[psutil.Process]()
    while os.getppid() == pid:  # a process that loses its parent gets another
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(pid).children(recursive=True)
            below = [child for child in children if _is_left_behind(child, own)]
        time.sleep(LOOK_EVERY)
    for process in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # psutil compares the time of creation: never another process with this number


def _is_left_behind(process: "psutil.Process", own: "psutil.Process") -> bool:
    """Return whether it is younger than this one. Python's resource tracker frees shared memory and ends by itself."""
    import psutil

    try:
        is_younger = process != own and process.create_time() >= own.create_time()
        return is_younger and not any("resource_tracker" in word for word in process.cmdline())
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False


if __name__ == "__main__":
    main(int(sys.argv[1]))
