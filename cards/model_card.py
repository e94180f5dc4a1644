"""README.md of a trained model: from the run.json that `deepicd train` left, and metrics.json where there is one.

RUN/README.md                 YAML for the Hub, then the card
RUN/card/…                    its figures and record

What a record does not tell is left out. Of a model trained on credentialed rows the card gives round numbers of rows
alone: exact ones would have to agree with what the dataset's card withholds. It has no path of this machine.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cards.front_matter import AGREEMENT, LICENCE, LICENCE_LINK, build_license_fields, join_card
from cards.rendering import TEMPLATES, render_template
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.paper import get_f1
from deepicd.small_counts import is_small
from deepicd.stage_records import CardCounts, CardRecord, TrainingRecord
from deepicd.storage import Origin

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

COMMANDS = {"train sft": "supervised fine-tuning", "train grpo": "reinforcement learning (GRPO)"}
LEVELS = {"chapter": "chapter", "category": "category (three characters)", "full": "full code"}
METRICS = ("macro_precision", "macro_recall", "macro_f1", "accuracy")
METRICS_FILE = "metrics.json"
TINY = 100_000_000  # parameters below which a model is for trying the pipeline
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Of a recipe what says nothing about the model, or where on this machine something is.
PRIVATE_OPTIONS = {"name", "model", "revision", "judge_url", "judge_guidelines", "judge_descriptions"}
# Of a run's counts what tells of no rows.
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


def write_card(run: Path, record: TrainingRecord, template: Path | None = None) -> CardRecord:
    """Write the card of a training's folder; the card's record."""
    measured = find_metrics(run)
    inputs = {"record": run / records.RECORD, "templates": TEMPLATES} | ({"template": template} if template else {})
    plan = records.plan_run(CardRecord, options={}, inputs=inputs | ({"metrics": measured[0]} if measured else {}))
    readme = run / "README.md"
    done = records.find_finished(run / "card", plan)
    if done and readme.is_file() and storage.digest_path(readme) == done.counts.readme_sha256:
        return done
    told = build_fields(run, record, measured[1] if measured else None, careful=resolve_origin(run, record) == "mimic")
    text = render_template(template or "model.md.j2", told)
    with records.resumable_folder(run / "card", plan, resolve_origin(run, record)) as made:
        _draw_figures(made.folder, told)
        storage.write_text(readme, join_card(build_front_matter(told), text))
        made.counts = CardCounts(readme_sha256=storage.digest_path(readme))
    return made.record


def find_metrics(run: Path) -> tuple[Path, dict[str, Any]] | None:
    """What an evaluation has found, from RUN/metrics.json or the only one in a folder of RUN; None for none."""
    own = run / METRICS_FILE
    found = [own] if own.is_file() else sorted(run.glob(f"*/{METRICS_FILE}"))
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(run)) for path in found)
        raise DeepicdError(f"{run} holds several evaluations: {names}.", f"Copy the one to show to {own}.")
    value = storage.read_json(found[0])
    if not isinstance(value, dict) or not isinstance(value.get("chapter"), dict):
        raise DeepicdError(f"{found[0]} is no evaluation.", "Make it with: deepicd evaluate")
    return found[0], value


def resolve_origin(run: Path, record: records.Record) -> Origin:
    """That of all that was trained on, and of the evaluation that the card shows."""
    measured, read = find_metrics(run), records.inherit_origin(record.origin, record.lineage)
    return storage.combine_origins([read, resolve_evaluation_origin(*measured)]) if measured else read


def resolve_evaluation_origin(path: Path, measured: Mapping[str, Any]) -> Origin:
    """The origin of the notes of an evaluation; where nothing tells, that of credentialed ones."""
    record = records.read(path.parent)
    beside = record.origin if record and record.command == "evaluate" else "mimic"
    told: Origin = measured.get("origin", beside)
    return told


def suppress_accuracies(measured: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation of credentialed notes without the accuracies that would tell of one to nine of them (None)."""
    found = dict(measured)
    for level in LEVELS:
        if level in found and found[level].get("accuracy") is not None:
            rows = found.get("rows", 0)
            right = round(found[level]["accuracy"] * rows)
            if not rows or is_small(right) or is_small(rows - right):
                found[level] = found[level] | {"accuracy": None}
    return found


def build_fields(
    run: Path, record: TrainingRecord, measured: dict[str, Any] | None, *, careful: bool = True
) -> dict[str, Any]:
    """What the template of a model may name. `careful`: whether training or evaluation read credentialed notes."""
    measured = suppress_accuracies(measured) if measured and careful else measured
    options, lineage = record.options, record.lineage
    read = records.inherit_origin(record.origin, lineage)
    credentialed = read == "mimic"
    size = count_parameters(run / "model") or count_parameters(run)
    base = str(options.get("model", ""))
    return {
        "title": f"{options.get('name', run.name)}: {COMMANDS[record.command]} for ICD-10-CM diagnosis prediction",
        "record": {name: getattr(record, name) for name in ("version", "options", "notes")},
        "name": options.get("name", run.name),
        "origin": read,
        "credentialed": credentialed,
        "careful": careful,
        "how": COMMANDS[record.command],
        "stage": record.command,
        "base": _strip_folders(base),
        "base_on_hub": base if HUB_NAME.fullmatch(base) and not Path(base).exists() else None,
        "before": [command for command in COMMANDS if command in lineage and command != record.command],
        "recipe": {name: _strip_folders(value) for name, value in options.items() if name not in PRIVATE_OPTIONS},
        "judged": bool(options.get("judge_url")) and options.get("judge_weight") != 0,
        "rows": {split: _round_rows(rows, credentialed) for split, rows in record.counts.rows.items()},
        "counts": {name: value for name, value in record.counts.dump().items() if name in PUBLIC_COUNTS},
        "parameters": size,
        "tiny": size is not None and size < TINY,
        "dataset": "assemble" in lineage,
        "build": {"options": lineage["build"].options} if "build" in lineage else None,
        "distill": {"options": lineage["distill"].options} if "distill" in lineage else None,
        "levels": LEVELS,
        "metrics": METRICS,
        "measured": measured,
        "chapters": [c for c in (measured or {}).get("chapters", []) if c.get("f1") is not None],
        "paper": PAPER,
        "figures": _list_figures(record, measured),
        "licence": LICENCE,
        "licence_link": LICENCE_LINK,
        "agreement": AGREEMENT,
    }


def build_front_matter(told: Mapping[str, Any]) -> "ModelCardData":
    """Return the YAML of a model's card, with the metrics as the Hub's leaderboards read them."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-classification",
            task_name="first ICD-10-CM diagnosis",
            dataset_type="mimic-reason",
            dataset_name="MIMIC-Reason" if told["careful"] else "MIMIC-Reason, made-up records",
            dataset_split="test",
            metric_type=metric,
            metric_name=f"{metric.replace('_', ' ')}, {name}",
            metric_value=round(told["measured"][level][metric], 4),
        )
        for level, name in LEVELS.items()
        for metric in METRICS
        if told["measured"] and told["measured"].get(level, {}).get(metric) is not None
    ]
    return ModelCardData(
        language=["en"],
        **(
            {} if told["base_on_hub"] and not told["credentialed"] else build_license_fields(told["origin"])
        ),  # else the base's own
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=told["base_on_hub"],
        tags=["medical", "icd-10-cm", "reasoning", *told["stage"].split()[1:], told["origin"]],
        **({"model_name": told["name"], "eval_results": results} if results else {}),
    )


def count_parameters(folder: Path) -> int | None:
    """How many numbers the weights of a folder hold, from the headers of its safetensors files; None without any."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        except (ValueError, OverflowError, MemoryError) as error:  # its first bytes say how long the header is
            raise DeepicdError(f"{path} is no file of weights, or only part of one.", "Train again.") from error
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for length in tensor["shape"]:
                    size *= length
                total += size
    return total or None


def _round_rows(rows: int, credentialed: bool) -> str:
    """
    >>> _round_rows(65228, True), _round_rows(42, True), _round_rows(42, False)
    ('about 65,200', 'fewer than 100', '42')
    """
    if not credentialed:
        return f"{rows:,}"
    return f"about {rows // 100 * 100:,}" if rows >= 100 else "fewer than 100"


def _strip_folders(value: Any) -> Any:
    """A value as a card may have it: of a path the last part alone."""
    if isinstance(value, str) and "/" in value and not (HUB_NAME.fullmatch(value) and not Path(value).exists()):
        return Path(value).name
    return value


def _list_figures(record: TrainingRecord, measured: Mapping[str, Any] | None) -> list[str]:
    """The figures that there is something to draw in."""
    drawn = ["losses"] if len(record.counts.losses) > 1 else []
    if sum(chapter.get("f1") is not None for chapter in (measured or {}).get("chapters", [])) > 1:
        drawn.append("f1")
    return drawn


def _draw_figures(folder: Path, told: Mapping[str, Any]) -> None:
    from cards import figures

    if "losses" in told["figures"]:
        losses = told["counts"]["losses"]
        figures.draw_losses(folder / "losses.png", [(one["step"], one["loss"]) for one in losses])
    if "f1" in told["figures"]:
        figures.draw_chapter_f1(folder / "f1.png", told["chapters"], samples=not told["careful"])
