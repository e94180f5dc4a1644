"""Rows of a fine-tuning as the trainer reads them: every token, and whether the loss is taken of it.

print(preview(ready, 1))     # what is trained on is set off by ‹ ›; a table shows the tokens around the boundary
"""

from train.sft.run import SftSetup, TokenizedRow

AROUND = 6  # tokens to both sides of the boundary


def preview(ready: SftSetup, number: int) -> str:
    """The first rows, with their masks."""
    return "\n\n".join(_row(ready, place, row) for place, row in enumerate(ready.train[:number], start=1))


def _row(ready: SftSetup, place: int, row: TokenizedRow) -> str:
    tokenizer = ready.base.chat.tokenizer
    ids = row.ids.tolist()
    asked, wanted = tokenizer.decode(ids[: row.asked]), tokenizer.decode(ids[row.asked :])
    lines = [
        f"Row {place}: {len(ids):,} tokens, {row.trained:,} of them trained on (between ‹ and ›)",
        f"{asked}‹{wanted}›",
        "",
        "  place      id   label  token",
    ]
    shown = range(max(0, row.asked - AROUND), min(len(ids), row.asked + AROUND))
    labels = row.labels
    lines += [f"{at:>7,} {ids[at]:>7} {labels[at]:>7}  {tokenizer.decode([ids[at]])!r}" for at in shown]
    lines += ["      …", f"{len(ids) - 1:>7,} {ids[-1]:>7} {labels[-1]:>7}  {tokenizer.decode([ids[-1]])!r}"]
    return "\n".join(lines)
