"""Answers of a model to the notes of a split, with the decoding of training; each is asked for once and kept.

The chat is the dataset's own (`prompt` of the config `grpo`), as TRL's and verl's rollouts have it, and the sampling
that of the authors' script: temperature 0.9, at most 1,024 tokens. Answers go into a ledger as they come, so that a run
that was stopped goes on where it stopped. The key of an answer is all that decides it, and nothing of where it runs.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepicd import paper, storage
from deepicd.engines import base, ledger, metrics
from deepicd.engines import recipe as recipes
from deepicd.engines.base import Request
from deepicd.engines.ledger import Entry, Ledger
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from train.evaluation.predictions import Prediction
from train.evaluation.questions import EvaluationSplit, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecipe(ModelRecipe):
    """Which model answers, and how it draws tokens."""

    engine: str = "vllm"
    context: int = paper.MAX_PROMPT_TOKENS + paper.MAX_NEW_TOKENS
    """Tokens of prompt and answer, as in training."""


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model to ask."""

    recipe: AnswerRecipe
    opening: str = ""
    """What the assistant's turn is opened with ('<think>\\n'), where training did so."""
    taken: str | None = None
    """The sentence of whoever sends credentialed notes elsewhere."""

    @property
    def options(self) -> dict[str, Any]:
        return self.recipe.options | {"opening": self.opening}

    def key(self, question: Question) -> str:
        recipe = self.recipe
        model = [recipe.model, recipe.revision, recipe.dtype, recipe.context]
        asked = [question.note_id, question.messages, self.opening, model, recipe.sampling, recipe.seed]
        return storage.digest_json(asked)[:32]

    def request(self, question: Question) -> Request:
        return Request(self.key(question), question.messages, self.recipe.seed, self.opening)


def parse_answer_recipe(fields: dict[str, Any]) -> AnswerRecipe:
    """From plain values, as the command line has them. Raises DeepicdError."""
    made = recipes.parse_recipe(AnswerRecipe, fields, "the options given", recipes.BOUNDS)
    if made.engine == "rehearsal":
        raise DeepicdError(
            "The engine 'rehearsal' is no model.", "Evaluate one: --engine vllm, endpoint, transformers."
        )
    base.check_engine(made)
    return made


@dataclass(frozen=True, slots=True)
class _Task:
    """A note that waits for an answer; any answer will do."""

    wanted: Request
    first: int = 0

    def request(self, attempt: int) -> Request:
        return self.wanted

    def look(self, attempt: int, entry: Entry) -> Sequence[str]:
        return []


def generate_answers(
    asked: EvaluatedModel, found: EvaluationSplit, out: Path, limit: int | None
) -> tuple[list[Prediction], dict[str, Any]]:
    """The answers to the split's (first `limit`) notes, and what it took to get them."""
    requests = {one.note_id: asked.request(one) for one in found.questions[:limit]}
    with ledger.open_ledger(out, found.origin) as book:
        unanswered = _ask(asked, [one for one in requests.values() if one.key not in book], book, out)
        entries = {note_id: book.completion(one.key) for note_id, one in requests.items()}
    kept = {note_id: entry for note_id, entry in entries.items() if entry is not None}
    answers = [Prediction(note_id, None, entry["text"]) for note_id, entry in kept.items()]
    return answers, {
        "unanswered": dict(Counter(unanswered.values())),
        "finish_reasons": dict(Counter(entry["finish_reason"] for entry in kept.values())),
        "engines": dict(Counter(f"{entry['engine']} {entry['engine_version']}".strip() for entry in kept.values())),
        "completion_tokens": sum(entry["completion_tokens"] or 0 for entry in kept.values()),
    }


def _ask(asked: EvaluatedModel, waiting: Sequence[Request], book: Ledger, out: Path) -> dict[str, str]:
    """Have the engine answer; requests that it could not answer, with its reasons."""
    if not waiting:
        return {}
    digest = storage.digest_json(asked.options)[:12]
    with (
        closing(base.open_engine(asked.recipe)) as engine,
        metrics.track_metrics("answers", len(waiting), out, digest) as shown,
    ):
        asker = Runner(engine, book, 1, shown)
        asker.run(map(_Task, waiting))
    return asker.unanswered
