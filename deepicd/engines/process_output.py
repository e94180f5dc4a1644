"""What vLLM and the processes it starts print goes to a file, of which an error shows the line that matters.

with printing_to(log):
    …                          # fails
what, advice = explained(recipe, text(log))
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import IO

from deepicd.engines.recipe import ModelRecipe

LESS_MEMORY = (
    "Lower `context`, lower `gpu_memory` if other programs use the GPU or raise it if none does, spread the model over"
    " more GPUs (`tensor_parallel`), or take a smaller teacher. Without a GPU, VLLM_CPU_KVCACHE_SPACE is the cache in"
    " GiB."
)


_CAUSE = re.compile(r"^.*?((?:[A-Z]\w*Error|torch\.\w+Error): .+)$", re.MULTILINE)
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|KV cache|[Ff]ree memory|No available memory|MemoryError|Cannot allocate"
)


def read_text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def explain_failure(recipe: ModelRecipe, log: str) -> tuple[str, str]:
    """What to tell of a failure, and what to do, from what was printed meanwhile."""
    causes = [cause for cause in _CAUSE.findall(log) if "Engine core initialization failed" not in cause]
    cause = (causes[0] if causes else log.strip().rpartition("\n")[2])[:500]
    if any(_MEMORY.search(cause) for cause in causes):
        return f"{recipe.model} does not fit into memory with this recipe: {cause}", LESS_MEMORY
    if not cause:
        return f"The processes that run {recipe.model} were killed, for want of memory as a rule.", LESS_MEMORY
    return f"vLLM cannot run {recipe.model}: {cause}", "vLLM's documentation lists the models that it supports."


@contextlib.contextmanager
def capture_output(log: IO[bytes]) -> Iterator[None]:
    """In the block, and for good in processes started in it, what is printed goes to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    try:
        for stream, _ in kept:
            os.dup2(log.fileno(), stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in kept:
            os.dup2(copy, stream)
            os.close(copy)


@contextlib.contextmanager
def ignore_interrupts() -> Iterator[None]:
    """Processes started in the block do not hear a Ctrl-C, so that this one can wait for their answers first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
