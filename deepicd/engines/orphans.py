"""End the processes of an engine whose own process was killed: vLLM's would keep a GPU's memory for ever.

vLLM's processes wait for requests and never ask whether anybody is left to send them. So each engine starts one process
that looks once per second, and kills what the engine had started if it is gone (`kill -9`, out of memory).

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
    """Wait until the process is gone, then kill those that it had started, with all below them."""
    import psutil

    parent, below = psutil.Process(pid), list[psutil.Process]()
    while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
        try:
            below = [process for process in parent.children(recursive=True) if not _ends_by_itself(process)]
        except psutil.NoSuchProcess:
            break
        time.sleep(LOOK_EVERY)
    for process in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # psutil compares the time of creation: never another process with this number


def _ends_by_itself(process: "psutil.Process") -> bool:
    """Return whether it is this process or Python's resource tracker, which removes shared memory after the others."""
    return process.pid == os.getpid() or any("resource_tracker" in word for word in process.cmdline())


if __name__ == "__main__":
    main(int(sys.argv[1]))
