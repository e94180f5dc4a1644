"""What the ledger knows of a prompt: its attempts so far, each with what the checks found.

A row is settled when an attempt has passed, or when all attempts of the recipe are used. Attempts behind the first that
passed do not count, however they got there, so that the rows of a run do not depend on how often it was interrupted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from deepicd.engines.ledger import Entry, Ledger
from distill import checks
from distill.checks import Findings, Reason
from distill.prompt_builder import Desk, Prompt


@dataclass(frozen=True, slots=True)
class Attempt:
    """A completion, and what speaks against it."""

    number: int  # from 0
    entry: Entry
    found: Findings
    reasons: list[Reason]


@dataclass(frozen=True, slots=True)
class History:
    ledger: Ledger
    desk: Desk

    def attempts(self, asked: Prompt) -> Iterator[Attempt]:
        """In order, up to the first that passed or the last there is."""
        for number in range(self.desk.recipe.attempts):
            if (entry := self.ledger.completion(self.desk.key(asked, number))) is None:
                return
            attempt = self.looked_at(asked, number, entry)
            yield attempt
            if not attempt.reasons:
                return

    def missing(self, asked: Prompt) -> int | None:
        """The number of the attempt to make next; None where the row is settled."""
        used = 0
        for attempt in self.attempts(asked):
            if not attempt.reasons:
                return None
            used += 1
        return used if used < self.desk.recipe.attempts else None

    def looked_at(self, asked: Prompt, number: int, entry: Entry) -> Attempt:
        """A completion with its findings: those of the ledger, or new ones, which go there."""
        key = self.desk.key(asked, number)
        known = self.ledger.findings(key)
        if known is not None and known["checks"] == checks.VERSION:
            found = Findings.read(known)
        else:
            found = checks.findings(entry["text"], entry["finish_reason"], asked.material)
            self.ledger.add_findings(key, found.entry())
        return Attempt(number, entry, found, checks.reasons(found, self.desk.recipe))
