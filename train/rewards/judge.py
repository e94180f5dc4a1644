"""The judge as a reward: another model's score of 1 to 5 for each answer, while training runs.

    judge = Judge(recipe, origin)         # a server of OpenAI's API: vllm serve MODEL, on this machine or nearby
    judge.check()                         # before training: raises where nobody serves that model
    judge.scores(notes, texts)            # [4, None, …]; never raises

The judge sees note, trace, and what is known of the code that the answer *predicts*, never the true one (DeepICD-R1,
LLM as a judge); the rubric is that of `deepicd judge`. Requests are under way side by side, an answer that was scored
before is not asked for again, and one without the form is not asked for at all.

Training goes on without its judge: no answer within `timeout`, a broken connection, rubbish in place of a score give
None, counted in `missed` with the reason and said on stderr, at first and then each time the number has doubled. After
`BROKEN` failures in a row nothing is asked for `REST` seconds, so that a dead judge costs one timeout and not one each.
"""

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from deepicd import disclosure, storage
from deepicd.answer_form import Answer, parse_answer
from deepicd.engines import recipe as recipes
from deepicd.engines.event_loop import EventLoop
from deepicd.engines.openai_client import OpenAIClient, PermanentError, TransientError
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.storage import Origin

BROKEN = 8
REST = 60.0
TRIES = 2  # of one request, within its timeout
IN_FLIGHT = 64
REMEMBERED = 65_536  # scores; 64 bytes each, a day of GRPO


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRecipe(ModelRecipe):
    """Which server judges, and what it is shown of a code. Greedy, so that one answer has one score."""

    engine: str = "endpoint"
    temperature: float = 0.0
    max_tokens: int = 256
    timeout: float = 60.0
    guidelines: str = ""
    """Folder of `deepicd guidelines`; '' to show none."""
    guideline_tokens: int = 1024
    descriptions: str = ""
    """descriptions.parquet of `deepicd scrape`; '' to show none."""
    responsible: str = ""
    """The sentence for credentialed notes and a server elsewhere (deepicd.disclosure)."""


def open_judge(fields: Mapping[str, Any], origin: Origin = "mimic") -> "Judge":
    """A judge from plain values, as a recipe has them. Raises DeepicdError. Notes count as credentialed unless said."""
    known = dict(fields)
    said = known.pop("origin", origin)
    recipe = recipes.parse_recipe(JudgeRecipe, known, "the judge", recipes.BOUNDS)
    return Judge(recipe, "synthetic" if said == "synthetic" else "mimic")


class Judge:
    """Asks from an event loop of its own; `scores` may be called from any thread, from several at once."""

    def __init__(self, recipe: JudgeRecipe, origin: Origin) -> None:
        if recipe.engine != "endpoint" or not recipe.base_url:
            raise DeepicdError(
                "A judge for training is a server of its own.", "Give its address: base_url: http://127.0.0.1:8001/v1"
            )
        disclosure.check_server(recipe, origin, recipe.responsible or None)
        self.recipe = recipe
        self.missed: Counter[str] = Counter()
        """Reason → answers that got no score because the judge gave none."""
        self._knowledge = Knowledge(
            Path(recipe.guidelines) if recipe.guidelines else None,
            Path(recipe.descriptions) if recipe.descriptions else None,
        ).read()
        self._known: dict[str, Future[int | None]] = {}
        self._lock = threading.Lock()
        self._failed_in_a_row, self._resting_until, self._told = 0, 0.0, 0
        self._guidelines = lru_cache(maxsize=None)(self._guidelines_anew)
        room = recipe.in_flight or IN_FLIGHT
        self._room, self._server, self._loop = (
            asyncio.Semaphore(room),
            OpenAIClient(recipe.base_url, room, recipe.timeout),
            EventLoop("judge"),
        )

    def check(self) -> None:
        """Whether the server is there and has the model, and guidelines can be read. Raises DeepicdError."""
        self._guidelines(Code("I10"))
        try:
            models = self._loop.now(self._server.insist("GET", "models", tries=TRIES)).get("data") or []
        except TransientError as error:
            raise DeepicdError(
                f"The judge at {self._server.url}: {error}.",
                f"Start it, for instance: vllm serve {self.recipe.model} --port {self._server.port}",
            ) from error
        serving = [str(model.get("id")) for model in models if isinstance(model, dict)]
        if self.recipe.model not in serving:
            raise DeepicdError(
                f"The judge's server at {self._server.url} has no model {self.recipe.model!r}.",
                f"It serves: {', '.join(serving) or 'nothing'}.",
            )

    def __call__(self, notes: Sequence[str | None], texts: Sequence[str]) -> list[int | None]:
        return self.scores(notes, texts)

    def scores(self, notes: Sequence[str | None], texts: Sequence[str]) -> list[int | None]:
        """A score for each answer, waited for; None for one without the form, and where the judge gives none."""
        asked = [self._asked(note or "", text) for note, text in zip(notes, texts, strict=True)]
        return [None if future is None else future.result() for future in asked]

    def close(self) -> None:
        self._loop.cancel()
        self._loop.now(self._server.client.aclose())
        self._loop.close()

    def _asked(self, note: str, text: str) -> "Future[int | None] | None":
        answer = parse_answer(text.encode(errors="replace").decode())  # no half characters: no server takes them
        if not isinstance(answer, Answer):
            return None
        key = storage.digest_json([note, answer.trace, answer.code.value])
        with self._lock:
            found = self._known.get(key)
            if found is None or (found.done() and found.result() is None):  # what was missed is asked for anew
                found = self._known[key] = self._loop.start(self._scored(note, answer))
                if len(self._known) > REMEMBERED:
                    del self._known[next(iter(self._known))]
        return found

    async def _scored(self, note: str, answer: Answer) -> int | None:
        async with self._room:
            try:
                score = await self._answered(note, answer)
            except _Missed as missed:
                self._count(missed)
                return None
            self._failed_in_a_row = 0
            return score

    async def _answered(self, note: str, answer: Answer) -> int:
        """The score that the judge gives. Raises _Missed where it gives none."""
        if time.monotonic() < self._resting_until:
            raise _Missed("not asked: it failed too often just before")
        try:
            async with asyncio.timeout(self.recipe.timeout):
                reply = await self._server.insist("POST", "chat/completions", self._body(note, answer), TRIES)
            given = rubric.parse_score(reply["choices"][0]["message"]["content"])
        except TimeoutError as error:
            raise _Missed(f"no answer within {self.recipe.timeout:g} seconds", failed=True) from error
        except (TransientError, DeepicdError) as error:
            raise _Missed(str(error).partition("\n")[0].rstrip("."), failed=True) from error
        except PermanentError as error:
            raise _Missed(str(error)) from error
        except (KeyError, IndexError, TypeError, AttributeError, RecursionError):
            given = None
        if given is None:
            raise _Missed("no score in the answer")
        return given.value

    def _count(self, missed: "_Missed") -> None:
        self.missed[missed.reason] += 1
        if missed.failed:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= BROKEN:
                self._resting_until = time.monotonic() + REST
        total = self.missed.total()
        if total >= 2 * self._told:
            self._told = total
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in self.missed.most_common(3))
            print(f"The judge gave no score for {total:,} answers so far ({reasons}).", file=sys.stderr, flush=True)

    def _body(self, note: str, answer: Answer) -> dict[str, Any]:
        code, recipe = answer.code, self.recipe
        messages = rubric.build_messages(
            note,
            answer.trace,
            code,
            code.title or "(not a code of this release)",
            description=self._knowledge.description(code),
            guidelines=self._guidelines(code),
        )
        named = {"name": "answer", "schema": rubric.SCHEMA, "strict": True}
        return {
            "model": recipe.model,
            "seed": recipe.seed,
            "temperature": recipe.temperature,
            "top_p": recipe.top_p,
            "max_tokens": recipe.max_tokens,
            "response_format": {"type": "json_schema", "json_schema": named},
            "messages": messages,
        }

    def _guidelines_anew(self, code: Code) -> str | None:
        if not self.recipe.guidelines:
            return None
        return self._knowledge.guideline_excerpt(code, max_tokens=self.recipe.guideline_tokens)


class _Missed(Exception):
    """An answer that the judge gave no score; whether that speaks against the judge."""

    def __init__(self, reason: str, *, failed: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.failed = reason, failed
