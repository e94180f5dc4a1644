"""The judge's prompt within its context, for `deepicd judge` and for the reward of GRPO.

    messages, is_shortened = fit_messages(judged, knowledge, recipe, tokens, guidelines, template=template)

As with the teacher's prompt, the note is never cut: guidelines give way as far as needed, and a note and a trace that
do not fit without them get no prompt.
"""

from typing import Protocol

from deepicd.engines.base import Message
from deepicd.engines.tokens import CHAT_TOKENS, TokenCounter
from deepicd.knowledge import rubric
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.knowledge.rubric import JudgedTrace
from deepicd.prompts.template import PromptTemplate

TOO_LONG = "too long for the context"
SMALLEST_EXCERPT = 64  # tokens; less room than that holds no section


class Lengths(Protocol):
    """What of a judge's recipe limits its prompt."""

    @property
    def context(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...


def fit_messages(
    judged: JudgedTrace,
    knowledge: Knowledge,
    lengths: Lengths,
    tokens: TokenCounter,
    guidelines: str | None,
    *,
    template: PromptTemplate,
) -> tuple[list[Message] | None, bool]:
    """Return the chat that asks for a score, and whether guidelines were shortened; None where it cannot fit."""
    messages = _build(judged, knowledge, template, guidelines)
    if _measure_room(messages, lengths, tokens) >= 0:
        return messages, False
    bare = _build(judged, knowledge, template, None)
    room = _measure_room(bare, lengths, tokens)
    if room < 0:
        return None, False
    if guidelines and room > SMALLEST_EXCERPT:
        excerpt = knowledge.build_excerpt(judged.code, max_tokens=room, count_tokens=tokens.count)
        messages = _build(judged, knowledge, template, excerpt)
        if _measure_room(messages, lengths, tokens) >= 0:
            return messages, True
    return bare, True


def _build(
    judged: JudgedTrace, knowledge: Knowledge, template: PromptTemplate, guidelines: str | None
) -> list[Message]:
    description = knowledge.find_description(judged.code)
    return rubric.build_messages(judged, template, description=description, guidelines=guidelines)


def _measure_room(messages: list[Message], lengths: Lengths, tokens: TokenCounter) -> int:
    """Return the tokens that are left of the context; a cheap bound where it shows that there are enough."""
    text = "\n".join(message["content"] for message in messages)
    available = lengths.context - lengths.max_tokens - CHAT_TOKENS
    if (room := available - tokens.bound_tokens(text)) >= 0:
        return room
    return available - tokens.count(text)
