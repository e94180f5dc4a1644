"""The paper's recipe in small: a model of two million parameters, four stages, one table. `make demo-train`

    shipped ──▶ start ──▶ SFT ──▶ SFT + GRPO
                  └─────▶ GRPO only               the last four evaluated on the same test notes, as Table 3 does

The start stands for the instruct model of the paper: it has seen some traces, so that it writes the form and knows a
little. From the shipped weights, which copy a given code, GRPO would find nothing to reward. Notes and traces of a
made-up dataset are shortened (chief complaint and the first lines of the illness; a trace's first and last sentence),
so that a CPU gets through in minutes. All else is what a real run does: the same commands with the recipes tiny-sft and
tiny-grpo, the same rewards, the same evaluation. The figures say that the machinery learns from what a made-up note
holds, and nothing about medicine.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from deepicd import records, storage
from deepicd.answer_form import Answer, build_messages, parse_answer, write_answer
from deepicd.errors import DeepicdError
from deepicd.schema import DATASET, SPLITS
from deepicd.stage_records import TrainDemoCounts, TrainDemoRecord
from train import recipe
from train.data import open_dataset
from train.evaluation import answers as model_answers
from train.evaluation import run as evaluation
from train.grpo import run as grpo
from train.sft import run as sft

TINY_TEACHER = "deepicd-tiny-teacher"  # a model that comes with the package (entry point deepicd.models)
ANSWER = 128  # tokens of an answer at most; a shortened trace has some eighty
SECTIONS = ("Chief Complaint", "History of Present Illness")
LINES = 3  # of a section, at most
START = {"epochs": 2.0, "learning_rate": 3e-3}  # what shipped weights do best, copying a code, must be unlearned
SFT = {"learning_rate": 2e-3}
GRPO = {"batch": 16, "mini_batch": 4, "max_response": ANSWER, "warmup_steps": 2}
RATES = {"grpo": 3e-4, "sft-grpo": 1e-4}  # what answers well already loses its form at the higher one
AT_ONCE = 100  # answers of an evaluation
SENTENCE = re.compile(r"(?<=[.”])\s+(?=[A-Z“])")


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the table."""

    name: str
    model: str  # what is evaluated


def run_demo(dataset: str, out: Path, *, steps: int, epochs: float, limit: int | None, overwrite: bool) -> str:
    """Shorten, train and evaluate everything; the table and, below it, what it was made with. Raises DeepicdError."""
    short = str(shorten_dataset(dataset, out / "dataset", overwrite=overwrite))

    def fitted(name: str, model: str, fields: Mapping[str, Any]) -> str:
        _say("sft", short, "tiny-sft", model, fields, out / name)
        chosen = recipe.load_sft_recipe(Path("tiny-sft"), model=model, **fields)
        sft.train(short, chosen, out / name, overwrite=overwrite)
        return str(out / name / "model")

    def rewarded(name: str, model: str) -> str:
        fields = GRPO | {"learning_rate": RATES[name], "max_steps": steps}
        _say("grpo", short, "tiny-grpo", model, fields, out / name)
        chosen = recipe.load_grpo_recipe(Path("tiny-grpo"), model=model, **fields)
        grpo.train(short, chosen, out / name, overwrite=overwrite)
        return str(out / name / "model")

    start = fitted("start", TINY_TEACHER, START)
    tuned = fitted("sft", start, SFT | {"epochs": epochs})
    stages = [
        Stage("start", start),
        Stage("GRPO only", rewarded("grpo", start)),
        Stage("SFT", tuned),
        Stage("SFT + GRPO", rewarded("sft-grpo", tuned)),
    ]
    for stage in stages:
        _evaluated(stage, short, _place(out, stage), limit, overwrite=overwrite)
    printed = _table(out, stages)
    storage.write_text(out / "table.md", printed + "\n")
    return printed


def _say(what: str, dataset: str, name: str, model: str, fields: Mapping[str, Any], out: Path) -> None:
    chosen = [part for field, value in fields.items() for part in ("--set", f"{field}={value:g}")]
    words = ["deepicd", "train", what, "--dataset", dataset, "--recipe", name, "--model", model, *chosen, str(out)]
    click.secho(f"$ {shlex.join(words)}", bold=True, err=True)


def _place(out: Path, stage: Stage) -> Path:
    return out / "evaluation" / stage.name.lower().replace(" + ", "-").replace(" ", "-")


def _evaluated(stage: Stage, dataset: str, place: Path, limit: int | None, *, overwrite: bool) -> None:
    answers = model_answers.parse_answer_recipe(
        {"engine": "transformers", "model": stage.model, "context": 1024, "max_tokens": ANSWER, "dtype": "float32",
         "in_flight": AT_ONCE}
    )  # fmt: skip
    what = evaluation.Evaluation(
        out=place,
        name=stage.name,
        asked=model_answers.EvaluatedModel(answers),
        dataset=dataset,
        split="test",
        limit=limit,
    )
    click.secho(f"$ deepicd evaluate --model {stage.model} --engine transformers … {place}", bold=True, err=True)
    evaluation.evaluate(what, overwrite=overwrite)


def _table(out: Path, stages: Sequence[Stage]) -> str:
    """Table 3 in small: macro F1 with its interval, and how many answers have the form."""
    lines = ["| stage | chapter | category | full code | accuracy, chapter |", "|---|---|---|---|---|"]
    for stage in stages:
        found = storage.read_json(_place(out, stage) / evaluation.METRICS)
        cells = [_cell(found[level]) for level in ("chapter", "category", "full")]
        accuracy = f"{100 * found['chapter']['accuracy']:.1f}"
        lines.append(f"| {stage.name} | {' | '.join(cells)} | {accuracy} |")
    return "\n".join(["Macro F1 in %, with 95 % bootstrap intervals, on made-up notes:", "", *lines])


def _cell(level: Mapping[str, Any]) -> str:
    between = (level.get("interval") or {}).get("macro_f1")
    text = f"{100 * level['macro_f1']:.1f}"
    return f"{text} ({100 * between[0]:.1f}–{100 * between[1]:.1f})" if between else text


def shorten_dataset(dataset: str, out: Path, *, overwrite: bool) -> Path:
    """A dataset of shorter notes and traces, of made-up rows only. Raises DeepicdError for credentialed ones."""
    parts = {config: open_dataset(dataset, config) for config in ("sft", "grpo")}
    if any(part.origin == "mimic" for part in parts.values()):
        raise DeepicdError(f"{dataset} holds credentialed records.", "The demo is for made-up ones: deepicd demo OUT")
    plan = records.plan_run(
        TrainDemoRecord, options={"lines": LINES}, inputs={name: part.part for name, part in parts.items()}
    )
    if records.find_finished(out, plan):
        return out
    with records.fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
        counted: dict[str, dict[str, int]] = {config: {} for config in parts}
        for config, part in parts.items():
            for split in SPLITS:
                rows = list(_shorter(config, part.rows(split)))
                path = run.folder / config / f"{split}-00000-of-00001.parquet"
                counted[config][split] = storage.write_parquet(path, rows, DATASET[config], "synthetic")
        run.counts = TrainDemoCounts(rows=counted)
    return out


def _shorter(config: str, rows: Any) -> Iterator[dict[str, Any]]:
    for row in rows:
        asked = build_messages(shorten_note(row["prompt"][-1]["content"]))
        if config == "grpo":
            yield row | {"prompt": asked}
            continue
        answer = parse_answer(row["completion"][0]["content"])
        if isinstance(answer, Answer):
            text = write_answer(shorten_trace(answer.trace), answer.code)
            yield row | {"prompt": asked, "completion": [{"role": "assistant", "content": text}]}


def shorten_note(note: str) -> str:
    """The first lines of the sections that say why somebody came; of the whole note where it has neither.

    >>> shorten_note("Sex:\\nF\\n\\nChief Complaint:\\nCough\\n\\nAllergies:\\nlatex")
    'Chief Complaint:\\nCough'
    """
    sections = [section.split("\n") for section in note.split("\n\n")]
    kept = [lines[: LINES + 1] for lines in sections if lines[0].removesuffix(":") in SECTIONS]
    return "\n\n".join("\n".join(lines) for lines in kept) or note[:200]


def shorten_trace(trace: str) -> str:
    """Its first and its last sentence.

    >>> shorten_trace("The complaint is “cough”. I read on. It fits pneumonia best.")
    'The complaint is “cough”. It fits pneumonia best.'
    """
    sentences = SENTENCE.split(" ".join(trace.split()))
    return " ".join([sentences[0], sentences[-1]] if len(sentences) > 1 else sentences)
