"""The judge as a reward: another model scores each answer from 1 to 5 while training runs.

    judge = open_judge(fields, origin)    # an OpenAI-compatible server: vllm serve MODEL, on this machine or nearby
    judge.check()                         # before training: raises unless the server has that model
    judge.score(notes, texts)             # [4, None, …]; never raises

The judge sees the note, the trace, and what is known about the code that the answer *predicts*, never about the true
one (DeepICD-R1, LLM as a judge); the rubric is that of `deepicd judge`. An answer that is not well-formed is not sent.
Training continues without its judge (train.rewards.judge_server).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from pathlib import Path

from deepicd.answer_form import Answer, parse_answer
from deepicd.engines import tokens
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.knowledge.rubric import JudgedTrace
from deepicd.storage import Origin
from train.rewards.judge_server import JudgeRecipe, JudgeServer, NoScoreError, parse_judge


def open_judge(fields: Mapping[str, object], origin: Origin = "mimic") -> "Judge":
    """Return a judge from plain values, as in a recipe. Raises DeepicdError."""
    return Judge(parse_judge(fields, origin))


class Judge(JudgeServer[int]):
    """Scores answers from 1 to 5."""

    def __init__(self, recipe: JudgeRecipe) -> None:
        recipe.template  # noqa: B018 - fails now rather than at the first answer
        self._knowledge = Knowledge(
            Path(recipe.guidelines) if recipe.guidelines else None,
            Path(recipe.descriptions) if recipe.descriptions else None,
        ).read()
        self._tokens = tokens.find_counter(recipe)
        self._guidelines = lru_cache(maxsize=None)(self._read_guidelines)
        super().__init__(recipe, "judge")

    def check(self) -> None:
        """Raise DeepicdError unless the server is up and has the model, and guidelines can be read."""
        self._guidelines(Code("I10"))
        super().check()

    def __call__(self, notes: Sequence[str | None], texts: Sequence[str]) -> list[int | None]:
        return self.score(notes, texts)

    def score(self, notes: Sequence[str | None], texts: Sequence[str]) -> list[int | None]:
        """Return a score per answer; None if the answer is not well-formed or the judge gave no score."""
        futures = [self._request_score(note or "", text) for note, text in zip(notes, texts, strict=True)]
        return [None if future is None else future.result() for future in futures]

    def _request_score(self, note: str, text: str) -> "Future[int | None] | None":
        """Return the cached or started request for an answer; None if the answer is not well-formed."""
        answer = parse_answer(text.encode(errors="replace").decode())  # no lone surrogates: no server accepts them
        if not isinstance(answer, Answer):
            return None
        key = [note, answer.trace, answer.code.value]
        return self._request(key, lambda: self._build_body(note, answer), _read_score)

    def _build_body(self, note: str, answer: Answer) -> dict[str, object]:
        code, recipe = answer.code, self.recipe
        messages, _ = rubric.fit_messages(
            JudgedTrace(note, answer.trace, code, code.title or "(not a code of this release)"),
            self._knowledge,
            recipe,
            self._tokens,
            self._guidelines(code),
            template=recipe.template,
        )
        if messages is None:
            raise NoScoreError("the prompt is too long for the judge's context")
        return self._shape_body(messages, rubric.SCHEMA)

    def _read_guidelines(self, code: Code) -> str | None:
        if not self.recipe.guidelines:
            return None
        return self._knowledge.build_excerpt(code, max_tokens=self.recipe.guideline_tokens)


def _read_score(content: str) -> int | None:
    score = rubric.parse_score(content)
    return None if score is None else score.value
