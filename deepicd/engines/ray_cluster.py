"""A Ray cluster: the one that RAY_ADDRESS names, or one on this machine that no other machine can reach.

    with open_cluster(workers=8, gpus=2) as options:
        task = ray.remote(function).options(**options)

A worker is one process with `gpus` GPUs of one node, or a CPU core where the cluster has no GPU.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.registry import TELEMETRY_OFF
from deepicd.errors import DeepicdError

RecipeType = TypeVar("RecipeType", bound=ModelRecipe)

OBJECT_STORE = 2**28  # bytes of a cluster that is started here; requests and results are small
# Ray binds to loopback alone where it is not meant to reach other machines, which it assumes of a Mac
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# Ray's default for a cluster that it starts, of which it warns unless it is set
WITH_TOKEN = {"RAY_AUTH_MODE": "token"}
ADVICE = (
    "RAY_ADDRESS names the head of a running cluster. One that `ray start` made needs RAY_AUTH_MODE=token and the same"
    " RAY_AUTH_TOKEN_PATH on every machine. Without RAY_ADDRESS a cluster is started on this machine: rerun the command"
    " when it is less busy."
)
SHORTEN = (
    "Ray's sockets lie in the folder for temporary files, whose path is too long. Name a shorter one: RAY_TMPDIR=/tmp"
)
PASSED_ON = ("HF_HUB_OFFLINE", "HF_HOME", "VLLM_CPU_KVCACHE_SPACE")


def count_gpus(recipe: ModelRecipe) -> int:
    """Return the GPUs that a recipe's engine takes in one process; 0 for an engine that loads no model."""
    if recipe.engine not in ("vllm", "transformers"):
        return 0
    return recipe.tensor_parallel * recipe.data_parallel * int(recipe.engine_args.get("pipeline_parallel_size", 1))


def build_replica_recipe(recipe: RecipeType) -> RecipeType:
    """Return the recipe of one replica, which has one of the copies of the model and its share of the requests."""
    share = -(-recipe.in_flight // recipe.data_parallel)
    return recipe.replace(engine="vllm", data_parallel=1, in_flight=share)


@contextmanager
def open_cluster(workers: int, gpus: int) -> Iterator[dict[str, Any]]:
    """Join the cluster or start one, and yield the options of a worker's task or actor.

    Raises DeepicdError where there is none, or where it lacks the GPUs that a worker or all of them need.
    """
    is_started_here = _join(workers)
    import ray

    try:
        variables = {name: os.environ.get(name, value) for name, value in TELEMETRY_OFF.items()}
        variables |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        yield {
            "num_cpus": 1,
            "num_gpus": _find_gpus(workers, gpus),
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": {"VLLM_CPU_OMP_THREADS_BIND": "nobind"} | variables},
        }
    finally:
        if is_started_here:
            ray.shutdown()


def _join(workers: int) -> bool:
    """Join a cluster, and return whether it was started here."""
    address = os.environ.get("RAY_ADDRESS")
    variables = TELEMETRY_OFF if address else TELEMETRY_OFF | ON_LOOPBACK
    # Ray reads the mode as it is imported: a cluster that is started with another one would refuse this process
    variables = variables | ({} if address or "ray" in sys.modules else WITH_TOKEN)
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        return False
    # Some cores for what feeds the workers, even if this machine has fewer.
    here: dict[str, Any] = {"num_cpus": max(os.cpu_count() or 1, workers + 1), "object_store_memory": OBJECT_STORE}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        options = {} if address else here | {"address": "local", "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
    except SystemExit:  # Ray's answer to SIGTERM, in place of ours
        raise KeyboardInterrupt from None
    except Exception as error:  # Ray raises one that has no better name where a node takes over 30 seconds to start
        raise DeepicdError(
            f"No Ray cluster could be joined or started: {str(error).strip().splitlines()[0][:200]}",
            SHORTEN if "AF_UNIX path" in str(error) else ADVICE,
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
    logging.getLogger("ray").setLevel(logging.ERROR)
    return True


def _find_gpus(workers: int, gpus: int) -> int:
    """Return the GPUs of a worker: `gpus`, or 0 in a cluster without any. Raises DeepicdError for too few."""
    import ray

    by_node = [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
    if not gpus or not any(by_node):
        return 0
    if sum(by_node) < workers * gpus or max(by_node) < gpus:
        raise DeepicdError(
            f"The recipe is for {workers * gpus} GPUs ({workers} replicas of {gpus}, each within one node), and the"
            f" nodes of the cluster have {', '.join(map(str, by_node))}.",
            "Lower data_parallel or tensor_parallel, or wait for the other nodes: ray status",
        )
    return gpus
