"""What the teacher was shown with a note: description, guidelines and the prompt as it was sent.

None of these texts is stored with a trace, only their digests. They are put together again from the files that the run
names, and shown only where the digests agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.engines.base import Message
from deepicd.engines.ledger import digest_prompt
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description, Knowledge
from deepicd.prompts.template import Kind, PromptTemplate
from deepicd.stage_records import DistillRecord

CHANGED = "The {what} that the teacher was shown is not among the files of today: its digest is another one."
NO_FILES = "The {what} that the teacher was shown is no longer where the run found it."

RECORDED = Kind(
    who="teacher",
    own=Path("recorded"),
    values={
        "note": "Cough.", "code": "I10", "icd_code": "I10", "title": "a", "chapter": "b", "description": "c",
        "description_code": "I10", "guidelines": "d", "with_guidelines": True, "layout": "prefix",
        "examples": (),
    },
    optional=frozenset({"description", "description_code", "guidelines"}),
    once=("note", "guidelines"),
)  # fmt: skip
"""The teacher's prompt as a record has it: its variables are those of `deepicd prompt show`."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What of one attempt's prompt could be put together again; a text is None where `doubts` says why."""

    description: Description | None
    guidelines: str | None
    messages: list[Message]
    opening: str
    doubts: list[str]


@dataclass(frozen=True)
class Teaching:
    """The knowledge that a run of `distill` had."""

    record: DistillRecord

    @cached_property
    def knowledge(self) -> Knowledge:
        """What of it is still there."""
        return Knowledge(self._find("guidelines"), self._find("descriptions"))

    def _find(self, role: str) -> Path | None:
        entry = self.record.inputs.get(role)
        path = Path(entry.path) if entry and entry.path else None
        return path if path and path.exists() else None

    def show(self, entry: Mapping[str, Any], attempt: Mapping[str, Any], note: str) -> Shown:
        """Return what an attempt was shown, as far as it can be proven."""
        code, doubts = Code(entry["icd_code"]), []
        description = self.knowledge.find_description(code) if attempt["description_sha256"] else None
        if (
            attempt["description_sha256"]
            and _digest(description.text if description else None) != attempt["description_sha256"]
        ):
            doubts.append(self._doubt("descriptions", "description"))
            description = None
        guidelines = self._find_guidelines(code, attempt) if attempt["guidelines_sha256"] else None
        if attempt["guidelines_sha256"] and _digest(guidelines) != attempt["guidelines_sha256"]:
            doubts.append(self._doubt("guidelines", "text of the guidelines"))
            guidelines = None
        messages: list[Message] = []
        if self._template and not doubts:
            rendered = self._template.render(self._list_values(entry, description, guidelines, note))
            messages = rendered if digest_prompt(rendered, self._opening) == attempt["prompt_sha256"] else []
        if not messages:
            doubts.append("The prompt cannot be put together again as it was sent: its digest would be another one.")
        return Shown(description, guidelines, messages, self._opening, doubts)

    @cached_property
    def _template(self) -> PromptTemplate | None:
        """The prompt of the record; None for one of another version."""
        asked = self.record.counts.asked
        try:
            return PromptTemplate(RECORDED, asked.messages) if asked else None
        except DeepicdError:
            return None

    @property
    def _opening(self) -> str:
        asked = self.record.counts.asked
        return asked.opening if asked else ""

    def _list_values(
        self, entry: Mapping[str, Any], description: Description | None, guidelines: str | None, note: str
    ) -> dict[str, object]:
        """Return the variables of the teacher's prompt for one row."""
        code, with_guidelines = Code(entry["icd_code"]), self.record.options.get("guideline_text") != "none"
        return {
            "note": note,
            "code": str(code),
            "icd_code": code.value,
            "title": entry["icd_title"],
            "chapter": code.chapter.title,
            "description": description.text if description else None,
            "description_code": description.code if description else None,
            "guidelines": guidelines if with_guidelines else None,
            "with_guidelines": with_guidelines,
            "layout": self.record.options.get("layout"),
            "examples": (),  # of other rows: a prompt that showed some has another digest, and is not shown
        }

    def _find_guidelines(self, code: Code, attempt: Mapping[str, Any]) -> str | None:
        if attempt["guideline_text"] == "full":
            return self.knowledge.find_guidelines(code)
        tokens = self.record.options.get("guideline_tokens")
        return self.knowledge.build_excerpt(code, max_tokens=tokens) if isinstance(tokens, int) else None

    def _doubt(self, role: str, what: str) -> str:
        return (CHANGED if self._find(role) else NO_FILES).format(what=what)


def _digest(text: str | None) -> str | None:
    return None if text is None else storage.digest_text(text)
