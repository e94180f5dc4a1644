"""A server that scores answers while training runs, and that training continues without.

`JudgeServer` is what the judge (train.rewards.judge) and the points of a stay (train.rewards.points) share. Requests
run concurrently, and an answer that has a score is not sent again. A timeout, a broken connection or a reply without a
score give None: `missed` counts them by reason, and a warning follows the first one and each doubling of their number.
After `FAILURES` failures in a row no request is sent for `PAUSE` seconds, so that a dead server costs one timeout and
not one per answer.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Annotated, Generic, TypeVar

from anyio.from_thread import start_blocking_portal
from pydantic import Field

from deepicd import disclosure, storage
from deepicd.config import Number, PositiveCount
from deepicd.engines.base import Message
from deepicd.engines.openai_client import OpenAIClient
from deepicd.engines.openai_server import build_response_format
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.replies import RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import TransientError
from deepicd.knowledge import rubric
from deepicd.prompts.template import PromptTemplate, choose_template
from deepicd.storage import Origin

FAILURES = 8
PAUSE = 60.0
ATTEMPTS = 2  # of one request, within its timeout
IN_FLIGHT = 64
CACHE_SIZE = 65_536  # scores; 64 bytes each, a day of GRPO

logger = logging.getLogger(__name__)

Score = TypeVar("Score", int, float)


class JudgeRecipe(ModelRecipe):
    """Which server judges, and what it is shown about a code. Greedy decoding, so that one answer has one score."""

    engine: str = "openai_server"
    temperature: Annotated[Number, Field(ge=0, le=10)] = 0.0
    max_tokens: PositiveCount = 256
    timeout: Annotated[Number, Field(ge=0.1, le=86_400)] = 60.0
    guidelines: str = ""
    """Folder of `deepicd guidelines`; '' to show none."""
    guideline_tokens: PositiveCount = 1024
    descriptions: str = ""
    """descriptions.parquet of `deepicd scrape`; '' to show none."""
    responsible: str = ""
    """The sentence that allows sending credentialed notes to a server elsewhere (deepicd.disclosure)."""
    prompt: str = rubric.VERSION
    messages: list[dict[str, str]] = Field(default=[])
    """A rubric in words of one's own: templates by role. Empty for ours, which `prompt` names."""

    LATER = ModelRecipe.LATER | {"prompt", "messages"}

    @property
    def template(self) -> PromptTemplate:
        return choose_template(rubric.PROMPT, self.prompt, self.messages)


def parse_judge(fields: Mapping[str, object], origin: Origin) -> JudgeRecipe:
    """Return a recipe from plain values, as in a recipe of training. Raises DeepicdError for one that may not be asked.

    Notes count as credentialed unless `origin`, the argument or the field, says that they are synthetic.
    """
    values = dict(fields)
    allowed: Origin = "synthetic" if values.pop("origin", origin) == "synthetic" else "mimic"
    recipe = JudgeRecipe.parse(values, "the judge")
    if recipe.engine != "openai_server" or len(recipe.base_urls) != 1:
        raise DeepicdError(
            "A judge for training must be one server.", "Give its address: base_url: http://127.0.0.1:8001/v1"
        )
    disclosure.check_server(recipe, origin=allowed, sentence=recipe.responsible or None)
    return recipe


class JudgeServer(Generic[Score]):
    """Sends requests from an event loop of its own; may be used from several threads at once."""

    def __init__(self, recipe: JudgeRecipe, name: str) -> None:
        """Connect to nothing yet. `name`: what logs call it."""
        self.recipe = recipe
        self.missed: Counter[str] = Counter()
        """Reason → number of answers that got no score."""
        self._name = name
        self._given: Counter[Score] = Counter()  # score → answers
        self._scores: dict[str, Future[Score | None]] = {}
        self._lock = threading.Lock()
        self._failures_in_a_row, self._paused_until, self._missed_when_logged = 0, 0.0, 0
        self._semaphore = asyncio.Semaphore(recipe.in_flight or IN_FLIGHT)
        self._client = OpenAIClient(recipe.base_url, recipe.timeout)
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal(name="judge"))

    def check(self) -> None:
        """Raise DeepicdError unless the server is up and has the model."""
        try:
            models = self._portal.call(self._client.list_models)
        except TransientError as error:
            raise DeepicdError(
                f"The judge at {self._client.url}: {error}.",
                f"Start it, for instance: vllm serve {self.recipe.model} --port {self._client.port}",
            ) from error
        names = [str(model.get("id")) for model in models]
        if self.recipe.model not in names:
            raise DeepicdError(
                f"The judge's server at {self._client.url} has no model {self.recipe.model!r}.",
                f"It serves: {', '.join(names) or 'nothing'}.",
            )

    @property
    def mean(self) -> float | None:
        """The mean of the scores that were given so far; None before the first."""
        total = self._given.total()
        return sum(score * answers for score, answers in self._given.items()) / total if total else None

    def close(self) -> None:
        """Cancel what is in flight and close the connections."""
        for future in self._scores.values():
            future.cancel()
        self._portal.call(self._client.close)
        self._stack.close()

    def _request(
        self, key: object, build_body: Callable[[], dict[str, object]], read: Callable[[str], Score | None]
    ) -> "Future[Score | None]":
        """Return the cached or started request for a score. `build_body` may raise NoScoreError."""
        digest = storage.digest_json(key)
        with self._lock:
            future = self._scores.get(digest)
            if future is None or (future.done() and future.result() is None):  # a missed answer is sent again
                future = self._scores[digest] = self._portal.start_task_soon(self._score_one, build_body, read)
                if len(self._scores) > CACHE_SIZE:
                    del self._scores[next(iter(self._scores))]
        return future

    async def _score_one(
        self, build_body: Callable[[], dict[str, object]], read: Callable[[str], Score | None]
    ) -> Score | None:
        async with self._semaphore:
            try:
                content = await self._ask(build_body)
                if (score := read(content)) is None:
                    raise NoScoreError("no score in the answer")
            except NoScoreError as error:
                self._count_missed(error)
                return None
            self._failures_in_a_row = 0
            self._given[score] += 1
            return score

    async def _ask(self, build_body: Callable[[], dict[str, object]]) -> str:
        """Return the server's answer. Raises NoScoreError if it gives none."""
        if time.monotonic() < self._paused_until:
            raise NoScoreError("not asked: it failed too often just before")
        try:
            async with asyncio.timeout(self.recipe.timeout):
                reply = await self._client.ask_patiently(build_body(), ATTEMPTS)
        except TimeoutError as error:
            raise NoScoreError(f"no answer within {self.recipe.timeout:g} seconds", is_failure=True) from error
        except (TransientError, DeepicdError) as error:
            raise NoScoreError(str(error).partition("\n")[0].rstrip("."), is_failure=True) from error
        except RefusedError as error:
            raise NoScoreError(str(error), is_failure=not error.is_certain) from error
        return reply.content

    def _shape_body(self, messages: Sequence[Message], schema: Mapping[str, object]) -> dict[str, object]:
        recipe = self.recipe
        return recipe.shape_body(
            {
                "model": recipe.model,
                "seed": recipe.seed,
                "temperature": recipe.temperature,
                "top_p": recipe.top_p,
                "max_tokens": recipe.max_tokens,
                "response_format": build_response_format(schema),
                "messages": messages,
            }
        )

    def _count_missed(self, error: "NoScoreError") -> None:
        self.missed[error.reason] += 1
        if error.is_failure:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= FAILURES:
                self._paused_until = time.monotonic() + PAUSE
        total = self.missed.total()
        if total >= 2 * self._missed_when_logged:
            self._missed_when_logged = total
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in self.missed.most_common(3))
            logger.warning("The %s gave no score for %s answers so far (%s).", self._name, f"{total:,}", reasons)


class NoScoreError(Exception):
    """An answer got no score; `is_failure` if the server itself failed."""

    def __init__(self, reason: str, *, is_failure: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_failure = reason, is_failure
