"""Write README.md of a dataset folder or a trained model, rendered from run.json and parquet footers.

OUT/README.md                 what the Hub shows: YAML for programs, then the card
OUT/card/chapters.png, …      its figures
OUT/card/statistics.json      every count that card and figures show; null where withheld
OUT/card/run.json
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cards import model_card
from cards.counts import BUCKETS, MEAN_SCORE, ChapterRow, collect_counts, list_chapter_rows
from cards.dataset_statistics import Bin, Statistics, build_histogram, read_statistics, summarize_lengths
from cards.front_matter import AGREEMENT, LICENCE, LICENCE_LINK, build_front_matter, join_card
from cards.further_configs import BUCKETS as OTHER_BUCKETS
from cards.rendering import TEMPLATES, render_template
from cards.verification import list_kinds, list_lifts, list_selection, summarize_verification
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.paper import MIMIC_REASON
from deepicd.schema import CONFIGS, SPLITS
from deepicd.small_counts import SMALLEST_CELL, Key, PublishedCounts, has_count
from deepicd.stage_records import (
    AssembleRecord,
    BuildRecord,
    CardCounts,
    CardRecord,
    DistillRecord,
    GuidelinesRecord,
    JudgeRecord,
    ScrapeRecord,
    TrainingRecord,
)
from deepicd.storage import Origin

README = "README.md"
SAMPLES = 2  # rows that the card of made-up records shows


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """Everything that a card, a bundle's README and the figures say about a dataset."""

    folder: Path
    record: AssembleRecord
    statistics: Statistics
    chapter_rows: list[ChapterRow]
    shown: PublishedCounts
    bins: list[Bin]

    @property
    def origin(self) -> Origin:
        """Return the origin of the rows."""
        return self.record.origin

    @property
    def title(self) -> str:
        """Return the heading of the card."""
        return "MIMIC-Reason, made-up records" if self.origin == "synthetic" else "MIMIC-Reason, regenerated"


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """A step of a build, as the card shows it; None where a count is withheld."""

    step: str
    rows: int | None
    """Left after the step."""
    lost: dict[str, int | None]
    """Reason → rows."""


def write_card(folder: Path, *, template: Path | None = None) -> CardRecord:
    """Write the card of a dataset folder or a trained model; return its record. Raises DeepicdError for others."""
    record = records.read(folder)
    if record is not None and record.command in TrainingRecord.COMMANDS:
        training = record.parse_as(TrainingRecord, str(folder / records.RECORD))
        return model_card.write_card(folder, training, template=template)
    record = require_dataset(folder)
    inputs = {"record": folder / records.RECORD, "templates": TEMPLATES} | ({"template": template} if template else {})
    configs = {config: folder / config for config in CONFIGS if (folder / config).is_dir()}
    plan = records.plan_run(CardRecord, options={}, inputs=inputs | configs)
    readme = folder / README
    done = records.find_finished(folder / "card", plan)
    if done and readme.is_file() and storage.digest_path(readme) == done.counts.readme_sha256:
        return done
    facts = read_facts(folder, record)
    text = render_template(template or "dataset.md.j2", build_fields(facts))
    data = build_front_matter(folder, facts.title, facts.origin, facts.statistics, facts.shown)
    with records.open_resumable_folder(folder / "card", plan, facts.origin) as run:
        draw_figures(run.folder, facts)
        storage.write_json(run.folder / "statistics.json", build_statistics(facts))
        storage.write_text(readme, join_card(data, text))
        run.counts = CardCounts(rows=facts.statistics.rows, readme_sha256=storage.digest_path(readme))
    return run.record


def require_dataset(folder: Path) -> AssembleRecord:
    """Return the record of a finished dataset with the stages before it.

    Raises DeepicdError for other folders, and unless the parquet files are those of the record, byte for byte.
    """
    record = records.require(folder, AssembleRecord)
    _require_recorded_files(folder, record)
    if missing := {"build", "distill"} - record.lineage.keys():
        raise DeepicdError(
            f"{folder / records.RECORD} has no record of the stages before: {', '.join(sorted(missing))}.",
            "Assemble the dataset again from a cohort and traces of this version.",
        )
    return record


def _require_recorded_files(folder: Path, record: AssembleRecord) -> None:
    """Raise unless the files of the folder's configs are those of its record."""
    if changes := records.compare_files(folder, record.outputs, content=True, closed=CONFIGS):
        raise DeepicdError(
            f"The files of {folder} are not those of its {records.RECORD}; {changes}.",
            "Assemble the dataset again: deepicd assemble --cohort DIR --traces DIR OUT --overwrite",
        )


def read_facts(folder: Path, record: AssembleRecord) -> DatasetFacts:
    """Count the rows of a dataset folder, and withhold what must not be revealed about credentialed data."""
    statistics = read_statistics(folder)
    is_free = record.origin != "mimic"
    chapter_rows = list_chapter_rows(statistics, merge=not is_free)
    shown = collect_counts(statistics, record, chapter_rows).select_published(everything=is_free)
    bins = build_histogram(statistics.words, 1 if is_free else SMALLEST_CELL)
    if shown["rows", "traces", "all"] is None:
        bins = []  # they would add up to it
    return DatasetFacts(
        folder=folder, record=record, statistics=statistics, chapter_rows=chapter_rows, shown=shown, bins=bins
    )


def build_fields(facts: DatasetFacts) -> dict[str, Any]:
    """Return the fields for templates, ours or a user's. `shown` has the only exact counts of rows."""
    record, shown, statistics, is_free = facts.record, facts.shown, facts.statistics, facts.origin != "mimic"
    lineage = record.lineage
    stages = {
        name: _select_public(lineage[name])
        for name in ("build", "distill", "guidelines", "scrape", "judge")
        if name in lineage
    }
    distill = record.require_upstream(DistillRecord).counts
    stages["distill"]["counts"] = {
        "recipe_digest": distill.recipe_digest,
        "engines": list(distill.engines),
        "grounded": distill.grounded,
    }
    if guidelines := record.find_upstream(GuidelinesRecord):
        stages["guidelines"]["counts"] = {"audited_words": guidelines.counts.audited_words}
    if judge := record.find_upstream(JudgeRecord):
        stages["judge"]["counts"] = {"mean": None if shown.counts.get(MEAN_SCORE) is None else judge.counts.mean}
    return {
        "title": facts.title,
        "record": _select_public(record),
        "credentialed": not is_free,
        "shown": shown,
        "smallest": SMALLEST_CELL,
        "paper": MIMIC_REASON,
        "splits": SPLITS,
        "chapters": facts.chapter_rows,
        "categories": len({code[:3] for code in statistics.codes}),
        "chapters_with_rows": len({cell[0] for cell in statistics.cells}),
        "buckets": [name for name, _ in BUCKETS],
        "words": summarize_lengths(statistics.words, exact=is_free),
        "note_words": summarize_lengths(statistics.note_words, exact=is_free),
        "build": stages["build"],
        "distill": stages["distill"],
        "knowledge": {name: stages[name] for name in ("guidelines", "scrape") if name in stages},
        "judge": stages.get("judge"),
        "verification": summarize_verification(record, statistics.verified, shown, facts.chapter_rows, is_free=is_free),
        "configs": list(statistics.files),
        "others": [name for name, _ in OTHER_BUCKETS],
        "judges": sum(role.startswith("scores ") for role in lineage.get("assemble", record).inputs),
        "funnel": build_funnel(record.require_upstream(BuildRecord), shown),
        "reasons": list_rejections(shown),
        "flags": shown.select("flag"),
        "figures": list_figures(facts),
        "samples": [] if facts.origin != "synthetic" else read_samples(facts),
        "licence": LICENCE,
        "licence_link": LICENCE_LINK,
        "agreement": AGREEMENT,
    }


def read_samples(facts: DatasetFacts) -> list[dict[str, str]]:
    """Return the first rows of `traces`, of made-up records alone."""
    paths = next(iter(facts.statistics.files["traces"].values()), [])
    columns = ["icd_code", "icd_title", "admission_note", "trace"]
    for path in paths[:1]:
        file = storage.open_parquet(facts.folder / path, CONFIGS["traces"])
        for batch in file.iter_batches(batch_size=SAMPLES, columns=columns):
            rows: list[dict[str, str]] = batch.to_pylist()
            return rows
    return []


def _select_public(record: records.Record) -> dict[str, object]:
    """Return a record without its counts, digests and paths; of credentialed rows, without notes that count some."""
    notes = [note for note in record.notes if record.origin != "mimic" or not has_count(note)]
    return {name: getattr(record, name) for name in ("version", "origin", "options")} | {"notes": notes}


def build_funnel(build: BuildRecord, shown: PublishedCounts) -> list[FunnelRow]:
    """Return the steps of a build with the rows left after each and the rows lost."""
    return [
        FunnelRow(step.step, shown["funnel", place], shown.select("lost", place))
        for place, step in enumerate(build.counts.funnel.steps)
    ]


def list_rejections(shown: PublishedCounts) -> list[tuple[str, int | None, int | None]]:
    """Return for each reason the rows that ended without a trace, and the attempts that were rejected."""
    rows, attempts = shown.select("reason"), shown.select("attempts")
    return [(reason, rows.get(reason, 0), attempts.get(reason, 0)) for reason in dict.fromkeys([*attempts, *rows])]


def build_statistics(facts: DatasetFacts) -> dict[str, object]:
    """Return the counts that the card shows, for programs: 'chapter/9/train' → rows, null where withheld."""
    return {
        "counts": {_join_key(key): value for key, value in facts.shown.counts.items() if key != MEAN_SCORE},
        "trace_lengths": [{"from": b.low, "to": b.high, "open": b.open, "traces": b.count} for b in facts.bins],
    }


def _join_key(key: Key) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def list_figures(facts: DatasetFacts) -> list[str]:
    """Return the names of the figures for which there is data."""
    scrape, verified = facts.record.find_upstream(ScrapeRecord), facts.statistics.verified
    return [
        "chapters",
        *(["spread"] if any(facts.shown["chapter", row.key, "all"] for row in facts.chapter_rows) else []),
        *(["descriptions"] if scrape and scrape.counts.described_by_chapter else []),
        *(["trace_lengths"] if facts.bins else []),
        "codes",
        *(verified.figures if verified else []),
        "funnel",
    ]


def draw_figures(folder: Path, facts: DatasetFacts) -> None:
    """Draw the figures of the card, and remove those of an earlier one."""
    from cards import figures, verification_figures

    shown = facts.shown
    chapters = [(row.roman, row.title, shown["chapter", row.key, "all"]) for row in facts.chapter_rows]
    names = list_figures(facts)
    figures.draw_chapter_distribution(folder / "chapters.png", chapters, shown["rows", "grpo", "all"])
    if "spread" in names:
        figures.draw_chapter_spread(folder / "spread.png", chapters)
    if "descriptions" in names:
        scrape = facts.record.require_upstream(ScrapeRecord).counts
        figures.draw_descriptions(folder / "descriptions.png", scrape.asked_by_chapter, scrape.described_by_chapter)
    if "trace_lengths" in names:
        words = facts.statistics.words
        figures.draw_trace_lengths(folder / "trace_lengths.png", facts.bins, sum(words) / len(words))
    figures.draw_code_frequency(folder / "codes.png", [(name, shown["codes", name]) for name, _ in BUCKETS])
    if verified := facts.statistics.verified:
        lifts = list_lifts(verified, shown, facts.chapter_rows, is_free=facts.origin != "mimic")
        verification_figures.draw(folder, verified.figures, list_kinds(verified, shown), lifts, list_selection(shown))
    build = build_funnel(facts.record.require_upstream(BuildRecord), shown)
    lost = {reason: rows for reason, rows, _ in list_rejections(shown) if rows != 0}
    steps = [(row.step, row.rows, row.lost) for row in build]
    figures.draw_funnel(folder / "funnel.png", [*steps, ("with a kept trace", shown["rows", "traces", "all"], lost)])
    for old in folder.glob("*.png"):
        if old.stem not in names:
            old.unlink()
