"""The paper's recipe on a small scale: a model of two million parameters, four stages, one table. `make demo-train`

    shipped ──▶ start ──▶ SFT ──▶ SFT + GRPO
                  └─────▶ GRPO only               the last four are evaluated on the same test notes, as in Table 3

The start stands for the paper's instruct model: it has seen some traces, so that it writes the form and knows a little.
With the shipped weights, which copy a given code, GRPO would find nothing to reward. Notes and traces of a made-up
dataset are shortened (chief complaint and the first lines of the illness; a trace's first and last sentence), so that a
CPU needs only minutes. Everything else is what a real run does: the same commands with the recipes tiny-sft and
tiny-grpo, the same rewards, the same evaluation. The figures say that the machinery learns from what a made-up note
holds, and nothing about medicine.
"""

import logging
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from deepicd import paper, records, storage
from deepicd.answer_form import Answer, parse_answer, write_answer
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import METRICS_FILE, LevelMetrics, read_metrics
from deepicd.prompts.student import build_messages
from deepicd.schema import DATASET, SPLITS
from deepicd.stage_records import TrainDemoCounts, TrainDemoRecord
from train.config import load_grpo_recipe, load_sft_recipe
from train.data import open_dataset
from train.evaluation import answers as model_answers
from train.evaluation import run as evaluation
from train.evaluation.inputs import EvaluationSettings
from train.evaluation.metrics import LEVELS
from train.grpo import run as grpo
from train.sft import run as sft

TINY_TEACHER = "deepicd-tiny-teacher"  # a model that comes with the package (entry point deepicd.models)
ANSWER_TOKENS = 128  # at most; an answer with a shortened trace has about eighty
SECTIONS = ("Chief Complaint", "History of Present Illness")
LINES = 3  # per section, at most
START = {"epochs": 2.0, "learning_rate": 3e-3}  # to unlearn what the shipped weights do best, copying a code
SFT = {"learning_rate": 2e-3}
GRPO = {"batch": 16, "mini_batch": 4, "max_response": ANSWER_TOKENS, "warmup_steps": 2}
RATES = {"grpo": 3e-4, "sft-grpo": 1e-4}  # at the higher rate, a model that answers well loses the form
SEED = paper.SEED
IN_FLIGHT = 100  # answers of an evaluation
SENTENCE = re.compile(r"(?<=[.”])\s+(?=[A-Z“])")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the table."""

    name: str
    model: str  # the one to evaluate


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How long the demo trains, and on how many test notes it is evaluated."""

    steps: int
    epochs: float
    limit: int | None
    overwrite: bool


def run_demo(dataset: str, out: Path, settings: DemoSettings, *, seeds: int = 1) -> str:
    """Shorten, train and evaluate everything; return the table. Raises DeepicdError.

    Several seeds: each in OUT/seed-N, with its own table; the table is then that of their means.
    """
    short = str(shorten_dataset(dataset, out / "dataset", overwrite=settings.overwrite))
    if seeds == 1:
        table = _render_table(out, _run_stages(short, out, settings, SEED))
    else:
        folders = [out / f"seed-{SEED + number}" for number in range(seeds)]
        runs = [_run_stages(short, folder, settings, SEED + number) for number, folder in enumerate(folders)]
        for folder, stages in zip(folders, runs, strict=True):
            storage.write_text(folder / "table.md", _render_table(folder, stages) + "\n")
        table = _render_means(folders, runs[0])
    storage.write_text(out / "table.md", table + "\n")
    return table


def _run_stages(short: str, out: Path, settings: DemoSettings, seed: int) -> list[Stage]:
    """Train and evaluate the four stages with one seed."""
    overwrite = settings.overwrite

    def fine_tune(name: str, model: str, fields: Mapping[str, float]) -> str:
        fields = {**fields, "seed": seed}
        _log_command("sft", short, model, fields, out / name)
        sft.train(short, load_sft_recipe(Path("tiny-sft"), model=model, **fields), out / name, overwrite=overwrite)
        return str(out / name / "model")

    def reinforce(name: str, model: str) -> str:
        fields = GRPO | {"learning_rate": RATES[name], "max_steps": settings.steps, "seed": seed}
        _log_command("grpo", short, model, fields, out / name)
        grpo.train(short, load_grpo_recipe(Path("tiny-grpo"), model=model, **fields), out / name, overwrite=overwrite)
        return str(out / name / "model")

    start = fine_tune("start", TINY_TEACHER, START)
    tuned = fine_tune("sft", start, SFT | {"epochs": settings.epochs})
    stages = [
        Stage("start", start),
        Stage("GRPO only", reinforce("grpo", start)),
        Stage("SFT", tuned),
        Stage("SFT + GRPO", reinforce("sft-grpo", tuned)),
    ]
    for stage in stages:
        _evaluate(stage, short, _get_evaluation_folder(out, stage), settings.limit, overwrite=overwrite)
    return stages


def _log_command(command: str, dataset: str, model: str, fields: Mapping[str, float], out: Path) -> None:
    settings = [part for field, value in fields.items() for part in ("--set", f"{field}={value:g}")]
    words = ["deepicd", "train", command, "--dataset", dataset, "--recipe", f"tiny-{command}", "--model", model]
    logger.info("$ %s", shlex.join([*words, *settings, str(out)]))


def _get_evaluation_folder(out: Path, stage: Stage) -> Path:
    return out / "evaluation" / stage.name.lower().replace(" + ", "-").replace(" ", "-")


def _evaluate(stage: Stage, dataset: str, out: Path, limit: int | None, *, overwrite: bool) -> None:
    recipe = model_answers.parse_answer_recipe(
        {"engine": "transformers", "model": stage.model, "context": 1024, "max_tokens": ANSWER_TOKENS,
         "dtype": "float32", "in_flight": IN_FLIGHT}
    )  # fmt: skip
    settings = EvaluationSettings(
        out=out, name=stage.name, model=model_answers.EvaluatedModel(recipe), dataset=dataset, split="test", limit=limit
    )
    logger.info("$ deepicd evaluate --model %s --engine transformers … %s", stage.model, out)
    evaluation.evaluate(settings, overwrite=overwrite)


def _render_table(out: Path, stages: Sequence[Stage]) -> str:
    """Return a small Table 3: macro F1 with its interval, and the accuracy at chapter level."""
    lines = ["| stage | chapter | category | full code | accuracy, chapter |", "|---|---|---|---|---|"]
    for stage in stages:
        metrics = read_metrics(_get_evaluation_folder(out, stage) / METRICS_FILE)
        cells = [_render_cell(level) for level in (metrics.chapter, metrics.category, metrics.full)]
        accuracy = f"{100 * metrics.chapter.accuracy:.1f}"
        lines.append(f"| {stage.name} | {' | '.join(cells)} | {accuracy} |")
    return "\n".join(["Macro F1 in %, with 95 % intervals, on made-up notes:", "", *lines])


def _render_means(folders: Sequence[Path], stages: Sequence[Stage]) -> str:
    """Return the table of several seeds: the mean of macro F1 and its lowest and highest value."""
    lines = ["| stage | chapter | category | full code |", "|---|---|---|---|"]
    for stage in stages:
        runs = [read_metrics(_get_evaluation_folder(folder, stage) / METRICS_FILE) for folder in folders]
        cells = []
        for level in LEVELS:
            values = [100 * run.get_level(level).macro_f1 for run in runs]
            cells.append(f"{fmean(values):.1f} ({min(values):.1f}–{max(values):.1f})")
        lines.append(f"| {stage.name} | {' | '.join(cells)} |")
    title = f"Macro F1 in %, mean (lowest–highest) of {len(folders)} seeds, on the same made-up notes:"
    return "\n".join([title, "", *lines])


def _render_cell(level: LevelMetrics) -> str:
    interval = level.interval["macro_f1"]
    text = f"{100 * level.macro_f1:.1f}"
    return f"{text} ({100 * interval[0]:.1f}–{100 * interval[1]:.1f})" if interval else text


def shorten_dataset(source: str, out: Path, *, overwrite: bool) -> Path:
    """Write a dataset of shorter notes and traces, made-up ones only. Raises DeepicdError for credentialed rows."""
    datasets = {config: open_dataset(source, config) for config in ("sft", "grpo")}
    if any(dataset.origin == "mimic" for dataset in datasets.values()):
        raise DeepicdError(f"{source} holds credentialed records.", "The demo needs made-up ones: deepicd demo OUT")
    inputs = {name: dataset.config_folder for name, dataset in datasets.items()}
    plan = records.plan_run(TrainDemoRecord, options={"lines": LINES}, inputs=inputs)
    if records.find_finished(out, plan):
        return out
    with records.open_fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
        counts: dict[str, dict[str, int]] = {config: {} for config in datasets}
        for config, dataset in datasets.items():
            for split in SPLITS:
                rows = list(_shorten_rows(config, dataset.read_rows(split)))
                path = run.folder / config / f"{split}-00000-of-00001.parquet"
                counts[config][split] = storage.write_parquet(path, rows, DATASET[config], "synthetic")
        run.counts = TrainDemoCounts(rows=counts)
    return out


def _shorten_rows(config: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        prompt = build_messages(shorten_note(row["prompt"][-1]["content"]))
        if config == "grpo":
            yield row | {"prompt": prompt}
            continue
        answer = parse_answer(row["completion"][0]["content"])
        if isinstance(answer, Answer):
            text = write_answer(shorten_trace(answer.trace), answer.code)
            yield row | {"prompt": prompt, "completion": [{"role": "assistant", "content": text}]}


def shorten_note(note: str) -> str:
    """Return the first lines of the sections about the reason for admission; without these, the start of the note.

    >>> shorten_note("Sex:\\nF\\n\\nChief Complaint:\\nCough\\n\\nAllergies:\\nlatex")
    'Chief Complaint:\\nCough'
    """
    sections = [section.split("\n") for section in note.split("\n\n")]
    kept = [lines[: LINES + 1] for lines in sections if lines[0].removesuffix(":") in SECTIONS]
    return "\n\n".join("\n".join(lines) for lines in kept) or note[:200]


def shorten_trace(trace: str) -> str:
    """Return the first and the last sentence.

    >>> shorten_trace("The complaint is “cough”. I read on. It fits pneumonia best.")
    'The complaint is “cough”. It fits pneumonia best.'
    """
    sentences = SENTENCE.split(" ".join(trace.split()))
    return " ".join([sentences[0], sentences[-1]] if len(sentences) > 1 else sentences)
