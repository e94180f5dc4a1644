"""The judge as a reward: another model scores each answer from 1 to 5 while training runs.

    judge = Judge(recipe, origin)         # an OpenAI-compatible server: vllm serve MODEL, on this machine or nearby
    judge.check()                         # before training: raises unless the server has that model
    judge.score(notes, texts)             # [4, None, …]; never raises

The judge sees the note, the trace, and what is known about the code that the answer *predicts*, never about the true
one (DeepICD-R1, LLM as a judge); the rubric is that of `deepicd judge`. Requests run concurrently, an answer that has a
score is not sent again, and an answer that is not well-formed is not sent at all.

Training continues without its judge: a timeout, a broken connection or a reply without a score give None. `missed`
counts them by reason, and a warning follows the first one and each doubling of their number. After `FAILURES` failures
in a row no request is sent for `PAUSE` seconds, so that a dead judge costs one timeout and not one per answer.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from anyio.from_thread import start_blocking_portal
from pydantic import Field

from deepicd import disclosure, storage
from deepicd.answer_form import Answer, parse_answer
from deepicd.config import Number, PositiveCount
from deepicd.engines import judge_prompt, tokens
from deepicd.engines.openai_client import OpenAIClient
from deepicd.engines.openai_server import build_response_format
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.replies import RefusedError
from deepicd.errors import DeepicdError
from deepicd.http import TransientError
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.knowledge.rubric import JudgedTrace
from deepicd.prompts.template import PromptTemplate, choose_template
from deepicd.storage import Origin

FAILURES = 8
PAUSE = 60.0
ATTEMPTS = 2  # of one request, within its timeout
IN_FLIGHT = 64
CACHE_SIZE = 65_536  # scores; 64 bytes each, a day of GRPO

logger = logging.getLogger(__name__)


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


def open_judge(fields: Mapping[str, object], origin: Origin = "mimic") -> "Judge":
    """Return a judge from plain values, as in a recipe. Raises DeepicdError.

    Notes count as credentialed unless `origin`, the argument or the field, says that they are synthetic.
    """
    values = dict(fields)
    stated_origin = values.pop("origin", origin)
    recipe = JudgeRecipe.parse(values, "the judge")
    return Judge(recipe, "synthetic" if stated_origin == "synthetic" else "mimic")


class Judge:
    """Sends requests from an event loop of its own; `score` may be called from several threads at once."""

    def __init__(self, recipe: JudgeRecipe, origin: Origin) -> None:
        if recipe.engine != "openai_server" or len(recipe.base_urls) != 1:
            raise DeepicdError(
                "A judge for training must be one server.", "Give its address: base_url: http://127.0.0.1:8001/v1"
            )
        disclosure.check_server(recipe, origin=origin, sentence=recipe.responsible or None)
        self.recipe = recipe
        self.missed: Counter[str] = Counter()
        """Reason → number of answers that the judge gave no score."""
        recipe.template  # noqa: B018 - fails now rather than at the first answer
        self._knowledge = Knowledge(
            Path(recipe.guidelines) if recipe.guidelines else None,
            Path(recipe.descriptions) if recipe.descriptions else None,
        ).read()
        self._given = Counter[int]()  # score → answers
        self._scores: dict[str, Future[int | None]] = {}
        self._tokens = tokens.find_counter(recipe)
        self._lock = threading.Lock()
        self._failures_in_a_row, self._paused_until, self._missed_when_logged = 0, 0.0, 0
        self._guidelines = lru_cache(maxsize=None)(self._read_guidelines)
        in_flight = recipe.in_flight or IN_FLIGHT
        self._semaphore = asyncio.Semaphore(in_flight)
        self._client = OpenAIClient(recipe.base_url, recipe.timeout)
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal(name="judge"))

    def check(self) -> None:
        """Raise DeepicdError unless the server is up and has the model, and guidelines can be read."""
        self._guidelines(Code("I10"))
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

    def __call__(self, notes: Sequence[str | None], texts: Sequence[str]) -> list[int | None]:
        return self.score(notes, texts)

    def score(self, notes: Sequence[str | None], texts: Sequence[str]) -> list[int | None]:
        """Return a score per answer; None if the answer is not well-formed or the judge gave no score."""
        futures = [self._request(note or "", text) for note, text in zip(notes, texts, strict=True)]
        return [None if future is None else future.result() for future in futures]

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

    def _request(self, note: str, text: str) -> "Future[int | None] | None":
        """Return the cached or started request for an answer; None if the answer is not well-formed."""
        answer = parse_answer(text.encode(errors="replace").decode())  # no lone surrogates: no server accepts them
        if not isinstance(answer, Answer):
            return None
        key = storage.digest_json([note, answer.trace, answer.code.value])
        with self._lock:
            future = self._scores.get(key)
            if future is None or (future.done() and future.result() is None):  # a missed answer is sent again
                future = self._scores[key] = self._portal.start_task_soon(self._score_one, note, answer)
                if len(self._scores) > CACHE_SIZE:
                    del self._scores[next(iter(self._scores))]
        return future

    async def _score_one(self, note: str, answer: Answer) -> int | None:
        async with self._semaphore:
            try:
                score = await self._ask(note, answer)
            except _NoScoreError as error:
                self._count_missed(error)
                return None
            self._failures_in_a_row = 0
            self._given[score] += 1
            return score

    async def _ask(self, note: str, answer: Answer) -> int:
        """Return the score that the judge gives. Raises _NoScoreError if it gives none."""
        if time.monotonic() < self._paused_until:
            raise _NoScoreError("not asked: it failed too often just before")
        try:
            async with asyncio.timeout(self.recipe.timeout):
                body = self._build_body(note, answer)
                reply = await self._client.ask_patiently(body, ATTEMPTS)
        except TimeoutError as error:
            raise _NoScoreError(f"no answer within {self.recipe.timeout:g} seconds", is_failure=True) from error
        except (TransientError, DeepicdError) as error:
            raise _NoScoreError(str(error).partition("\n")[0].rstrip("."), is_failure=True) from error
        except RefusedError as error:
            raise _NoScoreError(str(error), is_failure=not error.is_certain) from error
        if (score := rubric.parse_score(reply.content)) is None:
            raise _NoScoreError("no score in the answer")
        return score.value

    def _count_missed(self, error: "_NoScoreError") -> None:
        self.missed[error.reason] += 1
        if error.is_failure:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= FAILURES:
                self._paused_until = time.monotonic() + PAUSE
        total = self.missed.total()
        if total >= 2 * self._missed_when_logged:
            self._missed_when_logged = total
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in self.missed.most_common(3))
            logger.warning("The judge gave no score for %s answers so far (%s).", f"{total:,}", reasons)

    def _build_body(self, note: str, answer: Answer) -> dict[str, object]:
        code, recipe = answer.code, self.recipe
        messages, _ = judge_prompt.fit_messages(
            JudgedTrace(note, answer.trace, code, code.title or "(not a code of this release)"),
            self._knowledge,
            recipe,
            self._tokens,
            self._guidelines(code),
            template=recipe.template,
        )
        if messages is None:
            raise _NoScoreError("the prompt is too long for the judge's context")
        return recipe.shape_body(
            {
                "model": recipe.model,
                "seed": recipe.seed,
                "temperature": recipe.temperature,
                "top_p": recipe.top_p,
                "max_tokens": recipe.max_tokens,
                "response_format": build_response_format(rubric.SCHEMA),
                "messages": messages,
            }
        )

    def _read_guidelines(self, code: Code) -> str | None:
        if not self.recipe.guidelines:
            return None
        return self._knowledge.build_excerpt(code, max_tokens=self.recipe.guideline_tokens)


class _NoScoreError(Exception):
    """The judge gave an answer no score; `is_failure` if the judge itself failed."""

    def __init__(self, reason: str, *, is_failure: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_failure = reason, is_failure
