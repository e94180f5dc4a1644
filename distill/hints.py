"""What another attempt is told where a verification has rejected a trace: its reason, and nothing of the outcome.

    hints = read_hints(Path("out/verified"), recipe)
    hints["10000019-DS-3"][0]      # 'An earlier line of thought did not lead its reader to one diagnosis: …'

The prompt of a rollout with a hint is another prompt, so the ledger keeps the trace that failed and is asked for a new
one; all other rollouts keep theirs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deepicd import records, storage
from deepicd.engines.base import Message
from deepicd.errors import DeepicdError
from deepicd.schema import VERIFIED
from deepicd.stage_records import DistillRecord, VerifyRecord
from distill.recipe import Recipe
from distill.verification.rows import HINTS, MISLEADS, UNREAD

Hints = Mapping[str, Mapping[int, str]]
"""note_id → rollout, from 0 → what its next attempt is told"""
ROOM = 160  # tokens, more than all hints of one prompt take


def read_hints(folder: Path, recipe: Recipe) -> Hints:
    """Return the hints for the traces that a verification rejected. Raises DeepicdError for another recipe's traces."""
    run, record = records.find_run_folder(folder, VerifyRecord, "verified")
    traces = record.require_upstream(DistillRecord)
    digest = traces.counts.recipe_digest
    if digest != recipe.digest:
        raise DeepicdError(
            f"{folder} verifies traces of the recipe {digest}, and this one is {recipe.digest}.",
            "Give the recipe and options that the verified traces were written with.",
        )
    if "hints" in traces.options:
        raise DeepicdError(
            f"{folder} verifies traces that were written with hints already. It does not know these hints, so"
            " the traces that they replaced, which an earlier verification had rejected, would come back.",
            "There is one round of hints: use the traces as they are, or give --hints the earlier verification.",
        )
    hints: dict[str, dict[int, str]] = {}
    for path in sorted((run / "verified").glob("*.parquet")):
        for row in storage.read_table(path, VERIFIED, ["note_id", "rollout", "failed_for"]).to_pylist():
            if text := " ".join(HINTS[reason] for reason in row["failed_for"] if reason != UNREAD):
                hints.setdefault(row["note_id"], {})[row["rollout"] - 1] = text
    return hints


def is_misled(hint: str) -> bool:
    """Return whether a hint is for a trace that did not lead to its diagnosis."""
    return HINTS[MISLEADS] in hint


def add_hint(messages: Sequence[Message], hint: str) -> list[Message]:
    """Return the messages with a hint at the end of the last turn, behind all that rows share."""
    *before, last = messages
    return [*before, last | {"content": f"{last['content']}\n\n{hint}"}]
