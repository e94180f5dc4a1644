"""What another attempt is told where a verification has rejected a trace: its reason, and nothing of the outcome.

    rejections = read_rejections(Path("out/verified"), recipe, Path("out/traces"), sources)
    phrase(rejections)["10000019-DS-3"][0]     # 'An earlier line of thought did not lead its reader to …'

The prompt of a rollout with a hint is another prompt, so the ledger keeps the trace that failed and is asked for a new
one; all other rollouts keep theirs. A verification of traces with hints starts the next round, up to `ROUNDS`: who
fails again gets another hint, everybody else keeps the hint that their trace was written with. For that each round is
kept as OUT/hints/<digest>.json, and going back to an earlier verification finds its prompts in the ledger.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from deepicd import changed_inputs, records, storage
from deepicd.engines.base import Message
from deepicd.errors import DeepicdError
from deepicd.private_files import make_private
from deepicd.schema import VERIFIED
from deepicd.stage_records import DistillRecord, VerifyRecord
from deepicd.storage import Origin
from distill.recipe import Recipe
from distill.sources import Sources
from distill.verification.rows import HINTS, MISLEADS, UNREAD

Hints = Mapping[str, Mapping[int, str]]
"""note_id → rollout, from 0 → what its next attempt is told"""
Rejections = dict[str, dict[int, list[str]]]
"""note_id → rollout → what was said of each of its rejected traces, in order"""
FOLDER = "hints"
ROUNDS = 3  # hints that one rollout gets
ROOM = 192  # tokens, more than all hints of one prompt take


def read_rejections(folder: Path, recipe: Recipe, out: Path, sources: Sources) -> Rejections:
    """Return why traces were rejected, by the verification and by those before it whose hints its traces have.

    `out`: of the traces. Raises DeepicdError for traces of another recipe, cohort or origin, and where an earlier round
    is not there.
    """
    run, record = records.find_run_folder(folder, VerifyRecord, "verified")
    traces = record.require_upstream(DistillRecord)
    digest = traces.counts.recipe_digest
    if digest != recipe.digest:
        raise DeepicdError(
            f"{folder} verifies traces of the recipe {digest}, and this one is {recipe.digest}.",
            "Give the recipe and options that the verified traces were written with.",
        )
    files = sorted((run / "verified").glob("*.parquet"))
    _require_same_cohort(folder, record, files, sources)
    rejections = _read_round(out, traces.get_option("hints", str)) if "hints" in traces.options else {}
    for path in files:
        for row in storage.read_table(path, VERIFIED, ["note_id", "rollout", "failed_for"]).to_pylist():
            text = " ".join(HINTS[reason] for reason in row["failed_for"] if reason != UNREAD)
            earlier = rejections.get(row["note_id"], {}).get(row["rollout"] - 1, [])
            if text and len(earlier) < ROUNDS:
                rejections.setdefault(row["note_id"], {})[row["rollout"] - 1] = [*earlier, text]
    if unknown := rejections.keys() - sources.read_note_ids():
        raise DeepicdError(
            f"{folder} rejects traces of {len(unknown):,} notes that are not in {sources.cohort}.",
            "Give --hints the verification of a run on this cohort.",
        )
    return rejections


def _require_same_cohort(folder: Path, record: VerifyRecord, files: Sequence[Path], sources: Sources) -> None:
    """Raise unless the verified traces are of this cohort, and of its origin."""
    advice = "Give --hints the verification of a run on this cohort."
    changed_inputs.require_origin(files, sources.origin, what=f"{folder} verifies traces made from", advice=advice)
    cohort = records.require(sources.cohort, "build")
    if changed_inputs.find_other_cohorts({"cohort": cohort, "hints": record}):
        raise DeepicdError(f"{folder} verifies traces of another cohort than {sources.cohort}.", advice)


def phrase(rejections: Rejections) -> Hints:
    """Return the hints: what the last rejection says, and how many there were, so that each has its own prompt."""
    return {
        note_id: {
            rollout: texts[-1] if len(texts) == 1 else f"{texts[-1]} {len(texts)} lines of thought were rejected."
            for rollout, texts in of_note.items()
        }
        for note_id, of_note in rejections.items()
    }


def digest_hints(hints: Hints) -> str:
    """Return a digest of the hints, which decide a run's output as its options do."""
    return storage.digest_json([[note_id, sorted(hints[note_id].items())] for note_id in sorted(hints)])


def keep_round(out: Path, rejections: Rejections, origin: Origin) -> None:
    """Write OUT/hints/<digest>.json, from which a verification of these traces starts the next round."""
    path = out / FOLDER / f"{digest_hints(phrase(rejections))}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = {note: {str(rollout): texts for rollout, texts in of_note.items()} for note, of_note in rejections.items()}
    storage.write_json(path, listed)
    make_private(path.parent, origin)


def _read_round(out: Path, digest: str) -> Rejections:
    path = out / FOLDER / f"{digest}.json"
    listed = storage.read_json(path) if path.is_file() else None
    if not isinstance(listed, dict):
        raise DeepicdError(
            f"{path}, the hints that the verified traces were written with, is not there. Without it the traces that"
            " they replaced would come back.",
            "Use the traces as they are, or give --hints a verification of traces without hints.",
        )
    rejections = {note: {int(rollout): texts for rollout, texts in of_note.items()} for note, of_note in listed.items()}
    if digest_hints(phrase(rejections)) != digest:
        raise DeepicdError(f"{path} is not as it was written.", "Give --hints a verification of traces without hints.")
    return rejections


def is_misled(hint: str) -> bool:
    """Return whether a hint is for a trace that did not lead to its diagnosis."""
    return HINTS[MISLEADS] in hint


def add_hint(messages: Sequence[Message], hint: str) -> list[Message]:
    """Return the messages with a hint at the end of the last turn, behind all that rows share."""
    *before, last = messages
    return [*before, last | {"content": f"{last['content']}\n\n{hint}"}]
