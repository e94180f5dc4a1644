"""Ray: `data_parallel` vLLM replicas on the machines of a Ray cluster, or on this one if there is none.

    RAY_ADDRESS=head:6379 deepicd judge … --engine ray --set data_parallel=8

A replica is an actor with the engine `vllm`, which tokenizes its own prompts. This process holds the texts of as many
requests as the replicas have under way. A replica that ends is started again, and its requests are repeated, unless it
has ended so several times without a completion. `deepicd distill` has workers instead (docs/scaling.md).
"""

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from deepicd.engines.base import Engine, Request, Result
from deepicd.engines.model import find_model
from deepicd.engines.ray_cluster import build_replica_recipe, count_gpus, open_cluster
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.registry import open_engine as open_engine_of_recipe
from deepicd.errors import DeepicdError

REQUIRES = ("ray", "vllm")
ASKS_SERVER = False

FRUITLESS = 2  # times in a row that a replica may end without a completion


def open_engine(recipe: ModelRecipe) -> "RayEngine":
    return RayEngine(recipe)


class Replica:
    """What an actor does: an engine, fed and emptied by calls. Errors are returned, since Ray wraps what is raised."""

    def __init__(self, recipe: ModelRecipe) -> None:
        self._recipe = recipe
        self._engine: Engine | None = None

    def start(self) -> tuple[str, int] | DeepicdError:
        """Load the model. Return the engine's version, and how many requests to keep in flight."""
        try:
            self._engine = open_engine_of_recipe(self._recipe)
        except DeepicdError as error:
            return error
        return self._engine.version, self._engine.capacity

    def exchange(self, requests: Sequence[Request]) -> list[Result] | DeepicdError:
        """Accept requests, and return what has ended since the last call, at least one."""
        try:
            self._engine = self._engine or open_engine_of_recipe(self._recipe)
            self._engine.submit(requests)
            return self._engine.collect()
        except DeepicdError as error:
            return error


@dataclass
class _Handle:
    """A replica as this process sees it."""

    actor: Any
    in_flight: dict[str, Request] = field(default_factory=dict)  # by key
    fruitless: int = 0  # how often in a row it has ended without a completion


class RayEngine:
    """An Engine. Raises DeepicdError where the cluster lacks what the recipe asks for."""

    name = "ray"

    def __init__(self, recipe: ModelRecipe) -> None:
        find_model(recipe)
        self._replicas: list[_Handle] = []
        self._calls: dict[Any, _Handle] = {}  # under way
        self._waiting: deque[Request] = deque()
        replicas = recipe.data_parallel
        self._recipe = build_replica_recipe(recipe)
        with ExitStack() as stack:
            options = stack.enter_context(open_cluster(replicas, count_gpus(self._recipe)))
            import ray

            self._class = ray.remote(Replica).options(**options, max_restarts=0)
            actors = [self._class.remote(self._recipe) for _ in range(replicas)]
            started = [_read(call) for call in [actor.start.remote() for actor in actors]]
            for result in started:
                if isinstance(result, DeepicdError):
                    raise result
            self._replicas = [_Handle(actor) for actor in actors]
            self._stack = stack.pop_all()
        version, self._room = started[0]
        self.version = f"{ray.__version__}, vllm {version}"
        self.capacity: int = self._room * replicas

    def submit(self, requests: Sequence[Request]) -> None:
        self._waiting += requests

    def collect(self) -> list[Result]:
        import ray

        while self._waiting or any(replica.in_flight for replica in self._replicas):
            self._feed()
            [call], _ = ray.wait(list(self._calls), num_returns=1)
            replica = self._calls.pop(call)
            results = self._take(replica, call)
            if results:
                return results
        return []

    def close(self) -> None:
        self._calls, self._replicas = {}, []
        self._stack.close()

    def _feed(self) -> None:
        """Call each replica that is not being called, with its share of what waits."""
        busy = {id(replica) for replica in self._calls.values()}
        share = -(-len(self._waiting) // len(self._replicas))
        for replica in self._replicas:
            if id(replica) in busy:
                continue
            room = min(share, self._room - len(replica.in_flight), len(self._waiting))
            requests = [self._waiting.popleft() for _ in range(room)]
            replica.in_flight |= {request.key: request for request in requests}
            if replica.in_flight:
                self._calls[replica.actor.exchange.remote(requests)] = replica

    def _take(self, replica: _Handle, call: Any) -> list[Result]:
        """Return what a call brought. Where its replica has ended, start another one, and queue its requests again."""
        results = _read(call)
        if not isinstance(results, DeepicdError):
            for result in results:
                del replica.in_flight[result.key]
            replica.fruitless = 0
            return list(results)
        replica.fruitless += 1
        if replica.fruitless > FRUITLESS:
            raise results
        import ray

        ray.kill(replica.actor)
        self._waiting.extendleft(replica.in_flight.values())
        replica.in_flight = {}
        replica.actor = self._class.remote(self._recipe)
        return []


def _read(call: Any) -> Any:
    """Return the result of a call, which may be a DeepicdError; one also where the replica has ended."""
    import ray

    try:
        return ray.get(call)
    except ray.exceptions.RayTaskError:
        raise  # a bug, with its traceback
    except ray.exceptions.RayError as error:
        return DeepicdError(
            f"A process that runs the model has ended ({type(error).__name__}).",
            "Look for the reason in the logs of Ray, then rerun the command: it continues from what is finished.",
        )
