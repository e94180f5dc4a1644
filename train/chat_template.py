"""How a model's chat is written: what its template puts before, around and after an answer.

    chat = Chat.of(tokenizer)
    chat.prompt(row["prompt"])         # text that the model goes on from, as it is when answers are generated
    chat.answer("<think>\\n…")          # text that it should go on with

A prompt is rendered as for generation and the answer put behind it, never the two through the template together:
several templates drop the reasoning of a finished answer (all up to `</think>`), or write `<think>` themselves, so that
a model would learn to do without, or to open it twice. Tokens are taken of both apart, since generation does so too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deepicd.answer_form import DIAGNOSIS, THINK, THINK_END
from deepicd.errors import DeepicdError

_ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fever?"}]
_PROBE = "Yes, and a cough."

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A tokenizer with what was found out about its template."""

    tokenizer: Any
    opening: str
    """What the template opens an answer with: '' or '<think>\\n'."""
    closing: str
    """What ends an answer: '<|im_end|>\\n'."""

    @classmethod
    def of(cls, tokenizer: Any, model: str) -> "ChatTemplate":
        """Raises DeepicdError for a model without a chat template, or with one whose answers cannot be told apart."""
        from jinja2 import TemplateError

        if not tokenizer.chat_template:
            raise DeepicdError(
                f"{model} has no chat template, so nobody knows how to ask it.",
                "Take its instruct version, or put a chat_template.jinja into its folder.",
            )
        try:
            asked = tokenizer.apply_chat_template(_ASKED, tokenize=False, add_generation_prompt=True)
            answered = tokenizer.apply_chat_template(
                [*_ASKED, {"role": "assistant", "content": _PROBE}], tokenize=False
            )
        except TemplateError as error:
            raise DeepicdError(
                f"The chat template of {model} refuses a system message and a question: {error}.",
                "Take a model whose template knows the roles system, user and assistant.",
            ) from error
        _, found, closing = answered.rpartition(_PROBE)
        if not found or not closing.strip() or _ASKED[1]["content"] not in asked:
            raise DeepicdError(
                f"The chat template of {model} writes no question, or no end behind an answer.",
                "A model trained so would never stop. Take another template.",
            )
        opening = asked[asked.rindex(THINK) :] if asked.rstrip().endswith(THINK) else ""
        return cls(tokenizer, opening, closing)

    def prompt(self, messages: Messages) -> str:
        text: str = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return text

    def answer(self, text: str) -> str:
        """The answer as the model has to write it: without what the template has written, and with its end."""
        if self.opening:
            text = text.removeprefix(THINK).lstrip("\n")
        return text + self.closing

    def whole(self, written: str) -> str:
        """What a model wrote, with what the template had opened for it."""
        return self.opening + written

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return found

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self.ids(self.closing)[0]


def keep_diagnosis(completion: str) -> str:
    """The answer without its reasoning: the diagnosis block alone (DeepICD-R1, Table 4)."""
    return completion[completion.rindex(DIAGNOSIS) :]


def opens_think_once(prompt: str, answer: str) -> bool:
    """Whether prompt and answer together open exactly one think block, which the answer closes."""
    turn = prompt[-40:] + answer  # the task's own words, further up, name the tags too
    return turn.count(THINK) == 1 and answer.count(THINK_END) == 1
