"""Everything that deepicd reads from outside, as functions of bytes, each with good inputs to change.

readers = list_readers(demo, scratch)     # `demo`: the output of `deepicd demo`
readers[0].name, readers[0].seeds, readers[0].mutate
readers[0].read(b"…")                     # a value, or one of ERRORS; anything else is a defect
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fuzz.mutations import mutate_json, mutate_parquet
from benchmarks.fuzz.reader import Reader, read_through_file
from benchmarks.fuzz.readers_of_work import list_work
from deepicd import records, storage


def list_readers(demo: Path, scratch: Path) -> list[Reader]:
    """Return all readers. Their inputs are made from the output of a demo; files are written below `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    return [
        *_list_settings(scratch),
        *_list_records(demo, scratch),
        *_list_sources(demo, scratch),
        *_list_tables(demo, scratch),
        *_list_replies(),
        *_list_texts(),
        *list_work(demo, scratch),
    ]


def _list_settings(scratch: Path) -> Iterator[Reader]:
    from builders.cohort.headers import TEMPLATE_FILE, load_template, read_headers
    from deepicd.config import parse_assignments
    from deepicd.parsing import parse_json, parse_yaml
    from distill.recipe import load_recipe
    from train.config import CHECKED_IN, load_grpo_recipe, load_sft_recipe

    def read_recipe(path: Path) -> object:
        recipe = load_recipe(path)
        return recipe.digest, recipe.options

    recipes = [path.read_bytes() for path in sorted(Path("distill/recipes").glob("*.yaml"))]
    sft = [path.read_bytes() for path in sorted(CHECKED_IN.glob("*sft*.yaml"))]
    grpo = [path.read_bytes() for path in sorted(CHECKED_IN.glob("*grpo*.yaml"))]
    yield Reader("YAML", recipes, parse_yaml)
    yield Reader("JSON", [b'{"a": [1, 2.5, null, true, {"b": "c"}]}'], parse_json, mutate_json)
    yield Reader("recipe of distill", recipes, read_through_file(scratch / "recipe.yaml", read_recipe))
    yield Reader("recipe of train sft", sft, read_through_file(scratch / "sft.yaml", load_sft_recipe))
    yield Reader("recipe of train grpo", grpo, read_through_file(scratch / "grpo.yaml", load_grpo_recipe))
    yield Reader(
        "--set",
        [b"temperature=0.7", b"extra_body={a: [1]}"],
        lambda data: parse_assignments([data.decode(errors="replace")]),
    )
    yield Reader(
        "headers.yaml",
        [b"Pertinent Data: Pertinent Results\nHPI: History of Present Illness\n"],
        read_through_file(scratch / "headers.yaml", lambda path: read_headers([], path)),
    )
    yield Reader(
        "template of notes",
        [TEMPLATE_FILE.read_bytes()],
        read_through_file(scratch / "template.yaml", load_template),
        slowness=400,
    )


def _list_records(demo: Path, scratch: Path) -> Iterator[Reader]:
    from deepicd import stage_records, synthetic_proof
    from deepicd.bundle_manifest import read_manifest
    from deepicd.evaluation_metrics import read_metrics
    from deepicd.knowledge.code_knowledge import Knowledge
    from guidelines.parse import read_year

    kinds = {
        command: kind
        for kind in vars(stage_records).values()
        if isinstance(kind, type) and issubclass(kind, records.Record)
        for command in kind.COMMANDS
    }

    def read_record(path: Path) -> object:
        record = records.read(path.parent)
        if record is not None and record.command in kinds:
            record.parse_as(kinds[record.command])
            stage_records.describe_rehearsal(record)
        return records.is_unchanged(path.parent)

    seeds = [path.read_bytes() for path in sorted(demo.rglob("run.json"))]
    yield Reader(
        "run.json", seeds, read_through_file(scratch / "record" / "run.json", read_record), mutate_json, slowness=4
    )
    yield Reader(
        "SYNTHETIC.json",
        [(demo / "mimic" / "SYNTHETIC.json").read_bytes()],
        read_through_file(scratch / "mark" / "SYNTHETIC.json", lambda path: synthetic_proof.read_mark(path.parent)),
        mutate_json,
    )
    yield Reader(
        "bundle.json",
        [b'{"format": 1, "kind": "rows", "files": {"a": {"bytes": 1, "sha256": "x"}}}'],
        read_through_file(scratch / "bundle" / "bundle.json", lambda path: read_manifest(path.parent)),
        mutate_json,
    )
    yield Reader(
        "metrics.json",
        [b'{"rows": 3, "chapter": {"accuracy": 0.5}}'],
        read_through_file(scratch / "metrics.json", read_metrics),
        mutate_json,
    )
    year = next((demo / "guidelines").glob("*/chapter_01.json")).parent
    copy = shutil.copytree(year, scratch / "year", dirs_exist_ok=True)
    chapters = [path.read_bytes() for path in sorted(year.glob("chapter_*.json"))]
    yield Reader(
        "chapter of guidelines",
        chapters,
        read_through_file(scratch / "chapters" / "chapter_01.json", lambda path: Knowledge(path.parent).read()),
        mutate_json,
        slowness=4,
    )
    yield Reader(
        "parsed guidelines",
        [(year / "section_II.json").read_bytes()],
        read_through_file(copy / "section_II.json", lambda path: list(read_year(path.parent).walk())),
        mutate_json,
        slowness=20,
    )


def _list_sources(demo: Path, scratch: Path) -> Iterator[Reader]:
    import gzip
    import sqlite3

    from builders.physionet.releases import read_checksums
    from deepicd.icd10cm import Code
    from deepicd.knowledge.icd10gm import read_gm_list
    from deepicd.mimic.table_rows import read_rows
    from deepicd.mimic.tables import Table
    from guidelines.parse import parse_pdf
    from scrapers.crawl_plan import read_codes, read_dictionary
    from scrapers.decoding import decode_page
    from scrapers.page_store import open_store
    from scrapers.parser import read_page

    def read_table(name: str) -> Callable[[Path], object]:
        return lambda path: [batch.num_rows for batch in read_rows(Table.at(path, name))]

    def read_store(path: Path) -> object:
        for left in path.parent.glob("pages.sqlite-*"):
            left.unlink()
        with open_store(path) as store:
            pages = [(store.get_page(code), store.get_read_page(code)) for code in store.list_codes()]
            return pages, store.list_links(), store.count_failures(), store.is_made_up()

    def parse(path: Path) -> object:
        shutil.rmtree(path.parent / "out", ignore_errors=True)
        return parse_pdf(path, path.parent / "out")

    notes = gzip.decompress((demo / "mimic" / "note" / "discharge.csv.gz").read_bytes())
    notes = notes[: notes.rindex(b'"\n', 0, 40_000) + 2]
    codes = gzip.decompress((demo / "mimic" / "hosp" / "diagnoses_icd.csv.gz").read_bytes())
    codes = b"".join(codes.splitlines(True)[:80])
    header, *lines = gzip.decompress((demo / "mimic" / "hosp" / "d_icd_diagnoses.csv.gz").read_bytes()).splitlines(True)
    titles = b"".join([header, *lines[-50:]])
    yield Reader(
        "codes.txt", [b"I50.21\nA00.- # cholera\n\nE1165\n"], read_through_file(scratch / "codes.txt", read_codes)
    )
    yield Reader(
        "list of GM codes",
        ["4;T;X;01;A00;A00.0;A00.0;A000;Cholera durch …\n".encode() * 5],
        read_through_file(scratch / "gm.txt", read_gm_list),
    )
    yield Reader(
        "SHA256SUMS.txt",
        [b"a" * 64 + b"  hosp/patients.csv.gz\n"],
        read_through_file(scratch / "sums.txt", read_checksums),
    )
    yield Reader(
        "dictionary, CSV",
        [titles],
        read_through_file(scratch / "csv" / "d_icd_diagnoses.csv", lambda path: read_dictionary(path.parent)),
    )
    yield Reader(
        "dictionary, gzip",
        [gzip.compress(titles)],
        read_through_file(scratch / "gz" / "d_icd_diagnoses.csv.gz", lambda path: read_dictionary(path.parent)),
    )
    yield Reader(
        "codes of MIMIC, CSV",
        [codes],
        read_through_file(scratch / "diagnoses_icd.csv", read_table("diagnoses_icd")),
        slowness=4,
    )
    yield Reader(
        "notes of MIMIC, gzip",
        [gzip.compress(notes)],
        read_through_file(scratch / "discharge.csv.gz", read_table("discharge")),
        slowness=4,
    )
    yield Reader(
        "guideline PDF",
        [(demo / "guidelines.pdf").read_bytes()],
        read_through_file(scratch / "pdf" / "guidelines.pdf", parse),
        slowness=20_000,
    )
    [stored] = demo.rglob("pages.sqlite")
    connection = sqlite3.connect(stored)
    connection.execute("pragma wal_checkpoint(truncate)")
    bodies = [row[0] for row in connection.execute("select body from document limit 5")]
    connection.close()
    import zlib

    pages = [zlib.decompress(body) for body in bodies]
    yield Reader(
        "page of the site", pages, lambda data: read_page(decode_page(data, "utf-8"), Code("A000")), slowness=100
    )
    yield Reader("charset of a page", pages, lambda data: decode_page(data, data[-20:].decode("latin-1")))
    yield Reader(
        "store of pages",
        [stored.read_bytes()],
        read_through_file(scratch / "store" / "pages.sqlite", read_store),
        slowness=200,
    )


def _list_tables(demo: Path, scratch: Path) -> Iterator[Reader]:
    from deepicd.engines.ledger import Ledger
    from deepicd.engines.ledger_lines import Session
    from deepicd.knowledge.guideline_sections import read_sections
    from deepicd.knowledge.icd10gm import read_crosswalk
    from deepicd.schema import COHORT, FIRST_TRACES
    from deepicd.text_store import open_text_store
    from train.evaluation.predictions import read_predictions

    def read_answers(path: Path) -> object:
        with open_text_store(scratch) as texts:
            return read_predictions(path, texts)

    def read_ledger(path: Path) -> object:
        keys = [key.hex() for key in Session(path).list_keys()]
        ledger = Ledger(path.parent, "synthetic")
        try:
            return [(ledger.read_completion(key), ledger.read_findings(key)) for key in keys], ledger.read_failures()
        finally:
            ledger.close()

    def read_rows(schema: object) -> Callable[[Path], object]:
        return lambda path: (storage.read_table(path, schema).to_pylist(), storage.read_origin(path))

    lines = [
        b'{"note_id": "1-DS-1", "icd_code": "I5021", "completion": "<think>a</think><diagnosis>I5023</diagnosis>"}\n',
        b'{"note_id": "2-DS-1", "icd_code": "I5021", "code": "I50.23"}\n',
    ]
    yield Reader(
        "predictions, JSON lines",
        [b"".join(lines), lines[1]],
        read_through_file(scratch / "answers.jsonl", read_answers),
    )
    yield Reader(
        "a line of predictions",
        [line.strip() for line in lines],
        read_through_file(scratch / "answer.jsonl", read_answers),
        mutate_json,
    )
    yield Reader(
        "predictions, CSV",
        [b"note_id,icd_code,code\n1,I5021,I5023\n2,I10,\n"],
        read_through_file(scratch / "answers.csv", read_answers),
    )
    segments = [path.read_bytes()[:30_000] for path in sorted((demo / "traces" / "ledger").glob("0*.jsonl"))]
    yield Reader("ledger", segments, read_through_file(scratch / "ledger" / "00000.jsonl", read_ledger), slowness=4)
    yield Reader(
        "JSON lines",
        [b'{"a": 1}\n{"b": 2}\n'],
        read_through_file(scratch / "lines.jsonl", lambda path: list(storage.read_json_lines(path))),
    )
    year = next((demo / "guidelines").glob("*/sections.parquet"))
    traces = next((demo / "traces").glob("*/kept/*.parquet"))
    for name, path, read in (
        ("cohort", demo / "cohort" / "test.parquet", read_rows(COHORT)),
        ("traces", traces, read_rows(FIRST_TRACES)),
        ("descriptions", demo / "descriptions" / "descriptions.parquet", read_crosswalk),
        ("sections of guidelines", year, read_sections),
    ):
        yield Reader(
            name,
            [path.read_bytes()],
            read_through_file(scratch / f"{name}.parquet", read),
            mutate_parquet,
            slowness=100,
        )


def _list_replies() -> Iterator[Reader]:
    from deepicd.engines.replies import check_status, list_models, parse_body, read_answer
    from deepicd.http import parse_retry_after
    from deepicd.knowledge.rubric import parse_score

    reply = (
        b'{"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "<diagnosis>I10</diagnosis>"'
        b', "reasoning": "High."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 3,'
        b' "prompt_tokens_details": {"cached_tokens": 1}}}'
    )
    error = b'{"error": {"code": "context_length_exceeded", "type": "x", "param": "max_tokens", "message": "m"}}'
    url = "http://127.0.0.1"

    def read_reply(data: bytes) -> object:
        answer = read_answer(parse_body(data), url)
        return answer.join("<think>").encode(), answer.join("").encode()

    def read_status(data: bytes) -> object:
        status = (200, 400, 401, 402, 404, 413, 422, 429, 500, 418)[len(data) % 10]
        check_status(status, data, {"Retry-After": data[:30].decode("latin-1")}, url)
        return status

    def read_headers(data: bytes) -> object:
        value = data.decode("latin-1")
        names = ("Retry-After", "retry-after-ms", "RateLimit", "RateLimit-Reset")
        return [parse_retry_after({name: value}) for name in names]

    yield Reader("reply of a server", [reply], read_reply, mutate_json)
    yield Reader("refusal of a server", [error], read_status, mutate_json)
    yield Reader(
        "list of models",
        [b'{"data": [{"id": "m", "max_model_len": 9}]}'],
        lambda data: list_models(parse_body(data), url),
        mutate_json,
    )
    yield Reader("Retry-After", [b"120", b"Fri, 31 Dec 1999 23:59:59 GMT", b'"api";r=0;t=55', b"1.5"], read_headers)
    yield Reader(
        "score of a judge",
        [b'<think>x</think> {"why": "It follows.", "score": 4}'],
        lambda data: parse_score(data.decode(errors="replace")),
    )


def _list_texts() -> Iterator[Reader]:
    from builders.cohort.sections import split_sections
    from deepicd.answer_form import find_diagnosis, list_diagnoses, parse_answer, parse_answers, read_code
    from deepicd.evidence import find_evidence
    from deepicd.icd10cm import Code
    from train.rewards.score import parse_scheme, parse_truths, score

    schemes = [parse_scheme(name) for name in ("default", "paper", "authors")]
    answer = b"<think>BP 95/60, HR 110. She denies fever; aspirin 81 mg.</think><diagnosis>I50.23</diagnosis>"
    note = "Chief Complaint:\nChest pain\n\nHistory of Present Illness:\nBP 95/60, no fever, aspirin 81 mg daily."

    def read_answer(data: bytes) -> object:
        text = data.decode(errors="replace")
        rewards = [score([text], ["I5021"], scheme)[0].total for scheme in schemes]
        several = parse_answers(text), list_diagnoses(text), score([text], ["I5021, E119"], parse_scheme("several"))
        return parse_answer(text), rewards, read_code(find_diagnosis(text) or ""), several

    def read_truth(data: bytes) -> object:
        return parse_truths(data.decode(errors="replace")), Code.find(data.decode(errors="replace"))

    yield Reader("answer of a model", [answer], read_answer, slowness=2)
    yield Reader(
        "evidence of a trace", [answer], lambda data: find_evidence(data.decode(errors="replace"), note), slowness=20
    )
    yield Reader("true codes of a row", [b"I5021", b'["I5021", "J189"]'], read_truth)
    yield Reader("note", [note.encode()], lambda data: split_sections(data.decode(errors="replace")), slowness=4)
