"""Write README.md of a trained model, rendered from the run.json of `deepicd train` and metrics.json if there is one.

RUN/README.md                 YAML for the Hub, then the card
RUN/card/…                    its figures and record

What the record lacks is left out, and so are local paths. For a model trained on credentialed rows the card rounds the
numbers of rows: exact ones would have to be consistent with what the dataset's card withholds.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cards.front_matter import AGREEMENT, LICENCE, LICENCE_LINK, build_license_fields, join_card
from cards.rendering import TEMPLATES, render_template
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import METRICS_FILE, ChapterMetrics, LevelName, Metrics, read_metrics
from deepicd.paper import get_f1
from deepicd.parsing import MAX_BYTES, ParseError, parse_json
from deepicd.small_counts import KNOWN, Counts
from deepicd.stage_records import CardCounts, CardRecord, TrainingRecord
from deepicd.storage import Origin

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

COMMANDS = {"train sft": "supervised fine-tuning", "train grpo": "reinforcement learning (GRPO)"}
LEVELS: dict[LevelName, str] = {"chapter": "chapter", "category": "category (three characters)", "full": "full code"}
DEEPEST_FIRST: tuple[LevelName, ...] = ("full", "category", "chapter")
METRICS = ("macro_precision", "macro_recall", "macro_f1", "accuracy")
TINY = 100_000_000  # parameters below which a model only serves to test the pipeline
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Options that say nothing about the model, or name something on this machine.
PRIVATE_OPTIONS = {"name", "model", "revision", "judge_url", "judge_guidelines", "judge_descriptions"}
# Counts of a run that reveal nothing about rows.
PUBLIC_COUNTS = {
    "steps",
    "skipped_updates",
    "losses",
    "validation_loss",
    "training_seconds",
    "tokens_per_second",
    "device",
    "devices",
}

# Macro F1 at chapter, category and full code.
PAPER = {
    "Qwen2.5-7B": get_f1("Qwen2.5-7B-Instruct", "baseline"),
    "Qwen2.5-7B, SFT": get_f1("Qwen2.5-7B-Instruct", "SFT"),
    "Qwen2.5-7B, GRPO": get_f1("Qwen2.5-7B-Instruct", "GRPO"),
    "Qwen2.5-7B, SFT + GRPO": get_f1("Qwen2.5-7B-Instruct", "SFT + GRPO"),
    "Llama-3.1-8B, SFT + GRPO": get_f1("Llama-3.1-8B-Instruct", "SFT + GRPO"),
}


def write_card(run: Path, record: TrainingRecord, *, template: Path | None) -> CardRecord:
    """Write the card of a training run; return the card's record."""
    evaluation = find_metrics(run)
    inputs = {"record": run / records.RECORD, "templates": TEMPLATES} | ({"template": template} if template else {})
    plan = records.plan_run(CardRecord, options={}, inputs=inputs | ({"metrics": evaluation[0]} if evaluation else {}))
    readme = run / "README.md"
    done = records.find_finished(run / "card", plan)
    if done and readme.is_file() and storage.digest_path(readme) == done.counts.readme_sha256:
        return done
    origin = resolve_origin(run, record)
    fields = build_fields(run, record, evaluation[1] if evaluation else None, careful=origin == "mimic")
    text = render_template(template or "model.md.j2", fields)
    with records.open_resumable_folder(run / "card", plan, origin) as card:
        _draw_figures(card.folder, fields)
        storage.write_text(readme, join_card(build_front_matter(fields), text))
        card.counts = CardCounts(readme_sha256=storage.digest_path(readme))
    return card.record


def find_metrics(run: Path) -> tuple[Path, Metrics] | None:
    """Return path and values of RUN/metrics.json, or of the only one in a folder of RUN; None if there is none."""
    advice = f"Copy the {METRICS_FILE} of the one to show to {run / METRICS_FILE}."
    folder = storage.find_only_folder(run, METRICS_FILE, "evaluations", advice)
    return (folder / METRICS_FILE, read_metrics(folder / METRICS_FILE)) if folder else None


def resolve_origin(run: Path, record: records.Record) -> Origin:
    """Return the combined origin of the training data and of the evaluation that the card shows."""
    origin, evaluation = records.inherit_origin(record.origin, record.lineage), find_metrics(run)
    return storage.combine_origins([origin, resolve_evaluation_origin(*evaluation)]) if evaluation else origin


def resolve_evaluation_origin(path: Path, metrics: Metrics) -> Origin:
    """Return the origin of an evaluation's notes, from its file and from the record beside it if there is one."""
    record = records.read(path.parent)
    recorded: list[Origin] = [record.origin] if record and record.command == "evaluate" else []
    return storage.combine_origins([metrics.origin, *recorded])


def suppress_scores(metrics: Metrics) -> dict[str, object]:
    """Return metrics of credentialed notes, without the scores of levels that would reveal a small group.

    Accuracy times rows is the number of right answers, and the card of the dataset tells the rows. Its groups are the
    answers that are right to the full code, to the category alone, to the chapter alone, and not at all. The means over
    classes go with the accuracy: recall times classes gives it back.
    """
    right = [0, *(round(metrics.get_level(name).accuracy * metrics.rows) for name in DEEPEST_FIRST), metrics.rows]
    counts, groups = Counts(), list[str]()
    for before, reached, name in zip(right, right[1:], [*DEEPEST_FIRST, "none"], strict=False):
        people = metrics.right_patients.get(name, reached - before if metrics.intervals.patients == metrics.rows else 1)
        groups.append(str(counts.add_group(name, max(reached - before, 0))))
        counts.guard([name], people=people)
        counts.show(name, list(groups), cost=1.0 if name != "none" else KNOWN)
    published = counts.select_published(everything=False)
    is_contradictory = right != sorted(right)  # right to the full code, and not to the chapter
    withheld = {name for name in LEVELS if not metrics.rows or is_contradictory or published[name] is None}
    hidden = dict.fromkeys(METRICS) | {"interval": {}}
    return metrics.dump() | {name: metrics.get_level(name).dump() | hidden for name in withheld}


def list_shown_counts(metrics: Metrics, model: str) -> dict[str, int | None]:
    """Return what readers can compute from the card of a model, to be compared with other publications.

    Accuracies are right answers over the rows of the test split. An answer is right to the full code, to the category
    alone, … : each of these groups, and any in a row of them, is a count where its two ends are shown.
    """
    measured = suppress_scores(metrics)
    ends = {"nothing": 0}
    for name in DEEPEST_FIRST:
        level = measured[name]
        if isinstance(level, dict) and level["accuracy"] is not None:
            ends[name] = round(level["accuracy"] * metrics.rows)
    if len(ends) == 1:
        return {}
    ends["all"] = metrics.rows
    answers = {f"answers/{model}/{first}/{last}": ends[last] - ends[first] for first, last in combinations(ends, 2)}
    classes = {f"classes/{name}": metrics.get_level(name).classes for name in LEVELS}
    return {"rows/grpo/test": metrics.rows, **classes, **answers}


def select_chapters(metrics: Metrics, *, careful: bool) -> list[ChapterMetrics]:
    """Return the chapters whose F1 the figure may show: if it lacked one alone, the mean would give that one back."""
    if careful and not _shows_chapters(metrics):
        return []
    chapters = [chapter for chapter in metrics.chapters if chapter.f1 is not None]
    if careful and chapters and metrics.chapter.classes - len(chapters) == 1:
        chapters.remove(min(chapters, key=lambda chapter: chapter.samples or 0))
    return chapters


def _shows_chapters(metrics: Metrics) -> bool:
    level = suppress_scores(metrics)["chapter"]
    return isinstance(level, dict) and level["accuracy"] is not None


def build_fields(run: Path, record: TrainingRecord, metrics: Metrics | None, *, careful: bool) -> dict[str, Any]:
    """Return the fields for a model's template. `careful`: training or evaluation used credentialed notes."""
    measured = (suppress_scores(metrics) if careful else metrics.dump()) if metrics else None
    chapters = select_chapters(metrics, careful=careful) if metrics else []
    options, lineage = record.options, record.lineage
    origin = records.inherit_origin(record.origin, lineage)
    credentialed = origin == "mimic"
    size = count_parameters(run / "model") or count_parameters(run)
    base = str(options.get("model", ""))
    return {
        "title": f"{options.get('name', run.name)}: {COMMANDS[record.command]} for ICD-10-CM diagnosis prediction",
        "record": {name: getattr(record, name) for name in ("version", "options", "notes")},
        "name": options.get("name", run.name),
        "origin": origin,
        "credentialed": credentialed,
        "careful": careful,
        "how": COMMANDS[record.command],
        "stage": record.command,
        "base": _strip_folders(base),
        "base_on_hub": base if HUB_NAME.fullmatch(base) and not Path(base).exists() else None,
        "before": [command for command in COMMANDS if command in lineage and command != record.command],
        "recipe": {name: _strip_folders(value) for name, value in options.items() if name not in PRIVATE_OPTIONS},
        "judged": bool(options.get("judge_url")) and options.get("judge_weight") != 0,
        "rows": {split: _format_rows(rows, credentialed=credentialed) for split, rows in record.counts.rows.items()},
        "counts": {name: value for name, value in record.counts.dump().items() if name in PUBLIC_COUNTS},
        "parameters": size,
        "tiny": size is not None and size < TINY,
        "dataset": "assemble" in lineage,
        "build": {"options": lineage["build"].options} if "build" in lineage else None,
        "distill": {"options": lineage["distill"].options} if "distill" in lineage else None,
        "levels": LEVELS,
        "metrics": METRICS,
        "measured": measured,
        "chapters": chapters,
        "paper": PAPER,
        "figures": _list_figures(record, chapters),
        "licence": LICENCE,
        "licence_link": LICENCE_LINK,
        "agreement": AGREEMENT,
    }


def build_front_matter(fields: Mapping[str, Any]) -> "ModelCardData":
    """Return the YAML of a model's card, with the metrics as the Hub's leaderboards read them."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-classification",
            task_name="first ICD-10-CM diagnosis",
            dataset_type="mimic-reason",
            dataset_name="MIMIC-Reason" if fields["careful"] else "MIMIC-Reason, made-up records",
            dataset_split="test",
            metric_type=metric,
            metric_name=f"{metric.replace('_', ' ')}, {name}",
            metric_value=round(fields["measured"][level][metric], 4),
        )
        for level, name in LEVELS.items()
        for metric in METRICS
        if fields["measured"] and fields["measured"].get(level, {}).get(metric) is not None
    ]
    return ModelCardData(
        language=["en"],
        **(
            {} if fields["base_on_hub"] and not fields["credentialed"] else build_license_fields(fields["origin"])
        ),  # else the base model's own licence applies
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=fields["base_on_hub"],
        tags=["medical", "icd-10-cm", "reasoning", *fields["stage"].split()[1:], fields["origin"]],
        **({"model_name": fields["name"], "eval_results": results} if results else {}),
    )


def count_parameters(folder: Path) -> int | None:
    """Return the number of parameters from the headers of a folder's safetensors files; None if it has none."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")  # of the header
                header = parse_json(file.read(min(length, MAX_BYTES + 1)))
            total += sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
        except (ParseError, AttributeError, KeyError, TypeError) as error:
            raise DeepicdError(f"{path} is not a complete file of weights.", "Train again.") from error
    return total or None


def _format_rows(rows: int, *, credentialed: bool) -> str:
    """Return a number of rows, rounded down to hundreds for credentialed ones.

    >>> [_format_rows(rows, credentialed=True) for rows in (65228, 42)], _format_rows(42, credentialed=False)
    (['about 65,200', 'fewer than 100'], '42')
    """
    if not credentialed:
        return f"{rows:,}"
    return f"about {rows // 100 * 100:,}" if rows >= 100 else "fewer than 100"


def _strip_folders(value: object) -> object:
    """Return a value as a card may show it: paths are reduced to their last part."""
    if isinstance(value, str) and "/" in value and not (HUB_NAME.fullmatch(value) and not Path(value).exists()):
        return Path(value).name
    return value


def _list_figures(record: TrainingRecord, chapters: Sequence[ChapterMetrics]) -> list[str]:
    """Return the names of the figures for which there is data."""
    names = ["losses"] if len(record.counts.losses) > 1 else []
    if len(chapters) > 1:
        names.append("f1")
    return names


def _draw_figures(folder: Path, fields: Mapping[str, Any]) -> None:
    from cards import figures

    if "losses" in fields["figures"]:
        losses = fields["counts"]["losses"]
        figures.draw_losses(folder / "losses.png", [(entry["step"], entry["loss"]) for entry in losses])
    if "f1" in fields["figures"]:
        figures.draw_chapter_f1(folder / "f1.png", fields["chapters"], samples=not fields["careful"])
