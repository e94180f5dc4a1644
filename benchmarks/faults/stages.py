"""The stages that faults are tried on, with their commands on a small demo.

with open_stages(folder) as stages:     # a demo of 60 admissions, and servers on loopback for what needs one
    stages["build"].command(out)        # ['build', '--mimic', …]

Stages that need an engine are among them where it is installed.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.models import list_models
from benchmarks.faults.servers import open_servers
from benchmarks.faults.stage import Stage

ADMISSIONS = 60


@contextmanager
def open_stages(folder: Path) -> Iterator[dict[str, Stage]]:
    """Make the inputs of all stages below a folder, and yield the stages while the sample site runs."""
    from cards.bundle import write_bundle
    from deepicd.demo import list_steps
    from scrapers.sample.site import sample_site

    for step in list_steps(folder, ADMISSIONS, 7, engine="rehearsal", overwrite=False):
        step.run()
    _write_answers(folder / "dataset", folder / "answers.jsonl")
    write_bundle(folder / "dataset", folder / "bundle", notes=False)
    with sample_site() as base_url, open_servers(folder) as with_server:
        stages = [*_list_stages(folder, base_url), *_list_people(folder), *with_server, *list_models(folder)]
        yield {stage.name: stage for stage in stages}


def _list_stages(demo: Path, base_url: str) -> Iterator[Stage]:
    mimic, cohort, traces, dataset = demo / "mimic", demo / "cohort", demo / "traces", demo / "dataset"
    copy = ["--mimic", mimic, "--notes", mimic]
    pdf, descriptions = demo / "guidelines.pdf", demo / "descriptions" / "descriptions.parquet"
    [year] = (demo / "guidelines").glob("fy*")
    [recipe] = [path.parent for path in traces.glob("*/run.json")]
    notes, codes = mimic / "note" / "discharge.csv.gz", mimic / "hosp" / "diagnoses_icd.csv.gz"
    train, kept = cohort / "train.parquet", recipe / "kept" / "train-00000.parquet"
    knowledge = ["--guidelines", demo / "guidelines", "--descriptions", descriptions]
    answers, dataset_rows = demo / "answers.jsonl", dataset / "grpo" / "test-00000-of-00001.parquet"
    bundle, traces_rows = demo / "bundle", dataset / "traces" / "train-00000-of-00001.parquet"

    def evaluate(out: Path) -> list[object]:
        return ["evaluate", "--predictions", answers, "--dataset", dataset, "--out", out]

    def scrape(out: Path) -> list[object]:
        return ["scrape", out, "--codes", demo / "codes.txt", "--base-url", base_url]

    def distill(out: Path) -> list[object]:
        return ["distill", cohort, out, *knowledge, "--recipe", "rehearsal"]

    sources = [train, cohort / "run.json", year / "chapter_09.json", year / "sections.parquet", descriptions]
    yield Stage("synthesize", lambda out: ["synthesize", out, "--admissions", ADMISSIONS, "--seed", 7], [])
    yield Stage("guidelines", lambda out: ["guidelines", pdf, out], [pdf], unverified=[pdf])
    yield Stage("scrape", scrape, [demo / "codes.txt"], unverified=[demo / "codes.txt"])
    yield Stage("build", lambda out: ["build", *copy, out], [notes, codes])
    yield Stage("audit", lambda out: ["audit", *copy, out], [notes])
    yield Stage("distill", distill, sources)
    yield Stage("judge", lambda out: ["judge", traces, out, "--recipe", "judge-rehearsal"], [kept, recipe / "run.json"])
    yield Stage("verify", lambda out: ["verify", traces, out, "--recipe", "rules"], [kept])
    yield Stage("assemble", lambda out: ["assemble", "--cohort", cohort, "--traces", traces, out], [train, kept])
    yield Stage("evaluate", evaluate, [answers, dataset_rows], unverified=[answers])
    yield Stage("card", lambda out: ["card", out], [], before=lambda out: _copy_bare(dataset, out))
    yield Stage("bundle", lambda out: ["bundle", dataset, out, "--without-notes"], [traces_rows])
    yield Stage("rehydrate", lambda out: ["rehydrate", bundle, out, *copy], [bundle / "bundle.json", notes])


def _list_people(demo: Path) -> Iterator[Stage]:
    """Yield what people look at and rate: the static pages of `view`, and a review."""
    from cards.reading_room.review.assignment import read_review

    [kept] = (demo / "traces").glob("*/kept/train-00000.parquet")
    ratings = demo / "ratings.json"
    answers = {"premature_closure": "no", "severity_missed": "no", "hallucination": "no"}
    answers |= {"linkage": "4", "concision": "5", "overall": "4"}
    responses = {name: [{"user_id": "ana", "value": value}] for name, value in answers.items()}
    ratings.write_text(json.dumps([{"id": f"item-{number}-0", "responses": responses} for number in range(4)]))
    start = ["review", "start", demo / "traces"]
    drawn = ["--reviewers", "ana,ben", "--rows", 8, "--overlap", 4]

    def draw(out: Path) -> None:
        from click.testing import CliRunner

        from cards.reading_room.commands import review

        done = CliRunner().invoke(review, [*map(str, [*start[1:], out, *drawn])])
        if done.exit_code:
            raise RuntimeError(f"No review could be drawn: {done.output}")

    def read_answers(out: Path) -> dict[str, str]:
        from cards.reading_room.review.ratings import read_known_ratings

        known = read_known_ratings(out, read_review(out)[0]) if out.is_dir() else []
        return {f"{rating.reviewer} {rating.item}": repr(sorted(rating.answers.items())) for rating in known}

    yield Stage("report", lambda out: ["report", demo, out, "--rows", 20], [kept])
    yield Stage("review start", lambda out: [*start, out, *drawn], [kept])
    yield Stage(
        "review import",
        lambda out: ["review", "import", out, ratings, "--format", "argilla"],
        [ratings],
        unverified=[ratings],
        before=draw,
        read=read_answers,
    )


def _copy_bare(dataset: Path, out: Path) -> None:
    """Copy a dataset as it was before its card."""
    shutil.copytree(dataset, out, ignore=shutil.ignore_patterns("card", "README.md"))


def _write_answers(dataset: Path, path: Path) -> None:
    """Write predictions for the test split, right ones and wrong ones."""
    import pyarrow.parquet as pq

    rows = [
        row for file in sorted((dataset / "traces").glob("test-*.parquet")) for row in pq.read_table(file).to_pylist()
    ]
    lines = [
        {"note_id": row["note_id"], "icd_code": row["icd_code"], "code": row["icd_code"] if number % 2 else "I10"}
        for number, row in enumerate(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
