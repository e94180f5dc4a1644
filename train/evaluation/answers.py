"""A model's answers to the notes of a split, with the decoding of training; each is generated once and kept.

The chat is the dataset's own (`prompt` of the config `grpo`), as in TRL's and verl's rollouts, and the sampling is that
of the authors' script (deepicd.paper). Answers go into a ledger as they arrive, so that a stopped run resumes where it
stopped. The key of an answer covers everything that decides it, and nothing about where it runs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepicd import paper, storage
from deepicd.config import PositiveCount, read_values
from deepicd.engines import ledger, metrics, registry
from deepicd.engines.base import Request
from deepicd.engines.ledger import Entry, Ledger
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.runner import complete_tasks, describe_template_dates, explain_no_answers
from deepicd.engines.tokens import find_counter
from deepicd.errors import DeepicdError
from deepicd.stage_records import Generation
from deepicd.text_store import TextStore
from train.data import EvaluationSplit, Question
from train.evaluation.predictions import Prediction

DEFAULT_ENGINE = "vllm"
CHECKED_IN = Path(__file__).parent / "recipes"


class AnswerRecipe(ModelRecipe):
    """Which model answers, and how it draws tokens."""

    engine: str = DEFAULT_ENGINE
    context: PositiveCount = paper.MAX_PROMPT_TOKENS + paper.MAX_NEW_TOKENS
    """Tokens of prompt and answer, as in training."""


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model that answers the notes."""

    recipe: AnswerRecipe
    opening: str = ""
    """The start of the assistant's turn in the prompt ('<think>\\n'), if training had it there."""
    responsibility: str | None = None
    """The sentence of the user who sends credentialed notes to a server elsewhere."""

    @property
    def options(self) -> dict[str, object]:
        return self.recipe.options | {"opening": self.opening}

    def build_request(self, question: Question) -> Request:
        prompt_sha256 = ledger.digest_prompt(question.messages, self.opening)
        key = ledger.build_key(self.recipe, question.note_id, prompt_sha256)
        return Request(key, question.messages, self.recipe.seed, self.opening)

    def find_key(self, answers: Ledger, question: Question) -> str:
        """Return the key under which the ledger has an answer, or would have it; versions up to 0.1.0 had another."""
        recipe = self.recipe
        model = [recipe.model, recipe.revision, recipe.dtype, recipe.context]
        deciding = [question.note_id, question.messages, self.opening, model, recipe.sampling, recipe.seed]
        deciding += recipe.body_changes
        return answers.resolve_key(self.build_request(question).key, storage.digest_json(deciding)[:32])


def read_answer_recipe(path: Path) -> dict[str, object]:
    """Return the values of a YAML file, or of a recipe of this package by its name. Raises DeepicdError."""
    values, _ = read_values(path, CHECKED_IN)
    return {name: value for name, value in values.items() if name != "name"}


def parse_answer_recipe(fields: Mapping[str, object]) -> AnswerRecipe:
    """Return the recipe in plain values, as the command line has them. Raises DeepicdError."""
    recipe = AnswerRecipe.parse(fields, "the options given")
    if not recipe.uses_model:
        raise DeepicdError(
            f"The engine {recipe.engine!r} is not a model.", f"Evaluate one: --engine {', '.join(registry.OWN)}."
        )
    registry.check_engine(recipe)
    return recipe


@dataclass(frozen=True, slots=True)
class _AnswerTask:
    """A note that waits for an answer; any answer is accepted."""

    model: EvaluatedModel
    question: Question
    first_attempt: int = 0

    def build_request(self, attempt: int) -> Request:
        return self.model.build_request(self.question)

    def check(self, attempt: int, entry: Entry) -> Sequence[str]:
        return []


def generate_answers(
    model: EvaluatedModel, split: EvaluationSplit, out: Path, limit: int | None, texts: TextStore
) -> tuple[list[Prediction], Generation]:
    """Return the answers to the split's (first `limit`) notes, and figures of their generation."""
    questions = split.questions[:limit]
    predictions, finish_reasons, engines = [], Counter[str](), Counter[str]()
    tokens, dates = 0, Counter[str]()
    with ledger.open_ledger(out, split.origin) as answers:
        missing = [question for question in questions if model.find_key(answers, question) not in answers]
        unanswered = _generate(model, missing, answers, out)
        for question in questions:
            if (entry := answers.read_completion(model.find_key(answers, question))) is not None:
                predictions.append(Prediction(question.note_id, None, texts.add(entry["text"])))
                finish_reasons[entry["finish_reason"]] += 1
                engines[f"{entry['engine']} {entry['engine_version']}".strip()] += 1
                tokens += entry["completion_tokens"] or 0
                dates.update([day] if (day := entry.get("template_date")) else [])
    if unanswered and not predictions:
        raise explain_no_answers(Counter(unanswered.values()))
    return predictions, Generation(
        unanswered=dict(Counter(unanswered.values())),
        finish_reasons=dict(finish_reasons),
        engines=dict(engines),
        completion_tokens=tokens,
        template=find_counter(model.recipe).describe_template(model.recipe) + describe_template_dates(dates),
    )


def _generate(model: EvaluatedModel, questions: Sequence[Question], answers: Ledger, out: Path) -> dict[str, str]:
    """Have the engine answer; return the reason by request for those that it could not answer."""
    if not questions:
        return {}
    digest = storage.digest_json(model.options)[:12]
    tracking = metrics.track_metrics("answers", len(questions), out, digest)
    return complete_tasks(model.recipe, answers, (_AnswerTask(model, each) for each in questions), 1, tracking)
