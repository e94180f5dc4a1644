"""Ray Data LLM: `data_parallel` vLLM replicas on the machines of a Ray cluster, or on this one if there is none.

    RAY_ADDRESS=head:6379 deepicd distill … --engine ray --set data_parallel=8

Ray Data takes requests one wave at a time and starts its replicas for each wave, so a wave is large; completions come
block by block while it runs. A replica that dies is started again and repeats its batch: a completion that comes twice
is dropped here, one that never comes is a Failure that the run submits again. Ray reports neither finish reason nor
cached tokens: the reason is derived from the tokens.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from deepicd.engines.base import Completion, Failure, Request, Result
from deepicd.engines.model import find_model
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.registry import TELEMETRY_OFF
from deepicd.engines.tokens import PromptTokenizer
from deepicd.engines.vllm import ENVIRONMENT, build_arguments, capture_output, explain_failure
from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json

REQUIRES = ("ray", "vllm")
ASKS_SERVER = False

WAVE = 8192  # requests per replica
BATCH = 32  # requests that come back together, and that are lost with a replica; each replica has several in flight


def open_engine(recipe: ModelRecipe) -> "RayEngine":
    return RayEngine(recipe)


class RayEngine:
    """An Engine. Raises DeepicdError where the cluster lacks what the recipe asks for."""

    name = "ray"

    def __init__(self, recipe: ModelRecipe) -> None:
        import ray

        self.capacity: int = recipe.in_flight or WAVE * recipe.data_parallel
        self._recipe = recipe
        self._tokenizer = PromptTokenizer(recipe)
        self._tokenizer.refuse_replaced()
        self._model = find_model(recipe)
        self._started_here = not ray.is_initialized()
        with tempfile.TemporaryFile() as log, capture_output(log):
            import vllm

            self.version = f"{ray.__version__}, vllm {vllm.__version__}"
            gpus = _connect(recipe)
            self._processor = _build_processor(recipe, self._model.path, on_cpu=not gpus)
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._refused: list[Result] = []  # prompts that do not fit, never sent anywhere
        self._waiting: dict[str, dict[str, Any]] = {}  # rows of the next wave, by key
        self._in_flight: dict[str, tuple[Request, float]] = {}
        self._wave: Iterator[Any] | None = None
        self._in_wave: set[str] = set()

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            ids = self._tokenizer.tokenize(request)
            if isinstance(ids, Failure):
                self._refused.append(ids)
                continue
            schema = {} if request.schema is None else {"structured_outputs": {"json": json.dumps(request.schema)}}
            sampling = (
                self._recipe.sampling | {"seed": request.seed, "stop_token_ids": self._tokenizer.end_tokens} | schema
            )
            self._waiting[request.key] = {"key": request.key, "ids": ids, "sampling": json.dumps(sampling)}
            self._in_flight[request.key] = (request, time.perf_counter())

    def collect(self) -> list[Result]:
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        while self._in_flight:
            if self._wave is None:
                self._wave = self._start_wave()
            if results := self._collect_block(self._wave):
                return results
        return []

    def close(self) -> None:
        import ray

        self._wave = None
        if self._started_here:
            ray.shutdown()

    def _start_wave(self) -> Iterator[Any]:
        import ray

        rows, self._waiting = list(self._waiting.values()), {}
        self._in_wave = {row["key"] for row in rows}
        dataset = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // BATCH))
        return iter(self._processor(dataset).iter_batches(batch_size=None, batch_format="pyarrow"))

    def _collect_block(self, wave: Iterator[Any]) -> list[Result]:
        """Return the results of the wave's next block; at its end a Failure for each request that never came back."""
        import ray

        try:
            block = next(wave, None)
        except (ray.exceptions.RayError, RuntimeError, ValueError) as error:
            what, advice = explain_failure(self._recipe, str(error))
            raise DeepicdError(what, f"{advice} The same command then continues from what is finished.") from error
        if block is not None:
            fresh = {row["key"]: row for row in block.to_pylist() if row["key"] in self._in_wave}
            self._in_wave -= fresh.keys()
            return [self._build_result(row) for row in fresh.values()]
        lost, self._wave, self._in_wave = self._in_wave, None, set()
        for key in lost:
            del self._in_flight[key]
        return [Failure(key, "Ray did not return it", is_final=False) for key in lost]

    def _build_result(self, row: dict[str, Any]) -> Result:
        request, started = self._in_flight.pop(row["key"])
        if error := row.get("__inference_error__"):
            return Failure(request.key, f"a replica failed ({error.partition(':')[0][:40]})", is_final=False)
        room = min(self._recipe.max_tokens, self._recipe.context - row["prompt_tokens"])
        is_cut = row["completion_tokens"] >= room and row["last_token"] not in self._end_tokens
        return Completion(
            request.key,
            self._tokenizer.join(request, row["text"]),
            "length" if is_cut else "stop",
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            seconds=time.perf_counter() - started,
        )

    @property
    def _end_tokens(self) -> set[int]:
        """Tokens that end a completion."""
        ends = self._model.config.eos_token_id
        own = {ends} if isinstance(ends, int) else set(ends or [])
        return {self._tokenizer.tokenizer.eos_token_id, *self._tokenizer.end_tokens} | own


def _connect(recipe: ModelRecipe) -> int:
    """Join the cluster of RAY_ADDRESS, or start one on this machine. Return the number of its GPUs."""
    import ray

    replicas = recipe.data_parallel
    try:
        if not ray.is_initialized():
            # One core per replica and some for what feeds them, even if this machine has fewer.
            cores = max(os.cpu_count() or 1, replicas + 2)
            local = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "num_cpus": cores}
            ray.init(log_to_driver=False, logging_level=logging.WARNING, **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DeepicdError(
            f"No Ray cluster could be joined or started: {str(error).strip().splitlines()[0][:200]}",
            "RAY_ADDRESS names the head of a running cluster. One that `ray start` made needs RAY_AUTH_MODE=token and"
            " the same RAY_AUTH_TOKEN_PATH on every machine.",
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if gpus and gpus < (needed := replicas * recipe.tensor_parallel):
        raise DeepicdError(
            f"The recipe is for {needed} GPUs ({replicas} replicas of {recipe.tensor_parallel}), and the cluster has"
            f" {gpus}.",
            "Lower data_parallel or tensor_parallel, or wait for the other nodes: ray status",
        )
    return gpus


def _build_processor(recipe: ModelRecipe, path: str, *, on_cpu: bool) -> Any:
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    defaults = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"} | ENVIRONMENT | TELEMETRY_OFF
    variables = {name: os.environ.get(name, value) for name, value in defaults.items()}
    variables |= {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    replicas = recipe.data_parallel
    return build_processor(
        vLLMEngineProcessorConfig(
            model_source=path,
            engine_kwargs=build_arguments(recipe, path, on_cpu=on_cpu) | {"disable_log_stats": True},
            concurrency=(replicas, replicas),
            batch_size=BATCH,
            placement_group_config={"bundles": [{"CPU": 1}], "strategy": "PACK"} if on_cpu else None,
            runtime_env={"env_vars": variables},
            should_continue_on_error=True,
            log_engine_metrics=False,
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
        ),
        preprocess=_build_row,
        postprocess=_read_row,
    )


def _build_row(row: dict[str, Any]) -> dict[str, Any]:
    return {"tokenized_prompt": row["ids"], "sampling_params": parse_json(row["sampling"]), "key": row["key"]}


def _read_row(row: dict[str, Any]) -> dict[str, Any]:
    tokens = row["generated_tokens"]
    return {
        "key": row["key"],
        "text": row["generated_text"],
        "prompt_tokens": row["num_input_tokens"],
        "completion_tokens": row["num_generated_tokens"],
        "last_token": tokens[-1] if len(tokens) else -1,
    }
