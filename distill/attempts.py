"""The attempts at a prompt that the ledger has, each with what the checks found.

A rollout is settled when an attempt has passed, or when all attempts of the recipe are used. Attempts after the first
that passed do not count, however they came about, so that the rows of a run do not depend on how often it was
interrupted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deepicd.engines.ledger import Entry, Ledger
from distill import checks
from distill.checks import Findings, Reason
from distill.prompt_builder import Prompt, PromptBuilder


@dataclass(frozen=True, slots=True)
class Attempt:
    """A completion, and why it is rejected."""

    number: int  # from 0
    entry: Entry
    findings: Findings
    reasons: list[Reason]


@dataclass(frozen=True, slots=True)
class History:
    """The attempts of a recipe in a ledger."""

    ledger: Ledger
    builder: PromptBuilder

    def read_attempts(self, prompt: Prompt) -> Iterator[Attempt]:
        """Yield the attempts in order, up to the first that passed or the last there is."""
        for number in range(prompt.attempts):
            key = self.find_key(prompt, number)
            if (entry := self.ledger.read_completion(key)) is None:
                return
            attempt = self.check(prompt, number, entry)
            yield attempt
            if not attempt.reasons:
                return

    def find_next_attempt(self, prompt: Prompt) -> int | None:
        """Return the number of the attempt to make next; None where the rollout is settled."""
        used = 0
        for attempt in self.read_attempts(prompt):
            if not attempt.reasons:
                return None
            used += 1
        return used if used < prompt.attempts else None

    def find_key(self, prompt: Prompt, number: int) -> str:
        """Return the key under which the ledger has an attempt, or would have it."""
        return self.ledger.resolve_key(*self.builder.build_keys(prompt, number))

    def check(self, prompt: Prompt, number: int, entry: Entry) -> Attempt:
        """Return a completion with its findings: the ledger's, or new ones, which are added to it."""
        key = self.find_key(prompt, number)
        known = self.ledger.read_findings(key)
        if known is not None and known["checks"] == checks.VERSION:
            findings = Findings.from_entry(known)
        else:
            findings = checks.measure(entry["text"], entry["finish_reason"], prompt.material)
            self.ledger.add_findings(key, findings.to_entry())
        return Attempt(number, entry, findings, checks.find_reasons(findings, self.builder.recipe))
