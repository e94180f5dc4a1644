"""Builds the teacher's prompt from a row of the cohort, within the teacher's context.

The note is never cut. Where a prompt would not fit, the whole chapter is replaced by the sections that bear on the
code, as far as there is room, and a note that leaves no room at all gets no trace ('too long for the context').
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, Self

from deepicd import storage
from deepicd.engines.base import Message, Request
from deepicd.engines.ledger import build_former_key, build_key, digest_prompt
from deepicd.engines.tokens import CHAT_TOKENS, TokenCounter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.prompts.template import choose_template
from distill import prompt
from distill.budget import plan_budget, quote_guideline
from distill.examples import NO_EXAMPLES, Examples
from distill.hints import ROOM as HINT_ROOM
from distill.hints import Hints, add_hint, is_misled
from distill.prompt import Material
from distill.recipe import GuidelineText, Recipe

NoPrompt = Literal["no note", "too long for the context"]
"""Why a row gets no prompt."""

SMALLEST_EXCERPT = 64  # tokens; less room than that holds no section


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one row, for one of its rollouts."""

    note_id: str
    material: Material
    messages: list[Message]
    sha256: str
    """Of the messages and the opening."""
    guideline_text: GuidelineText
    """How much of the guidelines it shows; less than the recipe's where it had to be shortened."""
    attempts: int
    """Completions per rollout at most."""
    rollout: int = 0
    hinted: Mapping[int, tuple[list[Message], str]] = field(default_factory=dict)
    """Rollout → its messages with a hint, and their digest, for those that a verification has rejected."""

    @property
    def note_sha256(self) -> str:
        return storage.digest_text(self.material.note)

    def for_rollout(self, rollout: int) -> Self:
        """Return the same prompt for another rollout, counted from 0."""
        messages, sha256 = self.hinted.get(rollout, (self.messages, self.sha256))
        return replace(self, rollout=rollout, messages=messages, sha256=sha256)


class PromptBuilder:
    """Builds prompts and requests by a recipe, from what is known of the codes."""

    def __init__(
        self,
        recipe: Recipe,
        knowledge: Knowledge,
        tokens: TokenCounter,
        hints: Hints | None = None,
        examples: Examples = NO_EXAMPLES,
    ) -> None:
        self.recipe, self.knowledge, self.tokens, self.hints = recipe, knowledge, tokens, hints
        self.template, self.examples = choose_template(prompt.PROMPT, recipe.prompt, recipe.messages), examples
        if recipe.examples and not self.template.shows_lists:
            raise DeepicdError(
                f"The recipe shows {recipe.examples} examples, and its prompt {recipe.prompt!r} has no place for them.",
                "Add {% for example in examples %} … {% endfor %}, as deepicd prompt show teacher has it.",
            )
        self.budget = plan_budget(recipe, {})
        """Nothing is rare, unless a run sets the budget of its cohort."""
        self.opening = prompt.find_opening(self.template)
        self._count_shared = lru_cache(maxsize=65_536)(tokens.count)  # of texts that many prompts share
        self._build_cached_excerpt = lru_cache(maxsize=None)(
            self._build_excerpt
        )  # a few kB for each of 6,000 codes at most

    @cached_property
    def room(self) -> int:
        """Tokens for note, code and knowledge: the context less the completion, our own words and the template."""
        empty = prompt.build_messages(Material("", Code("I10"), "", None, None), self.recipe.layout, self.template)
        rendered = self.tokens.render_chat(empty, self.opening)
        own = self.tokens.count(rendered or "".join(message["content"] for message in empty))
        return self.recipe.context - self.recipe.max_tokens - own - CHAT_TOKENS

    def build(self, row: Mapping[str, Any]) -> Prompt | NoPrompt:
        """Return the prompt of a cohort row, or why it has none."""
        note, code = row["admission_note"], Code(row["icd_code"])
        if not note or not note.strip():
            return "no note"
        description = self.knowledge.find_description(code)
        about_code = f"{row['icd_title']} {description.text}" if description else row["icd_title"]
        guideline_text = self.recipe.guideline_text
        guidelines = self._select_guidelines(code)
        examples = self.examples.choose(row)
        shared = (about_code, *(example.text for example in examples))
        if not self._fits(note, (*shared, guidelines or "")):
            room = self.room - self.tokens.count(note) - sum(map(self._count_shared, shared))
            if room < 0 or self.recipe.too_long == "drop":
                return "too long for the context"
            guidelines = self._build_excerpt(code, room) if room > SMALLEST_EXCERPT else None
            guideline_text = "relevant" if guidelines else "none"
        material = Material(
            note=note,
            code=code,
            title=row["icd_title"],
            description=description,
            guidelines=guidelines,
            with_guidelines=self.recipe.guideline_text != "none",
            examples=examples,
        )
        messages = prompt.build_messages(material, self.recipe.layout, self.template)
        sha256 = digest_prompt(messages, self.opening)
        hinted = self._add_hints(messages, (self.hints or {}).get(row["note_id"], {}), material)
        attempts = self.budget.get_attempts(code)
        return Prompt(row["note_id"], material, messages, sha256, guideline_text, attempts, hinted=hinted)

    def _add_hints(
        self, messages: list[Message], hints: Mapping[int, str], material: Material
    ) -> dict[int, tuple[list[Message], str]]:
        """Return the messages and digests of the rollouts with a hint; none where there is no room for one."""
        if not hints:
            return {}
        text = "\n".join(message["content"] for message in messages)
        room = self.recipe.context - self.recipe.max_tokens - self.tokens.count(text) - CHAT_TOKENS - HINT_ROOM
        if room < 0:
            return {}
        hints = {rollout: self._add_guideline(hint, material, room) for rollout, hint in hints.items()}
        longer = {rollout: add_hint(messages, hint) for rollout, hint in hints.items()}
        return {rollout: (turns, digest_prompt(turns, self.opening)) for rollout, turns in longer.items()}

    def _add_guideline(self, hint: str, material: Material, room: int) -> str:
        """Return a hint with what the guidelines say on a rare code, as far as the recipe and the context have room."""
        tokens = min(self.recipe.hint_tokens, room)
        if not (tokens and is_misled(hint) and material.code.value in self.budget.rare):
            return hint
        quoted = quote_guideline(self.knowledge, material.code, material.title, tokens)
        return f"{hint}\n\n{quoted}" if quoted else hint

    def build_request(self, built: Prompt, attempt: int) -> Request:
        """Return an attempt at a prompt, counted from 0."""
        rollout, [key, *_] = built.rollout, self.build_keys(built, attempt)
        seed = self.recipe.derive_seed(attempt, rollout)
        return Request(key, built.messages, seed, self.opening, rollout=rollout)

    def build_keys(self, built: Prompt, attempt: int) -> list[str]:
        """Return the keys under which the ledger may have an attempt: today's and, for a first rollout, the former."""
        arguments = (self.recipe, built.note_id, built.sha256, attempt)
        former = [] if built.rollout else [build_former_key(*arguments)]
        return [build_key(*arguments, rollout=built.rollout), *former]

    def _select_guidelines(self, code: Code) -> str | None:
        if self.recipe.guideline_text == "none":
            return None
        if self.recipe.guideline_text == "relevant":
            return self._build_cached_excerpt(code, self.recipe.guideline_tokens)
        return self.knowledge.find_guidelines(code)

    def _fits(self, note: str, shared: Iterable[str]) -> bool:
        """Return whether a prompt fits. Counting notes takes most of planning, so a bound is tried first."""
        room = self.room - sum(map(self._count_shared, shared))
        return self.tokens.bound_tokens(note) <= room or self.tokens.count(note) <= room

    def _build_excerpt(self, code: Code, max_tokens: int) -> str | None:
        return self.knowledge.build_excerpt(code, max_tokens=max_tokens, count_tokens=self._count_shared)
