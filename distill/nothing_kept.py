"""The errors for a run that kept no trace: the commonest reasons, and where to look. What was written stays."""

from collections import Counter
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.stage_records import DistillCounts

COMMONEST = 5  # reasons in an error
CAUSES = {
    "cut off": "Answers end at max_tokens: raise it (--set max_tokens=4096).",
    "form": "The model does not answer in <think> and <diagnosis>: is it an instruct model, with its own chat template?"
    " --preview 1 shows what it reads.",
    "wrong code": "The model does not conclude with the code that it is given: --preview 1 shows what it reads.",
    "too long for the context": "Prompts do not fit: raise context, or choose --guideline-text relevant.",
}
"""What to look at first, by the commonest reason."""
THRESHOLD = "Each reason has a threshold in the recipe (docs/distillation.md, Checks)."


def require_kept(folder: Path, counts: DistillCounts) -> None:
    """Raise DeepicdError where a run kept no trace that a later stage could work on."""
    if not sum(counts.kept.values()):
        raise DeepicdError(
            f"{folder} holds no kept trace.", f"Why each was rejected: deepicd view {folder}. Write the traces again."
        )


def explain_nothing_kept(folder: Path, counts: DistillCounts) -> DeepicdError:
    """Return the error for a run without a kept trace: every later stage would have nothing to work on."""
    commonest = Counter(counts.reasons).most_common(COMMONEST)
    reasons = ", ".join(f"{reason} ({rows:,})" for reason, rows in commonest)
    [(first, _), *_] = commonest
    return DeepicdError(
        f"None of {sum(counts.rejected.values()):,} rows has a trace that was kept; of {counts.attempts:,} attempts all"
        f" were rejected. Rows by reason: {reasons}.",
        f"{CAUSES.get(first, THRESHOLD)} Every attempt is in {folder / 'rejected'}, and in the ledger: read some with"
        f" deepicd view {folder}. A changed recipe asks only for what is new.",
    )
