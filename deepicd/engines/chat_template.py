"""What a model's chat template writes around a question and its answer. Everything that renders a chat asks here.

    template = ChatTemplate.from_tokenizer(load_tokenizer(model), model)
    template.opening                     # '<think>\\n': the template opens the answer's reasoning itself
    template.render(messages, "<think>\\n")    # the prompt as the model continues it: exactly one open <think>
    template.join("<think>\\n", text)    # what is stored: it begins with exactly one <think>
    template.end                         # '<|im_end|>', and template.end_token its id

A template is a program, so it is asked with short messages, and what it writes with and without an answer is compared.
Prompt and answer are always rendered separately: several templates drop the reasoning of a finished answer, or write
`<think>` themselves.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deepicd.answer_form import THINK, THINK_END
from deepicd.engines.base import Message
from deepicd.engines.tokenizer import Tokenizer, writes_date
from deepicd.errors import DeepicdError

PROBE_SYSTEM, PROBE_QUESTION, PROBE_ANSWER = "Be brief.", "Fever?", "Yes, and a cough."
QUESTION: list[Message] = [{"role": "user", "content": PROBE_QUESTION}]
WITH_SYSTEM: list[Message] = [{"role": "system", "content": PROBE_SYSTEM}, *QUESTION]

_OPEN = re.compile(rf"{THINK}\s*\Z")
_CLOSED = re.compile(rf"{THINK}\s*{THINK_END}\s*\Z")
_EMPTY = re.compile(rf"{THINK}\s*{THINK_END}\s*")
_MARKER = re.compile(r"<[^<>]*>|\S+")
_NO_REASONING = "\n</think>\n\n"  # as Qwen3.5 closes the block that it has opened


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A tokenizer, and what its chat template writes around an answer."""

    tokenizer: Tokenizer
    model: str
    opening: str
    """The think block that the prompt opens: '' or '<think>\\n'."""
    empty_block: str
    """The think block that the prompt opens and closes, in a mode without reasoning: '' or '<think>\\n\\n</think>'."""
    gap: str
    """White space between prompt and answer."""
    closing: str
    """What follows an answer: '<|im_end|>\\n'; '' for nothing."""
    merges_system: bool
    """Whether there is no system turn, so that its text stands before the user's."""
    drops_system: bool
    """Whether the text of a system turn is left out of the prompt without an error."""
    writes_date: bool
    """Whether it writes today's date (deepicd.engines.tokenizer pins it)."""

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer, model: str) -> "ChatTemplate":
        """Ask a template what it writes. Raises DeepicdError for one that no answer of ours fits."""
        if not tokenizer.chat_template:
            raise DeepicdError(
                f"{model} has no chat template, which is needed to write prompts for it.",
                "Take its instruct version, or put a chat_template.jinja into its folder.",
            )
        question, merges_system = _find_question(tokenizer)
        prompt = _render(tokenizer, model, question, is_answered=False)
        answered = _render(tokenizer, model, question, is_answered=True)
        before, has_answer, closing = answered.rpartition(PROBE_ANSWER)
        if not has_answer or PROBE_QUESTION not in prompt:
            raise DeepicdError(
                f"The chat template of {model} leaves out the question or the answer.",
                "Take a model whose template accepts plain text.",
            )
        block = _CLOSED.search(prompt) or _OPEN.search(prompt)
        header = prompt[: block.start()] if block else prompt
        between = _EMPTY.sub("", before[len(header) :]) if before.startswith(header) else None
        if between is None or between.strip():
            text = prompt.rstrip()[-20:] if between is None else between
            raise DeepicdError(
                f"The chat template of {model} writes {text.strip()!r} between the turn's header and its content, so an"
                " answer cannot begin with its reasoning.",
                "Such a model runs behind a server that reads its channels: vllm serve, and --base-url.",
            )
        written = block.group() if block else ""
        return cls(
            tokenizer=tokenizer,
            model=model,
            opening="" if THINK_END in written else written,
            empty_block=written if THINK_END in written else "",
            gap=between if not block else "",
            closing=closing,
            merges_system=merges_system,
            drops_system=PROBE_SYSTEM not in prompt,
            writes_date=writes_date(str(tokenizer.chat_template)),
        )

    def adapt(self, messages: Sequence[Message]) -> list[Message]:
        """Return a chat as the template accepts it: without a system turn, its text stands before the user's."""
        return merge_system(messages) if self.merges_system else list(messages)

    def render_prompt(self, messages: Sequence[Message]) -> str:
        """Return the prompt as the template writes it, ready for an answer."""
        return _apply(self.tokenizer, self.adapt(messages), is_answered=False)

    def render(self, messages: Sequence[Message], opening: str, *, is_free: bool = True) -> str:
        """Return the prompt that a model continues. With an opening it ends with exactly one open `<think>`.

        Without one it ends as the template has it; where a schema prescribes the answer (`is_free` is False), an open
        think block is closed, since no reasoning could follow. Raises DeepicdError for a template that closes the block
        of an answer that has to reason.
        """
        prompt = self.render_prompt(messages)
        if opening:
            header = prompt.removesuffix(self.empty_block or self.opening)
            return header + self.gap + (self.opening or opening)
        if not is_free:
            return prompt + _NO_REASONING if self.opening else prompt
        if self.empty_block:
            raise self._explain_empty_block()
        return prompt

    def find_start(self, opening: str) -> str:
        """Return what a completion lacks at its start, since the prompt has it."""
        return opening or self.opening

    def describe(self, template_date: str) -> list[str]:
        """Return in sentences what a reader of the prompts should know."""
        notes = {
            "it opens the think block itself": bool(self.opening),
            "it closes the think block at once, and the prompt opens it instead": bool(self.empty_block),
            "it has no system turn, so that text stands before the user's": self.merges_system,
            "it leaves out the system turn": self.drops_system,
            f"it writes today's date, for which {template_date} stands": self.writes_date,
        }
        return [f"The chat template of {self.model}: {note}." for note, holds in notes.items() if holds]

    def render_answer(self, text: str) -> str:
        """Return the answer as the model has to write it: without what the template has written, and with its end."""
        if self.opening:
            text = text.removeprefix(THINK).lstrip("\n")
        return self.gap + text + self.closing

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    @property
    def end(self) -> str:
        """What ends an answer, as text; '' where the template writes nothing after one."""
        return self.closing.strip()

    @property
    def end_token(self) -> int | None:
        """The token that ends an answer; None where that is not one token of this tokenizer."""
        ids = self.encode(self.closing.lstrip())
        if not ids:
            return None
        is_added = ids[0] in self.tokenizer.all_special_ids or ids[0] in self.tokenizer.added_tokens_decoder
        return ids[0] if is_added else None

    def check_training(self) -> "ChatTemplate":
        """Return this template if a model can learn to answer in it. Raises DeepicdError if it cannot."""
        if self.empty_block:
            raise self._explain_empty_block()
        if not self.end:
            raise DeepicdError(
                f"The chat template of {self.model} writes nothing after an answer.",
                "A model trained with it would never stop. Use another template.",
            )
        if self.end_token is None:
            end = _MARKER.findall(self.end)[0]
            raise DeepicdError(
                f"The chat template of {self.model} ends an answer with {end!r}, which is not one token of"
                " this tokenizer: the trained model would stop at the first of its characters.",
                "Take the tokenizer that the template belongs to, or add the token and resize the model's embeddings.",
            )
        return self

    def _explain_empty_block(self) -> DeepicdError:
        return DeepicdError(
            f"The chat template of {self.model} closes the think block before the answer (a mode without reasoning).",
            "Answers here have to reason: use the model's template with reasoning (often enable_thinking = true), or a"
            " model whose template leaves the answer open.",
        )


def join(start: str, text: str) -> str:
    """Return an assistant turn from what the prompt has of it and what the model wrote: one `<think>` at its start.

    >>> join("<think>\\n", "Fever.</think>"), join("<think>\\n", "<think>Fever.</think>"), join("", "Yes.")
    ('<think>\\nFever.</think>', '<think>Fever.</think>', 'Yes.')
    """
    if start and text.lstrip().startswith(THINK):
        return text.lstrip()  # a model that opens once more what the prompt has opened
    return start + text


def merge_system(messages: Sequence[Message]) -> list[Message]:
    """Return a chat whose system turn stands before the first user's text.

    >>> merge_system([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Fever?"}])
    [{'role': 'user', 'content': 'Be brief.\\n\\nFever?'}]
    """
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    turns = [dict(message) for message in messages if message["role"] != "system"]
    if system and turns:
        turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
    return turns


def _find_question(tokenizer: Tokenizer) -> tuple[list[Message], bool]:
    """Return the probe that a template accepts, and whether the system turn had to be merged into the user's."""
    try:
        _apply(tokenizer, WITH_SYSTEM, is_answered=False)
    except Exception:  # noqa: BLE001 - a template is a program, and may raise anything
        return merge_system(WITH_SYSTEM), True
    return WITH_SYSTEM, False


def _render(tokenizer: Tokenizer, model: str, question: Sequence[Message], *, is_answered: bool) -> str:
    try:
        return _apply(tokenizer, question, is_answered=is_answered)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DeepicdError(
            f"The chat template of {model} rejects a question and its answer: {reason}.",
            "Take a model whose template knows the roles user and assistant, with its own tokenizer.",
        ) from error


def _apply(tokenizer: Tokenizer, messages: Sequence[Message], *, is_answered: bool) -> str:
    chat = [*messages, {"role": "assistant", "content": PROBE_ANSWER}] if is_answered else list(messages)
    text: str = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=not is_answered)
    return text
