"""The questions that reviewers answer, from a YAML file.

questions:
  - name: hallucination          # the name in every file
    ask: Does it state findings that the note does not have?
    kind: yes or no              # or scale (1 to 5), or text, which may stay empty
    wrong: "yes"                 # this answer, or up to this number, means that the trace is clinically wrong
judged: overall                  # the scale that the scores of a judge are compared with
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from deepicd.config import Config, ConfigError
from deepicd.errors import DeepicdError

RUBRICS = Path(__file__).parent / "rubrics"
SCALE = range(1, 6)
MAX_TEXT = 4000  # characters of an answer in words

Answers = dict[str, str | int]


class Question(Config):
    """One question, asked for each trace."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    ask: str
    kind: Literal["yes or no", "scale", "text"]
    wrong: str | int | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """The answers that are offered; none for a text."""
        return {"yes or no": ("yes", "no"), "scale": tuple(map(str, SCALE)), "text": ()}[self.kind]

    def means_wrong(self, answer: str | int) -> bool:
        """Return whether an answer says that the trace is clinically wrong."""
        if isinstance(self.wrong, int) and isinstance(answer, int):
            return answer <= self.wrong
        return self.wrong is not None and answer == self.wrong


class Rubric(Config):
    """All questions, in their order."""

    name: str = ""
    """Of its file."""
    questions: Annotated[list[Question], Field(min_length=1)]
    judged: str | None = None

    @classmethod
    def parse(cls, values: Mapping[str, object], source: str) -> "Rubric":
        """Validate plain values, question by question. Raises DeepicdError that names the wrong one."""
        given = values.get("questions")
        if not isinstance(given, list) or not all(isinstance(question, dict | Question) for question in given):
            raise DeepicdError(f"{source} has no list of questions.", f"Compare it with {RUBRICS / 'clinicians.yaml'}.")
        questions = [
            question if isinstance(question, Question) else Question.parse(question, f"{source}, question {number},")
            for number, question in enumerate(given, start=1)
        ]
        return super().parse({**values, "questions": questions}, source)

    @model_validator(mode="after")
    def _check(self) -> "Rubric":
        names = [question.name for question in self.questions]
        if len(set(names)) < len(names):
            raise ConfigError("Two questions have the same name.", "Give each a name of its own.")
        scales = [question.name for question in self.questions if question.kind == "scale"]
        if self.judged is not None and self.judged not in scales:
            raise ConfigError(
                f"judged: {self.judged!r} is not a question with a scale.", f"Scales: {', '.join(scales)}"
            )
        return self

    def parse_answers(self, given: Mapping[str, str]) -> Answers:
        """Return the answers to all questions. Raises DeepicdError for one that is missing or not offered."""
        answers: Answers = {}
        for question in self.questions:
            value = given.get(question.name, "").strip()
            if question.kind == "text":
                if len(value) > MAX_TEXT:
                    raise DeepicdError(f"{question.ask} This answer is too long.", f"At most {MAX_TEXT:,} characters.")
                answers |= {question.name: value} if value else {}
            elif value not in question.choices:
                missing = "has no answer yet" if not value else "was not offered with that answer"
                raise DeepicdError(f"“{question.ask}” {missing}.", f"Choose one of: {', '.join(question.choices)}.")
            else:
                answers[question.name] = int(value) if question.kind == "scale" else value
        return answers


def load_rubric(path: Path) -> Rubric:
    """Return the rubric in a YAML file, or the one of this package by its name. Raises DeepicdError."""
    return Rubric.load(path, RUBRICS)
