"""What ordering rows by chapter and code saves of the prompt, with real guideline chapters.

    python -m benchmarks.prefix_cache out/cohort out/guidelines --tokenizer tokenizer.json

A simulation, no engine: prompts are cut into blocks of 16 tokens as in vLLM's cache. A block counts as cached if the
same block with the same beginning is still held; the least recently used ones go when the cache is full. Rows come in
the order of `deepicd distill` (by chapter and code) or shuffled, both in the layout `prefix`.
"""

import random
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import click
from tokenizers import Tokenizer

from deepicd.engines.tokens import TokenCounter
from deepicd.icd10cm import Code
from distill.prompt_builder import PromptBuilder
from distill.recipe import Recipe
from distill.sources import open_sources

BLOCK = 16


def simulate(prompts: Iterable[list[int]], capacity: int) -> tuple[int, int]:
    """Return the tokens of all prompts, and those found in a cache of `capacity` tokens."""
    held: OrderedDict[int, None] = OrderedDict()
    total = cached = 0
    for ids in prompts:
        total += len(ids)
        parent, is_hit = 0, True
        for start in range(0, len(ids) - BLOCK + 1, BLOCK):
            parent = hash((parent, tuple(ids[start : start + BLOCK])))
            is_hit = is_hit and parent in held
            cached += BLOCK * is_hit
            held[parent] = None
            held.move_to_end(parent)
            if len(held) * BLOCK > capacity:
                held.popitem(last=False)
    return total, cached


@click.command()
@click.argument("cohort", type=Path)
@click.argument("guidelines", type=Path)
@click.option("--tokenizer", type=Path, required=True)
def main(cohort: Path, guidelines: Path, tokenizer: Path) -> None:
    sources = open_sources(cohort, guidelines, None)
    builder = PromptBuilder(Recipe(name="p", engine="rehearsal", model="none"), sources.knowledge, TokenCounter())
    encode = Tokenizer.from_file(str(tokenizer)).encode
    rows = [row for _, row in sources.read_rows()]
    rows.sort(key=lambda row: (Code(row["icd_code"]).chapter.number, row["icd_code"]))
    built = [prompt for row in rows if not isinstance(prompt := builder.build(row), str)]
    ids = [encode("\n".join(turn["content"] for turn in prompt.messages)).ids for prompt in built]
    shuffled = random.Random(42).sample(ids, len(ids))
    click.echo(f"{len(ids):,} prompts, {sum(map(len, ids)) / len(ids):,.0f} tokens each")
    for capacity in (10_000, 30_000, 100_000, 1_000_000):
        for name, order in (("by chapter and code", ids), ("shuffled", shuffled)):
            total, cached = simulate(order, capacity)
            click.echo(f"cache of {capacity:>9,} tokens, {name:<19}: {cached / total:.1%} from the cache")


if __name__ == "__main__":
    main()
