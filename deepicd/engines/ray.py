"""Ray Data LLM: `data_parallel` vLLM replicas on the machines of a Ray cluster, or on this one if there is none.

    RAY_ADDRESS=head:6379 deepicd distill … --engine ray --set data_parallel=8

Ray Data takes requests a wave at a time and starts its replicas for each wave, so a wave is large; answers come block
by block while it runs. A replica that dies is started again and writes its batch anew: what comes twice is dropped
here, what never comes is handed back to be asked again. Ray tells neither finish reason nor cached tokens: the reason
is read from the tokens.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from deepicd.engines.base import SILENT, Completion, Failure, Request
from deepicd.engines.model import find_model
from deepicd.engines.process_output import capture_output, explain_failure
from deepicd.engines.prompt_tokens import PromptTokenizer
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.vllm import DEFAULTS, build_arguments
from deepicd.errors import DeepicdError

WAVE = 8192  # requests of each replica
BATCH = 32  # requests that are lost with a replica, and that come back together; several are under way in each


def engine(recipe: ModelRecipe) -> "RayEngine":
    return RayEngine(recipe)


class RayEngine:
    """An Engine. Raises DeepicdError where the cluster lacks what the recipe asks for."""

    name = "ray"

    def __init__(self, recipe: ModelRecipe) -> None:
        import ray

        self.ahead: int = recipe.in_flight or WAVE * recipe.data_parallel
        self._recipe = recipe
        self._reader = PromptTokenizer(recipe)
        self._model = find_model(recipe)
        self._started_here = not ray.is_initialized()
        with tempfile.TemporaryFile() as log, capture_output(log):
            import vllm

            self.version = f"{ray.__version__}, vllm {vllm.__version__}"
            gpus = _connected(recipe)
            self._processor = _processor(recipe, self._model.path, on_cpu=not gpus)
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._refused: list[Completion | Failure] = []  # what does not fit, before it is sent anywhere
        self._waiting: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, tuple[Request, float]] = {}
        self._wave: Iterator[Any] | None = None
        self._in_wave: set[str] = set()

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            ids = self._reader.read(request)
            if isinstance(ids, Failure):
                self._refused.append(ids)
                continue
            schema = {} if request.schema is None else {"structured_outputs": {"json": json.dumps(request.schema)}}
            sampling = self._recipe.sampling | {"seed": request.seed} | schema
            self._waiting[request.key] = {"key": request.key, "ids": ids, "sampling": json.dumps(sampling)}
            self._asked[request.key] = (request, time.perf_counter())

    def finished(self) -> list[Completion | Failure]:
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        while self._asked:
            if self._wave is None:
                self._begin()
            if done := self._next_block():
                return done
        return []

    def close(self) -> None:
        import ray

        self._wave = None
        if self._started_here:
            ray.shutdown()

    def _begin(self) -> None:
        import ray

        rows, self._waiting = list(self._waiting.values()), {}
        self._in_wave = {row["key"] for row in rows}
        dataset = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // BATCH))
        self._wave = iter(self._processor(dataset).iter_batches(batch_size=None, batch_format="pyarrow"))

    def _next_block(self) -> list[Completion | Failure]:
        """What came back with the wave's next block; at its end what never did."""
        import ray

        assert self._wave is not None
        try:
            block = next(self._wave, None)
        except (ray.exceptions.RayError, RuntimeError, ValueError) as error:
            what, advice = explain_failure(self._recipe, str(error))
            raise DeepicdError(what, f"{advice} The same command then goes on from what is finished.") from error
        if block is not None:
            fresh = {row["key"]: row for row in block.to_pylist() if row["key"] in self._in_wave}
            self._in_wave -= fresh.keys()
            return [self._result(row) for row in fresh.values()]
        lost, self._wave, self._in_wave = self._in_wave, None, set()
        for key in lost:
            del self._asked[key]
        return [Failure(key, "Ray did not bring it back", final=False) for key in lost]

    def _result(self, row: dict[str, Any]) -> Completion | Failure:
        request, began = self._asked.pop(row["key"])
        if error := row.get("__inference_error__"):
            return Failure(request.key, f"a replica failed ({error.partition(':')[0][:40]})", final=False)
        room = min(self._recipe.max_tokens, self._recipe.context - row["prompt_tokens"])
        cut = row["completion_tokens"] >= room and row["last_token"] not in self._ends
        return Completion(
            request.key,
            request.opening + row["text"],
            "length" if cut else "stop",
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            seconds=time.perf_counter() - began,
        )

    @property
    def _ends(self) -> set[int]:
        """Tokens that end an answer."""
        ends = self._model.config.eos_token_id
        return {self._reader.tokenizer.eos_token_id} | ({ends} if isinstance(ends, int) else set(ends or []))


def _connected(recipe: ModelRecipe) -> int:
    """Join the cluster of RAY_ADDRESS, or start one on this machine; its GPUs."""
    import ray

    replicas = recipe.data_parallel
    try:
        if not ray.is_initialized():
            here = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False, "num_cpus": _cpus(replicas)}
            ray.init(log_to_driver=False, logging_level=logging.WARNING, **here)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DeepicdError(
            f"No Ray cluster could be joined or started: {str(error).strip().splitlines()[0][:200]}",
            "RAY_ADDRESS names the head of a running one. Those that `ray start` made want RAY_AUTH_MODE=token and one"
            " RAY_AUTH_TOKEN_PATH everywhere.",
        ) from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if gpus and gpus < (wanted := replicas * recipe.tensor_parallel):
        raise DeepicdError(
            f"The recipe is for {wanted} GPUs ({replicas} replicas of {recipe.tensor_parallel}), and the cluster has"
            f" {gpus}.",
            "Lower data_parallel or tensor_parallel, or wait for the other nodes: ray status",
        )
    return gpus


def _cpus(replicas: int) -> int:
    """Cores that Ray may count on: one a replica, and some for what feeds them, though the machine had fewer."""
    return max(os.cpu_count() or 1, replicas + 2)


def _processor(recipe: ModelRecipe, path: str, *, on_cpu: bool) -> Any:
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    quiet = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"} | DEFAULTS | SILENT
    passed_on = {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    replicas = recipe.data_parallel
    return build_processor(
        vLLMEngineProcessorConfig(
            model_source=path,
            engine_kwargs=build_arguments(recipe, path, on_cpu=on_cpu) | {"disable_log_stats": True},
            concurrency=(replicas, replicas),
            batch_size=BATCH,
            placement_group_config={"bundles": [{"CPU": 1}], "strategy": "PACK"} if on_cpu else None,
            runtime_env={"env_vars": {name: os.environ.get(name, value) for name, value in quiet.items()} | passed_on},
            should_continue_on_error=True,
            log_engine_metrics=False,
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
        ),
        preprocess=_asked,
        postprocess=_answered,
    )


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    return {"tokenized_prompt": row["ids"], "sampling_params": json.loads(row["sampling"]), "key": row["key"]}


def _answered(row: dict[str, Any]) -> dict[str, Any]:
    tokens = row["generated_tokens"]
    return {
        "key": row["key"],
        "text": row["generated_text"],
        "prompt_tokens": row["num_input_tokens"],
        "completion_tokens": row["num_generated_tokens"],
        "last_token": tokens[-1] if len(tokens) else -1,
    }
