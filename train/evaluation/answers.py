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
from deepicd.engines import ledger, metrics, registry
from deepicd.engines import recipe as recipes
from deepicd.engines.base import Request
from deepicd.engines.ledger import Entry, Ledger
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from deepicd.stage_records import Generation
from train.data import EvaluationSplit, Question
from train.evaluation.predictions import Prediction


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

    def build_request(self, question: Question) -> Request:
        prompt_sha256 = ledger.digest_prompt(question.messages, self.opening)
        key = ledger.build_key(self.recipe, question.note_id, prompt_sha256)
        return Request(key, question.messages, self.recipe.seed, self.opening)

    def find_key(self, book: Ledger, question: Question) -> str:
        """Return the key under which the ledger has an answer, or would have it; versions up to 0.1.0 had another."""
        recipe = self.recipe
        model = [recipe.model, recipe.revision, recipe.dtype, recipe.context]
        deciding = [question.note_id, question.messages, self.opening, model, recipe.sampling, recipe.seed]
        return book.resolve_key(self.build_request(question).key, storage.digest_json(deciding)[:32])


def parse_answer_recipe(fields: dict[str, Any]) -> AnswerRecipe:
    """From plain values, as the command line has them. Raises DeepicdError."""
    made = recipes.parse_recipe(AnswerRecipe, fields, "the options given", recipes.BOUNDS)
    if not made.by_model:
        raise DeepicdError(
            f"The engine {made.engine!r} is no model.", f"Evaluate one: --engine {', '.join(registry.OWN)}."
        )
    registry.check_engine(made)
    return made


@dataclass(frozen=True, slots=True)
class _Task:
    """A note that waits for an answer; any answer will do."""

    request: Request
    first_attempt: int = 0

    def build_request(self, attempt: int) -> Request:
        return self.request

    def check(self, attempt: int, entry: Entry) -> Sequence[str]:
        return []


def generate_answers(
    asked: EvaluatedModel, found: EvaluationSplit, out: Path, limit: int | None
) -> tuple[list[Prediction], Generation]:
    """The answers to the split's (first `limit`) notes, and what it took to get them."""
    questions = found.questions[:limit]
    with ledger.open_ledger(out, found.origin) as book:
        waiting = [asked.build_request(one) for one in questions if asked.find_key(book, one) not in book]
        unanswered = _ask(asked, waiting, book, out)
        entries = {one.note_id: book.read_completion(asked.find_key(book, one)) for one in questions}
    kept = {note_id: entry for note_id, entry in entries.items() if entry is not None}
    answers = [Prediction(note_id, None, entry["text"]) for note_id, entry in kept.items()]
    return answers, Generation(
        unanswered=dict(Counter(unanswered.values())),
        finish_reasons=dict(Counter(entry["finish_reason"] for entry in kept.values())),
        engines=dict(Counter(f"{entry['engine']} {entry['engine_version']}".strip() for entry in kept.values())),
        completion_tokens=sum(entry["completion_tokens"] or 0 for entry in kept.values()),
    )


def _ask(asked: EvaluatedModel, waiting: Sequence[Request], book: Ledger, out: Path) -> dict[str, str]:
    """Have the engine answer; requests that it could not answer, with its reasons."""
    if not waiting:
        return {}
    digest = storage.digest_json(asked.options)[:12]
    with (
        closing(registry.open_engine(asked.recipe)) as engine,
        metrics.track_metrics("answers", len(waiting), out, digest) as shown,
    ):
        asker = Runner(engine, book, 1, shown)
        asker.run(map(_Task, waiting))
    return asker.unanswered
