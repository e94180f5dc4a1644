"""From a row of the cohort to what the teacher is asked, within the teacher's context.

The note is never cut. Where a prompt would not fit, the whole chapter gives way to the sections that bear on the code,
as far as there is room, and a note that leaves no room at all goes without a trace (reason 'too long').
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from deepicd import storage
from deepicd.engines.base import Request
from deepicd.engines.token_counts import CHAT, TokenCounter
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from distill import prompt
from distill.prompt import Material
from distill.recipe import GuidelineText, Recipe

Unasked = Literal["no note", "too long for the context"]
"""Why a row is not put to the teacher."""

SMALLEST_EXCERPT = 64  # tokens; less room than that holds no section


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked for one row."""

    note_id: str
    material: Material
    messages: list[dict[str, str]]
    payload: str
    """SHA-256 of the messages and the opening."""
    guideline_text: GuidelineText
    """What was shown of the guidelines; less than the recipe's where the prompt had to be shortened."""

    @property
    def note_sha256(self) -> str:
        return storage.digest_text(self.material.note)


class Desk:
    """Knows the recipe, what is known of codes, and how to count."""

    def __init__(self, recipe: Recipe, knowledge: Knowledge, tokens: TokenCounter) -> None:
        self.recipe, self.knowledge, self.tokens = recipe, knowledge, tokens
        self._shared_tokens = lru_cache(maxsize=65_536)(tokens.count)
        self._excerpt = lru_cache(maxsize=None)(self._excerpt_anew)  # of a code; a few kB for 6,000 codes at most

    @cached_property
    def room(self) -> int:
        """Tokens for the three texts of a prompt: the context less the completion, our own words and the template."""
        bare = prompt.messages(Material("", Code("I10"), "", None, None), self.recipe.layout)
        shown = self.tokens.chat(bare, prompt.OPENING)
        own = self.tokens.count(shown or "".join(message["content"] for message in bare))
        return self.recipe.context - self.recipe.max_tokens - own - CHAT

    def prompt(self, row: dict[str, Any]) -> Prompt | Unasked:
        """The prompt of a cohort row, or why there is none."""
        note, code = row["admission_note"], Code(row["icd_code"])
        if not note or not note.strip():
            return "no note"
        description = self.knowledge.description(code)
        text = f"{row['icd_title']} {description.text}" if description else row["icd_title"]
        wish = self.recipe.guideline_text
        guidelines = {"full": self._chapter, "relevant": self._relevant, "none": _nothing}[wish](code)
        if not self._fits(note, text, guidelines):
            left = self.room - self.tokens.count(note) - self._shared_tokens(text)
            if left < 0 or self.recipe.too_long == "drop":
                return "too long for the context"
            guidelines = self._excerpt_anew(code, left) if left > SMALLEST_EXCERPT else None
            wish = "relevant" if guidelines else "none"
        material = Material(
            note=note,
            code=code,
            title=row["icd_title"],
            description=description,
            guidelines=guidelines,
            with_guidelines=self.recipe.guideline_text != "none",
        )
        messages = prompt.messages(material, self.recipe.layout)
        return Prompt(row["note_id"], material, messages, prompt.digest(messages, prompt.OPENING), wish)

    def request(self, asked: Prompt, attempt: int) -> Request:
        """An attempt at a prompt, counted from 0."""
        return Request(
            key=self.key(asked, attempt),
            messages=asked.messages,
            seed=self.recipe.seed_of(attempt),
            opening=prompt.OPENING,
            material=asked.material,
        )

    def key(self, asked: Prompt, attempt: int) -> str:
        return key(self.recipe, asked.note_id, asked.payload, attempt)

    def _fits(self, note: str, text: str, guidelines: str | None) -> bool:
        """The note is counted only where it might be too long: that is where planning would spend its time."""
        left = self.room - self._shared_tokens(text) - self._shared_tokens(guidelines or "")
        return self.tokens.at_most(note) <= left or self.tokens.count(note) <= left

    def _chapter(self, code: Code) -> str | None:
        return self.knowledge.guidelines(code)

    def _relevant(self, code: Code) -> str | None:
        return self._excerpt(code, self.recipe.guideline_tokens)

    def _excerpt_anew(self, code: Code, max_tokens: int) -> str | None:
        return self.knowledge.guideline_excerpt(code, max_tokens=max_tokens, tokens=self._shared_tokens)


def _nothing(_: Code) -> None:
    return None


def key(recipe: Recipe, note_id: str, payload: str, attempt: int) -> str:
    """The ledger's key of an attempt: all that decides what is written, and nothing of where it runs."""
    model = [recipe.by_model, recipe.model, recipe.revision, recipe.dtype]
    return storage.digest_json([note_id, payload, model, recipe.sampling, recipe.seed_of(attempt), attempt])[:32]
