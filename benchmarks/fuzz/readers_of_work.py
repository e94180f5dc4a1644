"""Readers of what people and later stages leave: ledger segments, reviews, prompts, splits, journals, files to go.

list_work(demo, scratch)    # as benchmarks.fuzz.readers.list_readers lists the others
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fuzz.mutations import mutate_json, mutate_parquet
from benchmarks.fuzz.reader import Reader, read_through_file

COUNTS = {"rows/grpo/all": 300, "chapter/9/all": 200, "chapter/other/all": 100}
RUBRIC = Path("clinicians")


def list_work(demo: Path, scratch: Path) -> Iterator[Reader]:
    """Yield the readers. Their inputs are made from the output of a demo; files are written below `scratch`."""
    yield from _list_ledger(demo, scratch / "segment")
    yield from _list_reviews(demo, scratch)
    yield from _list_prompts(scratch / "prompts")
    yield from _list_cohort(demo, scratch / "outcomes")
    yield from _list_journal(scratch / "publications")
    yield from _list_leaving(demo, scratch / "leaving")


def _list_ledger(demo: Path, scratch: Path) -> Iterator[Reader]:
    from deepicd.engines.ledger import Ledger
    from deepicd.engines.ledger_lines import Session
    from deepicd.engines.ledger_segments import Segment, write_sessions

    scratch.mkdir(parents=True, exist_ok=True)
    session = Session(demo / "traces" / "ledger" / "00000.jsonl")
    keys = [key.hex() for key in session.list_keys()]
    path = write_sessions(scratch, [session], "synthetic").path
    whole = path.read_bytes()

    def read(path: Path) -> object:
        rows = list(Segment(path).read_rows())
        ledger = Ledger(path.parent, "synthetic")
        try:
            return rows, [(ledger.read_completion(key), ledger.read_findings(key)) for key in keys]
        finally:
            ledger.close()

    yield Reader("segment of a ledger", [whole], read_through_file(path, read), slowness=20)


def _list_reviews(demo: Path, scratch: Path) -> Iterator[Reader]:
    from cards.reading_room.review import assignment, exchange
    from cards.reading_room.review.ratings import RATINGS, Rating
    from cards.reading_room.review.rubric import RUBRICS, load_rubric
    from cards.reading_room.review.summary import summarize_review

    rubric = load_rubric(RUBRIC)
    draw = assignment.Draw(reviewers=["ana", "ben"], rows=6, overlap=3, pairs=False, seed=1)
    planned, rated, joined = scratch / "review-plan", scratch / "review-ratings", scratch / "review-import"
    for out in (planned, rated, joined):
        assignment.start_review(demo / "traces", out, draw, rubric)
    plan = (planned / assignment.PLAN).read_bytes()
    answers = {question.name: (question.choices or ("A note.",))[0] for question in rubric.questions}
    items = assignment.read_review(planned)[0].items
    lines = [
        Rating(origin="synthetic", reviewer="ana", item=number, trace=0, sha256=item.traces[0].sha256,
               answers=rubric.parse_answers(answers)).model_dump()
        for number, item in enumerate(items)
    ]  # fmt: skip
    responses = {name: [{"user_id": "ana", "value": value}] for name, value in answers.items()}
    results = [{"from_name": name, "value": {"choices": [value]}} for name, value in answers.items()]
    annotation = {"completed_by": {"email": "ana@localhost"}, "result": results}
    argilla = [{"id": f"item-{number}-0", "responses": responses} for number in range(2)]
    tasks = [{"data": {"id": "item-0-0"}, "annotations": [annotation]}]

    def import_as(name: str) -> Callable[[Path], object]:
        return lambda path: exchange.import_ratings(joined, path, name)

    def read_plan(path: Path) -> object:
        return assignment.read_review(path.parent)

    def read_ratings(_: Path) -> object:
        return summarize_review(rated, {}), exchange.export_ratings(
            rated, scratch / "ratings.csv", "csv", lambda _: ("", "")
        )

    yield Reader("plan of a review", [plan], read_through_file(planned / assignment.PLAN, read_plan), mutate_json)
    yield Reader(
        "ratings of a reviewer",
        ["".join(json.dumps(line) + "\n" for line in lines).encode()],
        read_through_file(rated / RATINGS / "ana.jsonl", read_ratings),
        slowness=20,
    )
    yield Reader(
        "a rating",
        [json.dumps(line).encode() for line in lines],
        read_through_file(rated / RATINGS / "ana.jsonl", read_ratings),
        mutate_json,
        slowness=20,
    )
    for name, given in (("argilla", argilla), ("label-studio", tasks)):
        yield Reader(
            f"ratings from {name}",
            [json.dumps(given).encode()],
            read_through_file(scratch / f"{name}.json", import_as(name)),
            mutate_json,
            slowness=4,
        )
    rubrics = [path.read_bytes() for path in sorted(RUBRICS.glob("*.yaml"))]
    yield Reader("rubric", rubrics, read_through_file(scratch / "rubric.yaml", load_rubric))


def _list_prompts(scratch: Path) -> Iterator[Reader]:
    from deepicd.chain import read_settings, write_settings
    from deepicd.knowledge import rubric
    from deepicd.prompts import authors, student, template
    from distill import prompt

    for kind in (prompt.PROMPT, student.PROMPT, rubric.PROMPT):

        def load(path: Path, kind: template.Kind = kind) -> object:
            return template.load_prompt(path, kind)

        seeds = [kind.own.read_bytes().replace(kind.version.encode(), b"ours", 1)]
        path = scratch / f"{kind.who}.yaml"
        yield Reader(f"prompt of the {kind.who}", seeds, read_through_file(path, load), slowness=20)
    turns = b'{"system": "You are a doctor.", "user": "Explain {icd}: $$$NOTE$$$ in {{}}."}'
    rows = b'role,content\nsystem,You are a doctor.\nuser,"Explain {icd}: $$$NOTE$$$"\n'
    for ending, seed in (("json", turns), ("csv", rows)):
        yield Reader(
            f"prompt of the authors, {ending}",
            [seed],
            read_through_file(
                scratch / f"authors.{ending}", lambda path: authors.import_prompt(path, prompt.PROMPT, "theirs")
            ),
            slowness=4,
        )
    settings = write_settings({"mimic": "mimic", "notes": "notes", "recipe": "rehearsal", "out": "out"}).encode()
    yield Reader("deepicd.yaml", [settings], read_through_file(scratch / "deepicd.yaml", read_settings))


def _list_cohort(demo: Path, scratch: Path) -> Iterator[Reader]:
    from builders.cohort.splits import read_split_file
    from deepicd.outcome import FOLDER, read_outcomes

    sealed = (demo / "cohort" / FOLDER / "test.parquet").read_bytes()
    yield Reader(
        "sealed outcome",
        [sealed],
        read_through_file(
            scratch / FOLDER / "test.parquet",
            lambda path: [outcome.reveal() for outcome in read_outcomes(path.parent.parent, "test", reader="verify")],
        ),
        mutate_parquet,
        slowness=100,
    )
    listed = (demo / "cohort" / "splits.csv").read_bytes()
    yield Reader(
        "split of somebody else",
        [listed, b"hadm_id,split\n20000019,val\n20000020,train\n", b"_id,split\n10000019-DS-21,test\n"],
        read_through_file(scratch / "splits.csv", read_split_file),
        slowness=20,
    )


def _list_journal(scratch: Path) -> Iterator[Reader]:
    from cards.hub import policy
    from cards.hub.journal import Journal

    journal = Journal(scratch, "sam/set", "http://127.0.0.1")
    journal.add("created", commit="0" * 40)
    journal.add("committed", commit="1" * 40, readme="2" * 64, protected=False, shown=COUNTS)
    lines = journal.path.read_bytes().splitlines(keepends=True)

    def read(_: Path) -> object:
        return journal.find_last_readme(), journal.list_open_commits()

    def compare(_: Path) -> object:
        return policy.describe_small_differences(scratch, {**COUNTS, "rows/grpo/all": 304})

    yield Reader("journal of a publication", [b"".join(lines)], read_through_file(journal.path, read))
    yield Reader("a line of a journal", lines, read_through_file(journal.path, read), mutate_json)
    yield Reader(
        "an earlier card in a journal", lines[1:], read_through_file(journal.path, compare), mutate_json, slowness=2000
    )


def _list_leaving(demo: Path, scratch: Path) -> Iterator[Reader]:
    from cards.firewall.check import check_files, check_path
    from cards.firewall.content_origin import OutgoingFile

    notes = scratch / "notes"
    notes.mkdir(parents=True)
    (notes / "train.parquet").write_bytes((demo / "cohort" / "train.parquet").read_bytes())
    card = (demo / "dataset" / "README.md").read_bytes()
    picture = min(demo.glob("dataset/card/*.png"), key=lambda path: path.stat().st_size).read_bytes()
    table = b"<table><tr><td>Chest&nbsp;pain</td></tr></table>\ntoken\tB-X\nof\tO\n10,103,827 %20 \\u0041\n"

    def check(path: Path) -> object:
        return check_files([OutgoingFile(path.name, path, None)], notes_from=()).findings

    def compare(path: Path) -> object:
        return check_path(path, notes_from=notes).findings

    for name, seeds, path, slowness in (
        ("text to send", [table, card[:4000]], "a.md", 4),
        ("table to send", [b'id,name\n1,I10\n2,"a, b"\n'], "a.csv", 4),
        ("picture to send", [picture], "a.png", 20),
    ):
        yield Reader(name, seeds, read_through_file(scratch / path, check), slowness=slowness)
    yield Reader(
        "text to send, beside notes", [table, card[:4000]], read_through_file(scratch / "b.html", compare), slowness=400
    )
