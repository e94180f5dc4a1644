"""`deepicd judge`: a score from 1 to 5 for each kept trace, by a model of another family than the teacher.

    OUT/ledger/…                     every answer of every judge (deepicd.engines.ledger)
    OUT/<recipe digest>/scores/…     one row a trace; derived from the ledger
    OUT/<recipe digest>/run.json
    OUT/agreement.json               where two judges or more have scored: how far they agree (distill.judge_agreement)

A judge is a recipe as the teacher is: `model` names it, `prompt` the rubric. Its answer is asked for as JSON
by a schema; one without a score is asked for again with another seed.
"""

from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from deepicd import disclosure, records, storage
from deepicd.engines import base, ledger, metrics
from deepicd.engines.ledger import Entry, Ledger
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from deepicd.knowledge import rubric
from deepicd.schema import SCORES
from deepicd.tracefolder import find_recipe_folder
from distill import judge_agreement, model_families
from distill.judge_cases import NO_SCORE, Bench, Case
from distill.recipe import Recipe
from distill.row_file import row_file
from distill.sources import Row, sources


def judge(
    traces: Path,
    out: Path,
    recipe: Recipe,
    *,
    cohort: Path | None = None,
    guidelines: Path | None = None,
    descriptions: Path | None = None,
    limit: int | None = None,
    same_family: bool = False,
    overwrite: bool = False,
    responsible: str | None = None,
) -> records.Record:
    """Score the kept traces of a recipe (the first `limit` of a split) under OUT/<digest>; the record.

    Cohort, guidelines and descriptions are those that the traces were made with, unless others are named.
    """
    if recipe.prompt != rubric.VERSION:
        raise DeepicdError(
            f"The recipe asks for the rubric {recipe.prompt!r}.", f"This version has {rubric.VERSION!r}: put that name."
        )
    base.check_engine(recipe)
    traces = find_recipe_folder(traces)
    made = records.require(traces, "distill")
    doubt = model_families.compared(made["options"]["model"], recipe, allow_same=same_family)
    read = sources(
        cohort or _of(made, "cohort"),
        guidelines or (_of(made, "guidelines") if "guidelines" in made["inputs"] else None),
        descriptions or (_of(made, "descriptions") if "descriptions" in made["inputs"] else None),
    )
    taken = disclosure.check_server(recipe, origin=read.origin, sentence=responsible)
    plan = records.plan_run("judge", options=recipe.options | {"limit": limit}, inputs=read.paths | {"traces": traces})
    folder = out / recipe.digest
    if (done := records.find_finished(folder, plan)) and not done["counts"]["unscored"]:
        return done
    bench = Bench(recipe, traces, read, limit)
    with (
        ledger.open_ledger(out, read.origin) as book,
        records.fresh_folder(folder, plan, read.origin, overwrite=overwrite) as run,
    ):
        unanswered = _ask(bench, book, out)
        run.counts |= _write(run.folder, bench, book, unanswered)
        run.counts |= {"recipe_digest": recipe.digest, "series": metrics.read_series(out, recipe.digest)}
        run.notes += [doubt] if doubt else []
        run.notes += [f"Said by who ran it: {taken}"] if taken else []
    _compare(out)
    return run.record


def _of(made: records.Record, role: str) -> Path:
    """Where the traces' own run had something from. Raises DeepicdError where it is no longer what it was."""
    path = Path(made["inputs"][role]["path"])
    if not path.exists() or storage.digest_path(path) != made["inputs"][role]["digest"]:
        raise DeepicdError(
            f"{path}, which the traces were made from, is no longer what it was.", f"Name it: --{role} PATH"
        )
    return path


def _ask(bench: Bench, book: Ledger, out: Path) -> dict[str, str]:
    """Have the engine score what the ledger has no score of; requests that it could not answer, with reasons."""
    recipe = bench.recipe
    begin = {case.note_id: at for case in bench.cases() if (at := case.missing(book)) is not None}
    if not begin:
        return {}
    waiting = (replace(case, first=begin[case.note_id]) for case in bench.cases() if case.note_id in begin)
    with (
        closing(base.open_engine(recipe)) as engine,
        metrics.track_metrics("scores", len(begin), out, recipe.digest) as shown,
    ):
        asker = Runner(engine, book, recipe.attempts, shown)
        asker.run(waiting)
    return asker.unanswered


def _write(folder: Path, bench: Bench, book: Ledger, unanswered: dict[str, str]) -> dict[str, Any]:
    """Write the scores of each split; what they are in numbers."""
    scores: Counter[int] = Counter()
    unscored: Counter[str] = Counter()
    for split, cases in groupby(bench.cases(), key=lambda case: case.split):
        with row_file(folder / "scores" / f"{split}-00000.parquet", SCORES, bench.read.origin) as add:
            for case in cases:
                add(row := _row(case, case.answers(book), unanswered))
                if row["score"] is None:
                    unscored[row["unscored_for"]] += 1
                else:
                    scores[row["score"]] += 1
    total = scores.total()
    return {
        "scored": total,
        "scores": {str(score): scores[score] for score in sorted(scores)},
        "mean": round(sum(score * rows for score, rows in scores.items()) / total, 2) if total else None,
        "unscored": dict(unscored),
    }


def _row(case: Case, answers: list[Entry], unanswered: dict[str, str]) -> Row:
    last: Entry = answers[-1] if answers else {}
    given = rubric.parse_score(last["text"]) if last else None
    why_not = unanswered.get(case.key(len(answers)), NO_SCORE if answers else "not asked")
    return {
        "note_id": case.note_id,
        "split": case.split,
        "icd_code": case.material.code.value,
        "trace_sha256": storage.digest_text(case.trace),
        "score": given.value if given else None,
        "why": given.why if given else None,
        "unscored_for": None if given else why_not,
        "judge": case.recipe.model,
        "revision": case.recipe.revision,
        "rubric": case.recipe.prompt,
        "prompt_sha256": case.payload,
        "attempts": len(answers),
        **{name: last.get(name) for name in ("engine", "engine_version", "seed")},
        **{name: last.get(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")},
    }


def _compare(out: Path) -> None:
    """Say how far the judges of a folder agree, where there are two or more."""
    made = {path.parent: records.read(path.parent) for path in sorted(out.glob("*/run.json"))}
    folders = {
        f"{record['options']['model']} ({record['counts']['recipe_digest']})": folder
        for folder, record in made.items()
        if record and record["command"] == "judge"
    }
    found = [{"judges": [one, other], **both} for one, other, both in judge_agreement.of_folders(folders)]
    if not found:
        return
    storage.write_json(out / "agreement.json", found)
    for entry in found:
        click.echo(
            f"{' and '.join(entry['judges'])}: weighted kappa {entry['kappa']}, the same score for {entry['same']:.0%},"
            f" at most one apart for {entry['at_most_one_apart']:.0%} of {entry['traces']:,} traces",
            err=True,
        )
