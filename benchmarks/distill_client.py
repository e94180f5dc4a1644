"""Measure what asking a server costs: `deepicd distill` beside the simplest program, at 64, 256 and 512 in flight.

The server is a stand-in on loopback that answers every prompt with one trace, at once, so that only the client is
measured. Ours also plans, checks each trace and keeps a ledger; the simplest program (benchmarks.plain_client: asyncio
and the package openai) appends to a file. Both are processes of their own and take turns.

  CPU      seconds of CPU time, start and end included; the goal is 1.3 of the other's
  ceiling  seconds until all rows are answered; the goal is 1.0 of the other's
  order    the share of the prompts' text that one of the last 64 prompts began with, rows sorted by chapter and code
           against shuffled ones; computed from the prompts, no model reads them

Run: python -m benchmarks.distill_client [ROWS] [GUIDELINES_FOLDER]   (in the environment of `make setup-full`)
"""

import asyncio
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.distill import build_seeds, write_cohort
from benchmarks.measure import Comparison, deepicd, record, run, settings

IN_FLIGHT = (64, 256, 512)
ROUNDS = 3
SMALL = 300  # rows, for the memory
WINDOW = 64  # prompts under way at once
PLAIN = Path(__file__).parent / "plain_client.py"
TRACE = (
    "The note tells of pressure in the chest that woke the patient, of sweat and of crackles at both bases. I weigh an"
    " embolism of the lung first, since it can begin as suddenly, but nothing points to a clot in the legs and the pain"
    " does not change with breathing. Reflux after a meal would be milder and would not make one pale. Inflammation"
    " of the pericardium is worse when lying flat, which is not what is told here. What remains is too little blood for"
    " the heart muscle, and the course over hours says that some of it has been lost. How much cannot be read from the"
    " history alone; the examination, with a fast pulse and a low pressure, suggests that the pump is failing as well. "
)
CHAT = {
    "choices": [{"finish_reason": "stop", "message": {"content": f"{TRACE}\n</think>\n<diagnosis>I214</diagnosis>"}}],
    "usage": {"prompt_tokens": 900, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 256}},
}
MODELS = {"data": [{"id": "stand-in", "owned_by": "vllm", "max_model_len": 32_768}]}


def main(rows: int = 1000, guidelines: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as name, serve() as url:
        folder = Path(name)
        seeds = build_seeds(folder)
        comparisons = []
        for number, in_flight in [(SMALL, IN_FLIGHT[0]), *((rows, in_flight) for in_flight in IN_FLIGHT)]:
            cohort = folder / f"cohort-{number}"
            if not cohort.exists():  # a process of its own: a child's peak of memory begins with what its parent holds
                run([sys.executable, "-m", "benchmarks.distill_client", "prepare", str(number), seeds, cohort])
            comparisons += compare_clients(folder, cohort, url, number, in_flight)
        if guidelines:
            print(describe_order(folder / f"cohort-{rows}", guidelines))
    record("distill_client", comparisons, ["aiohttp", "openai", "httpx"])


def compare_clients(folder: Path, cohort: Path, url: str, rows: int, in_flight: int) -> list[Comparison]:
    """Return the comparisons of CPU time and of the time until the last answer."""
    prompts = cohort.with_suffix(".jsonl")
    fields = {"in_flight": in_flight, "attempts": 1}
    ours, plain = [], []
    for turn in range(ROUNDS):
        out = folder / f"{cohort.name}-{in_flight}-{turn}"
        plain.append(run([sys.executable, PLAIN, url, prompts, out.with_suffix(".jsonl"), str(in_flight)]))
        options = ["--model", "stand-in", "--base-url", url, "--guideline-text", "none", *settings(fields)]
        ours.append(run(deepicd("distill", cohort, out, *options)))
    peak = max(cost.peak_mib for cost in ours)
    what, against = f"distill over a server, {rows:,} rows, {in_flight} in flight", "asyncio and openai"
    return [
        Comparison(
            f"{what}: {kind}",
            f"{against} ({max(cost.peak_mib for cost in plain):.0f} MiB)",
            median(getattr(cost, name) for cost in ours),
            median(getattr(cost, name) for cost in plain),
            peak,
        )
        for kind, name in (("CPU", "cpu"), ("ceiling", "seconds"))
    ]


def prepare(rows: int, seeds: Path, cohort: Path) -> None:
    """Write a cohort, and beside it its prompts for the simplest program."""
    write_cohort(rows, seeds, cohort)
    lines = [f"{json.dumps(prompt)}\n" for prompt in build_prompts(cohort)]
    cohort.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")


def build_prompts(cohort: Path, guidelines: Path | None = None) -> list[dict[str, Any]]:
    """Return id, code and messages of each row, as `distill` sends them."""
    from deepicd.engines.tokens import TokenCounter
    from distill.prompt_builder import Prompt, PromptBuilder
    from distill.recipe import Recipe
    from distill.sources import open_sources

    sources = open_sources(cohort, guidelines, None)
    recipe = Recipe(engine="openai_server", model="stand-in", guideline_text="full" if guidelines else "none")
    builder = PromptBuilder(recipe, sources.knowledge, TokenCounter())
    built = [(row, builder.build(row)) for _, row in sources.read_rows()]
    return [
        {"id": row["note_id"], "code": row["icd_code"], "messages": prompt.messages}
        for row, prompt in built
        if isinstance(prompt, Prompt)
    ]


def describe_order(cohort: Path, guidelines: Path) -> str:
    """Return the share of the prompts' text that another of the last `WINDOW` prompts began with, by order of rows."""
    from deepicd.icd10cm import Code

    prompts = build_prompts(cohort, guidelines)
    texts = {str(prompt["id"]): "".join(turn["content"] for turn in prompt["messages"]) for prompt in prompts}
    by_code = sorted(prompts, key=lambda prompt: (Code(prompt["code"]).chapter.number, prompt["code"]))
    shuffled = random.Random(1).sample(prompts, len(prompts))
    shares = [
        f"{name} {compute_shared([texts[str(prompt['id'])] for prompt in order]):.0%}"
        for name, order in (("sorted by chapter and code", by_code), ("shuffled", shuffled))
    ]
    mean = sum(map(len, texts.values())) / len(texts) / 4
    return f"prompts of some {mean:,.0f} tokens, text that one of the last {WINDOW} began with: {', '.join(shares)}"


def compute_shared(texts: Sequence[str]) -> float:
    """Return the share of all text that a prompt has in common with the start of one of the `WINDOW` before it."""
    shared = 0
    for number, text in enumerate(texts):
        shared += max((count_shared(text, other) for other in texts[max(0, number - WINDOW) : number]), default=0)
    return shared / sum(map(len, texts))


def count_shared(first: str, second: str) -> int:
    """Return how many characters two texts have in common at their start.

    >>> count_shared("prefix", "prefers")
    4
    """
    low, high = 0, min(len(first), len(second))
    while low < high:  # the longest equal start, by halving
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low


@contextmanager
def serve() -> Iterator[str]:
    """Yield the base URL of the stand-in, which runs in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.distill_client", "serve", str(port)])
    try:
        for _ in range(100):
            time.sleep(0.1)
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


async def answer_requests(port: int) -> None:
    """Answer the list of models and every chat, at once."""

    def encode(reply: object) -> bytes:
        body = json.dumps(reply).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    chat, models = encode(CHAT), encode(MODELS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                await reader.readexactly(length)
                writer.write(chat if length else models)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port, limit=2**22, backlog=1024) as server:
        await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(answer_requests(int(sys.argv[2])))
    elif sys.argv[1:2] == ["prepare"]:
        prepare(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 1000, Path(sys.argv[2]) if sys.argv[2:] else None)
