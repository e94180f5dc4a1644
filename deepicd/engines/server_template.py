"""What a server's chat template writes, asked through vLLM's /tokenize and /detokenize before the first request.

    form = await read_prompt_form(client.send, "http://127.0.0.1:8000", model)     # PromptForm(continues=False, …)

`continue_final_message` opens an answer with `<think>`, but with some templates (Qwen3 and later, GLM) the prompt then
has an empty think block before it: there the model opens the block itself. Only a probe without a note is rendered. A
server that does not list these paths is taken to continue a turn as it should.

A template that writes today's date makes another prompt every day. Where it takes the date from the variable
`date_string` (Llama 3's), the recipe's date is sent as that; where it reads the clock itself (Mistral's, gpt-oss's), no
request can change it, and each completion records the day.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from deepicd.answer_form import THINK, THINK_END
from deepicd.engines.base import Message
from deepicd.engines.chat_template import WITH_SYSTEM, merge_system
from deepicd.engines.replies import Json, RefusedError
from deepicd.engines.tokenizer import PROBE, describe_loss
from deepicd.errors import DeepicdError
from deepicd.http import TransientError

OPENING: Message = {"role": "assistant", "content": f"{THINK}\n"}
REASONING = {"enable_thinking": True}  # what templates with a mode without reasoning call the other one

DATE_VARIABLE = "date_string"
DATE_FORMATS = ("%d %b %Y", "%d %B %Y", "%Y-%m-%d", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y")
"""As templates write a day; the first is that of Llama 3's."""

Fetch = Callable[[str, str, Json | None], Awaitable[Json]]
"""Method, URL and body to the JSON that the server answers."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PromptForm:
    """How chats are sent so that a prompt opens `<think>` exactly once."""

    continues: bool
    """Whether the answer's opening is sent as an unfinished turn."""
    opens: bool = False
    """Whether the template opens the block itself."""
    merges_system: bool = False
    """Whether there is no system turn, so that its text stands before the user's."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    """Of the template (`chat_template_kwargs`), for answers that have to reason."""
    pinned: Mapping[str, object] = field(default_factory=dict)
    """Of the template, for all answers: the recipe's date in place of today's."""
    writes_date: bool = False
    """Whether it writes today's date whatever it is told."""


async def read_prompt_form(fetch: Fetch, root: str, model: str, template_date: str) -> PromptForm:
    """Return how a server's template has to be asked. Raises DeepicdError where its tokenizer loses text."""
    renderer = _Renderer(fetch, root, model)
    if not await renderer.is_there():
        return PromptForm(continues=True)
    form = await _find_form(renderer, root)
    return replace(form, **await _find_date(renderer, form, date.fromisoformat(template_date)))


async def _find_date(renderer: "_Renderer", form: PromptForm, day: date) -> dict[str, Any]:
    """Return what the form says about the date: the argument by which it is pinned, or that it is today's."""
    chat = merge_system(WITH_SYSTEM) if form.merges_system else WITH_SYSTEM
    if not _has_todays_date(await renderer.render(chat, form.arguments) or ""):
        return {}
    pinned = {DATE_VARIABLE: day.strftime(DATE_FORMATS[0])}
    prompt = await renderer.render(chat, {**form.arguments, **pinned}) or ""
    if pinned[DATE_VARIABLE] in prompt and not _has_todays_date(prompt):
        return {"pinned": pinned}
    logger.warning("The server's chat template writes today's date: on another day the prompts are others.")
    return {"writes_date": True}


def _has_todays_date(prompt: str) -> bool:
    """Return whether a prompt has the date of today, wherever on earth the server is."""
    days = [date.today() + timedelta(days=days) for days in (-1, 0, 1)]
    return any(day.strftime(form) in prompt for day in days for form in DATE_FORMATS)


async def _find_form(renderer: "_Renderer", root: str) -> PromptForm:
    chat = [*WITH_SYSTEM[:1], {"role": "user", "content": PROBE.strip()}]
    merges_system = False
    if (prompt := await renderer.render(chat)) is None:
        chat, merges_system = merge_system(chat), True
        if (prompt := await renderer.render(chat)) is None:
            return PromptForm(continues=True)
    _check_text(prompt, root)
    arguments: Mapping[str, object] = {}
    if _has_closed(prompt):
        reasoning = await renderer.render(chat, REASONING)
        if reasoning is not None and not _has_closed(reasoning):
            prompt, arguments = reasoning, REASONING
    if prompt.rstrip().endswith(THINK):
        return PromptForm(continues=False, opens=True, merges_system=merges_system, arguments=arguments)
    continued = await renderer.render([*chat, OPENING], arguments) or ""
    turn = continued.rpartition(PROBE.strip())[2]
    continues = turn.count(THINK) == 1 and THINK_END not in turn
    if not continues and _has_closed(prompt):
        logger.warning("The server's chat template closes the think block before an answer: traces may lack reasoning.")
    return PromptForm(continues, merges_system=merges_system, arguments=arguments)


class _Renderer:
    """Renders chats as the server does."""

    def __init__(self, fetch: Fetch, root: str, model: str) -> None:
        self._fetch, self._root, self._model = fetch, root, model

    async def is_there(self) -> bool:
        """Return whether the server lists the paths; a request to another one could be an answer to pay for."""
        try:
            paths = (await self._fetch("GET", f"{self._root}/openapi.json", None)).get("paths")
        except (TransientError, RefusedError, DeepicdError):
            return False
        return isinstance(paths, dict) and {"/tokenize", "/detokenize"} <= paths.keys()

    async def render(self, chat: Sequence[Message], arguments: Mapping[str, object] | None = None) -> str | None:
        """Return the prompt of a chat; None where the server refuses to render it."""
        is_continued = chat[-1]["role"] == "assistant"
        body: Json = {
            "model": self._model,
            "messages": list(chat),
            "add_generation_prompt": not is_continued,
            "continue_final_message": is_continued,
            "chat_template_kwargs": dict(arguments or {}),
        }
        try:
            tokens = (await self._fetch("POST", f"{self._root}/tokenize", body)).get("tokens")
            reply = await self._fetch("POST", f"{self._root}/detokenize", {"model": self._model, "tokens": tokens})
        except (TransientError, RefusedError, DeepicdError):
            return None
        text = reply.get("prompt")
        return text if isinstance(text, str) else None


def _has_closed(prompt: str) -> bool:
    return prompt.rstrip().endswith(THINK_END)


def _check_text(prompt: str, root: str) -> None:
    """Raise DeepicdError where the probe comes back damaged, in white space or in case."""
    text = PROBE.strip()
    if text in prompt:
        return
    if "".join(text.lower().split()) in "".join(prompt.lower().split()):
        damage = describe_loss(text, text.lower() if text.lower() in prompt else "".join(text.split()))
        raise DeepicdError(
            f"The tokenizer of the server at {root} {damage}: notes would reach the model damaged.",
            "Serve the model with a tokenizer of class PreTrainedTokenizerFast (vllm serve --tokenizer DIR), or with"
            " another version of transformers.",
        )
