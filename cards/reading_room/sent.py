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
from deepicd.engines.ledger import digest_prompt
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description, Knowledge
from deepicd.stage_records import DistillRecord

CHANGED = "The {what} that the teacher was shown is not among the files of today: its digest is another one."
NO_FILES = "The {what} that the teacher was shown is no longer where the run found it."


@dataclass(frozen=True, slots=True)
class Shown:
    """What of one attempt's prompt could be put together again; a text is None where `doubts` says why."""

    description: Description | None
    guidelines: str | None
    messages: list[dict[str, str]]
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
        asked = self.record.counts.asked
        messages: list[dict[str, str]] = []
        if asked and not doubts and attempt["prompt_sha256"]:
            values = _list_values(entry, description, guidelines, note)
            filled = [{**message, "content": _fill(message["content"], values)} for message in asked.messages]
            if digest_prompt(filled, asked.opening) == attempt["prompt_sha256"]:
                messages = filled
        if not messages:
            doubts.append("The prompt cannot be put together again as it was sent: its digest would be another one.")
        return Shown(description, guidelines, messages, asked.opening if asked else "", doubts)

    def _find_guidelines(self, code: Code, attempt: Mapping[str, Any]) -> str | None:
        if attempt["guideline_text"] == "full":
            return self.knowledge.find_guidelines(code)
        tokens = self.record.options.get("guideline_tokens")
        return self.knowledge.build_excerpt(code, max_tokens=tokens) if isinstance(tokens, int) else None

    def _doubt(self, role: str, what: str) -> str:
        return (CHANGED if self._find(role) else NO_FILES).format(what=what)


def _list_values(
    entry: Mapping[str, Any], description: Description | None, guidelines: str | None, note: str
) -> dict[str, str]:
    """Return what stands in the place of each name in braces of the recorded prompt."""
    missing = "(none available)"
    about = " (ICD-10-GM {code of the description})"
    return {
        about: f" (ICD-10-GM {description.code})" if description else "",
        "{description}": description.text if description else missing,
        "{guidelines}": guidelines or missing,
        "{code}": str(Code(entry["icd_code"])),
        "{title}": entry["icd_title"],
        "{code without dot}": entry["icd_code"],
        "{note}": note,
    }


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each name once, in one pass: what a note has in braces stays as it is."""
    filled, rest = [], template
    while rest:
        found = [(at, name) for name in values if (at := rest.find(name)) >= 0]
        if not found:
            break
        at, name = min(found)
        filled += [rest[:at], values[name]]
        rest = rest[at + len(name) :]
    return "".join([*filled, rest])


def _digest(text: str | None) -> str | None:
    return None if text is None else storage.digest_text(text)
