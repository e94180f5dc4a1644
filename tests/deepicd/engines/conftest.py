"""What engine tests share: the tiny teacher in each engine, started once. Skipped where vLLM is not installed."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from deepicd.engines.base import Engine
from deepicd.engines.registry import open_engine
from distill import tiny_teacher
from distill.recipe import Recipe, load_recipe

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engines") and not find_spec("vllm"):
        pytest.skip("needs vLLM, Ray and transformers: make test-full")


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    return load_recipe(Path("tiny"))


@pytest.fixture(scope="session")
def vllm(tiny: Recipe) -> Iterator[Engine]:
    """The engine `vllm`, one for all tests."""
    writer = open_engine(tiny)
    yield writer
    writer.close()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The base URL of vLLM's own server with the tiny teacher, on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--host 127.0.0.1 --port {port} --max-model-len 2048 --enforce-eager"
    # a seeded request whose prompt is read in chunks stops vllm-cpu
    whole = "--no-enable-chunked-prefill --max-num-batched-tokens 8192"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(tiny_teacher.WEIGHTS)]
    command += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    command += ["--served-model-name", tiny_teacher.NAME, *options.split(), *whole.split()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server is not there (exit {process.poll()})")
