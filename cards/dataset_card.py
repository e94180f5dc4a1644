"""README.md of a dataset folder or of a trained model: rendered from run.json and parquet footers, never typed.

OUT/README.md                 what the Hub shows: YAML for its readers, then the card
OUT/card/chapters.png, …      its figures
OUT/card/statistics.json      every count that card and figures show; null for one withheld
OUT/card/run.json
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cards import model_card
from cards.counts import BUCKETS, collect_counts
from cards.dataset_statistics import Bin, Statistics, build_histogram, read_statistics, summarize_lengths
from cards.front_matter import AGREEMENT, LICENCE, LICENCE_LINK, build_front_matter, join_card
from cards.rendering import TEMPLATES, render_template
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS
from deepicd.paper import MIMIC_REASON
from deepicd.schema import DATASET, SPLITS
from deepicd.small_counts import SMALLEST_CELL, Key, PublishedCounts
from deepicd.stage_records import (
    AssembleRecord,
    BuildRecord,
    CardCounts,
    CardRecord,
    DistillRecord,
    JudgeRecord,
    ScrapeRecord,
    TrainingRecord,
)
from deepicd.storage import Origin

README = "README.md"


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """All that a card, a bundle's README and the figures say of a dataset."""

    folder: Path
    record: AssembleRecord
    found: Statistics
    shown: PublishedCounts
    bins: list[Bin]

    @property
    def origin(self) -> Origin:
        return self.record.origin


def write_card(folder: Path, template: Path | None = None) -> CardRecord:
    """Write the card of a dataset folder or of a trained model; its record. Raises DeepicdError for other folders."""
    record = records.read(folder)
    if record is not None and record.command in TrainingRecord.COMMANDS:
        return model_card.write_card(folder, record.parse_as(TrainingRecord, str(folder / records.RECORD)), template)
    record = require_dataset(folder)
    inputs = {"record": folder / records.RECORD, "templates": TEMPLATES} | ({"template": template} if template else {})
    plan = records.plan_run(CardRecord, options={}, inputs=inputs | {config: folder / config for config in DATASET})
    readme = folder / README
    done = records.find_finished(folder / "card", plan)
    if done and readme.is_file() and storage.digest_path(readme) == done.counts.readme_sha256:
        return done
    facts = read_facts(folder, record)
    text = render_template(template or "dataset.md.j2", build_fields(facts))
    data = build_front_matter(folder, build_title(facts.origin), facts.origin, facts.found, facts.shown)
    with records.resumable_folder(folder / "card", plan, facts.origin) as run:
        draw_figures(run.folder, facts)
        storage.write_json(run.folder / "statistics.json", build_statistics(facts))
        storage.write_text(readme, join_card(data, text))
        run.counts = CardCounts(rows=facts.found.rows, readme_sha256=storage.digest_path(readme))
    return run.record


def require_dataset(folder: Path) -> AssembleRecord:
    """The record of a finished dataset that tells of the stages before. Raises DeepicdError."""
    record = records.require(folder, AssembleRecord)
    _check_files(folder, record)
    if lacking := {"build", "distill"} - record.lineage.keys():
        raise DeepicdError(
            f"{folder / records.RECORD} does not tell of the stages before: {', '.join(sorted(lacking))}.",
            "Assemble the dataset again from a cohort and traces of this version.",
        )
    return record


def _check_files(folder: Path, record: records.Record) -> None:
    """Raise unless the folder's parquet files are those that its record tells of."""
    told = {name: entry.sha256 for name, entry in record.outputs.items() if name.endswith(".parquet")}
    there = {
        path.relative_to(folder).as_posix(): storage.digest_path(path)
        for config in DATASET
        for path in (folder / config).glob("*.parquet")
    }
    off = {
        "missing": sorted(told.keys() - there.keys()),
        "not of this dataset": sorted(there.keys() - told.keys()),
        "changed": sorted(name for name in told.keys() & there.keys() if told[name] != there[name]),
    }
    if any(off.values()):
        raise DeepicdError(
            f"The files of {folder} are not those that its {records.RECORD} tells of; "
            + "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in off.items() if names)
            + ".",
            "Assemble it again into a new folder: deepicd assemble --cohort DIR --traces DIR OUT",
        )


def read_facts(folder: Path, record: AssembleRecord) -> DatasetFacts:
    """Count the files of a dataset folder, and withhold what credentialed data must not tell."""
    found = read_statistics(folder)
    free = record.origin != "mimic"
    shown = collect_counts(found, record).published(everything=free)
    told = shown["rows", "traces", "all"] is not None  # the bars add up to it
    return DatasetFacts(
        folder, record, found, shown, build_histogram(found.words, 1 if free else SMALLEST_CELL) if told else []
    )


def build_title(origin: Origin) -> str:
    return "MIMIC-Reason, made-up records" if origin == "synthetic" else "MIMIC-Reason, regenerated"


def build_fields(facts: DatasetFacts) -> dict[str, Any]:
    """What a template of a dataset may name, whoever writes it: of counts of rows those of `shown` alone."""
    record, shown = facts.record, facts.shown
    lineage, free = record.lineage, facts.origin != "mimic"
    told = {
        name: _public_part(lineage[name])
        for name in ("build", "distill", "guidelines", "scrape", "judge")
        if name in lineage
    }
    distill = record.upstream(DistillRecord).counts
    told["distill"]["counts"] = {
        "recipe_digest": distill.recipe_digest,
        "engines": list(distill.engines),
        "grounded": distill.grounded,
    }
    if judged := record.find_upstream(JudgeRecord):
        told["judge"]["counts"] = {"mean": judged.counts.mean}
    return {
        "title": build_title(facts.origin),
        "record": _public_part(record),
        "credentialed": not free,
        "shown": shown,
        "smallest": SMALLEST_CELL,
        "paper": MIMIC_REASON,
        "splits": SPLITS,
        "chapters": CHAPTERS,
        "categories": len({code[:3] for code in facts.found.codes}),
        "chapters_with_rows": len({cell[0] for cell in facts.found.cells}),
        "buckets": [name for name, _ in BUCKETS],
        "words": summarize_lengths(facts.found.words, exact=free),
        "note_words": summarize_lengths(facts.found.note_words, exact=free),
        "build": told["build"],
        "distill": told["distill"],
        "knowledge": {name: told[name] for name in ("guidelines", "scrape") if name in told},
        "judge": told.get("judge"),
        "judges": sum(role.startswith("scores ") for role in lineage.get("assemble", record).inputs),
        "funnel": build_funnel(record.upstream(BuildRecord), shown),
        "reasons": list_rejections(shown),
        "flags": shown.under("flag"),
        "figures": list_figures(facts),
        "licence": LICENCE,
        "licence_link": LICENCE_LINK,
        "agreement": AGREEMENT,
    }


def _public_part(record: records.Record) -> dict[str, Any]:
    """A record without its counts, digests and paths."""
    return {name: getattr(record, name) for name in ("version", "origin", "options", "notes")}


def build_funnel(build: BuildRecord, shown: PublishedCounts) -> list[dict[str, Any]]:
    """The steps of a build with what is left after each and what it lost."""
    return [
        {"step": step.step, "rows": shown["funnel", place], "lost": shown.under("lost", place)}
        for place, step in enumerate(build.counts.funnel.steps)
    ]


def list_rejections(shown: PublishedCounts) -> list[tuple[str, int | None, int | None]]:
    """Reason of a check → rows that ended without a trace for it, attempts that it rejected."""
    rows, attempts = shown.under("reason"), shown.under("attempts")
    return [(reason, rows.get(reason, 0), attempts.get(reason, 0)) for reason in dict.fromkeys([*attempts, *rows])]


def build_statistics(facts: DatasetFacts) -> dict[str, Any]:
    """The counts that the card shows, for programs: 'chapter/9/train' → rows, null where withheld."""
    return {
        "counts": {_join_key(key): value for key, value in facts.shown.counts.items()},
        "trace_lengths": [{"from": b.low, "to": b.high, "open": b.open, "traces": b.count} for b in facts.bins],
    }


def _join_key(key: Key) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def list_figures(facts: DatasetFacts) -> list[str]:
    """The figures that there is something to draw in."""
    scraped = facts.record.find_upstream(ScrapeRecord)
    return [
        "chapters",
        *(["spread"] if any(facts.shown["chapter", chapter.number, "all"] for chapter in CHAPTERS) else []),
        *(["descriptions"] if scraped and scraped.counts.described_by_chapter else []),
        *(["trace_lengths"] if facts.bins else []),
        "funnel",
    ]


def draw_figures(folder: Path, facts: DatasetFacts) -> None:
    from cards import figures

    shown = facts.shown
    chapters = {chapter.number: shown["chapter", chapter.number, "all"] for chapter in CHAPTERS}
    drawn = list_figures(facts)
    figures.draw_chapter_distribution(folder / "chapters.png", chapters, shown["rows", "grpo", "all"])
    if "spread" in drawn:
        figures.draw_chapter_spread(folder / "spread.png", chapters)
    if "descriptions" in drawn:
        scraped = facts.record.upstream(ScrapeRecord).counts
        figures.draw_descriptions(folder / "descriptions.png", scraped.asked_by_chapter, scraped.described_by_chapter)
    if "trace_lengths" in drawn:
        words = facts.found.words
        figures.draw_trace_lengths(folder / "trace_lengths.png", facts.bins, sum(words) / len(words))
    steps = [(step["step"], step["rows"]) for step in build_funnel(facts.record.upstream(BuildRecord), shown)]
    figures.draw_funnel(folder / "funnel.png", [*steps, ("with a kept trace", shown["rows", "traces", "all"])])
    for old in folder.glob("*.png"):
        if old.stem not in drawn:
            old.unlink()
