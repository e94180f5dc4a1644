"""What the teacher would read, and what would not fit, without asking it anything."""

import sys
from itertools import islice
from pathlib import Path

from deepicd.engines import token_counts
from deepicd.errors import DeepicdError
from distill import pending, prompt, run
from distill.prompt_builder import Desk, Prompt
from distill.recipe import Recipe
from distill.sources import Sources

RULE = "─" * 80


def prompts(read: Sources, recipe: Recipe, number: int) -> str:
    """The first prompts of a run as the model reads them, each with its tokens. Raises DeepicdError where notes are
    credentialed and would go into a file or to another program."""
    if read.origin == "mimic" and not sys.stdout.isatty():
        raise DeepicdError(
            "These notes are credentialed: a preview goes to a terminal only, not into a file or another program.",
            "Run the same command without redirecting its output.",
        )
    desk = Desk(recipe, read.knowledge, token_counts.find_counter(recipe))
    asked = (desk.prompt(row) for _, row in read.rows())
    shown = islice((one for one in asked if isinstance(one, Prompt)), number)
    return "\n".join(_shown(one, place, desk) for place, one in enumerate(shown, start=1))


def _shown(asked: Prompt, place: int, desk: Desk) -> str:
    text = desk.tokens.chat(asked.messages, prompt.OPENING)
    how = "chat template of the teacher"
    if text is None:
        how = "chat template not at hand, messages one below the other"
        turns = [f"[{message['role']}]\n{message['content']}" for message in asked.messages]
        text = "\n\n".join([*turns, f"[assistant]\n{prompt.OPENING}"])
    length = desk.tokens.count(text)
    return "\n".join(
        [
            RULE,
            f"Prompt {place}: {length:,} tokens by {desk.tokens.counted_by}; {how};"
            f" guidelines: {asked.guideline_text}; the teacher goes on behind the last line.",
            RULE,
            text,
        ]
    )


def plan(read: Sources, recipe: Recipe, out: Path, limit: int | None) -> str:
    """What a run would have to do, and which prompts do not fit the context."""
    fresh = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with run.at_work(out, recipe, read, limit) as (todo, history):
            return "\n".join(pending.report(todo.counts, history.desk))
    finally:
        for folder in [out / "ledger", *fresh]:  # a dry run leaves nothing behind
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
