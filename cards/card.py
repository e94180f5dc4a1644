"""README.md of a dataset folder: rendered from its run.json and parquet footers, never typed.

OUT/README.md                 what the Hub shows: YAML for `datasets`, then the card
OUT/card/chapters.png, …      its figures
OUT/card/run.json
"""

from pathlib import Path
from typing import Any

from cards.statistics import PAPER, Statistics, funnel_steps, statistics
from deepicd import runs, store
from deepicd.cells import SMALLEST_CELL, suppressed
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS
from deepicd.schema import DATASET, SPLITS
from deepicd.store import Origin

TEMPLATES = Path(__file__).parent / "templates"
SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]


def write_card(folder: Path) -> runs.Record:
    """Write the card of a dataset folder; its record. Raises DeepicdError where the folder is no finished dataset."""
    record = runs.required(folder, "assemble")
    if lacking := {"build", "distill"} - record["lineage"].keys():
        raise DeepicdError(
            f"{folder / runs.RECORD} does not tell of the stages before: {', '.join(sorted(lacking))}.",
            "Assemble the dataset again from a cohort and traces of this version.",
        )
    origin = record["origin"]
    inputs = {"record": folder / runs.RECORD} | {config: folder / config for config in DATASET}
    plan = runs.plan("card", options={}, inputs=inputs)
    readme = folder / "README.md"
    done = runs.finished(folder / "card", plan)
    if done and readme.is_file() and store.digest(readme) == done["counts"]["readme_sha256"]:
        return done
    found = statistics(folder, origin)
    with runs.kept_folder(folder / "card", plan, origin) as run:
        _draw(run.folder, found, origin)
        store.write_text(readme, render(folder, record, found))
        run.counts |= {"rows": found.rows, "readme_sha256": store.digest(readme)}
    return run.record


def render(folder: Path, record: runs.Record, found: Statistics) -> str:
    """The whole README.md: YAML front matter and the card."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown
    )
    environment.filters["count"] = lambda value: "withheld" if value is None else f"{value:,}"
    lineage, origin = record["lineage"], record["origin"]
    distilled = lineage["distill"]
    body = environment.get_template("dataset.md.j2").render(
        title=title(record),
        record=record,
        found=found,
        paper=PAPER,
        splits=SPLITS,
        chapters=CHAPTERS,
        total=sum(found.rows["grpo"].values()),
        mean_words=sum(found.words) / len(found.words) if found.words else 0,
        build=lineage["build"],
        distill=distilled,
        knowledge={name: lineage[name] for name in ("guidelines", "scrape") if name in lineage},
        judge=lineage.get("judge"),
        judges=sum(role.startswith("scores ") for role in record["inputs"]),
        funnel=funnel_steps(lineage["build"]["counts"]["funnel"]["steps"], origin),
        reasons=_hidden(distilled["counts"]["reasons"], origin),
        undescribed=_hidden({"rows": distilled["counts"]["without_description"]}, origin)["rows"],
        smallest=SMALLEST_CELL,
    )
    return f"---\n{front_matter(folder, record, found)}---\n\n{body}"


def front_matter(folder: Path, record: runs.Record, found: Statistics) -> str:
    """The YAML that `datasets` and the Hub read: configs and their files, features and row counts, licence, tags."""
    import datasets
    import pyarrow.parquet as pq
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    samples = sum(found.rows["grpo"].values())
    data = DatasetCardData(
        pretty_name=title(record),
        language=["en"],
        **licence(record["origin"]),
        task_categories=["text-generation", "text-classification"],
        size_categories=[next((name for most, name in SIZES if samples < most), "1M<n<10M")],
        tags=["medical", "clinical", "icd-10-cm", "reasoning", record["origin"]],
        viewer=False,
    )
    infos, configs = {}, {}
    for config, by_split in found.files.items():
        splits = datasets.SplitDict()
        for split, paths in by_split.items():
            footers = [pq.ParquetFile(folder / path).metadata for path in paths]
            size = sum(
                footer.row_group(group).total_byte_size for footer in footers for group in range(footer.num_row_groups)
            )
            splits.add(datasets.SplitInfo(split, num_bytes=size, num_examples=found.rows[config][split]))
        every = [folder / path for paths in by_split.values() for path in paths]
        infos[config] = datasets.DatasetInfo(
            features=datasets.Features.from_arrow_schema(pq.read_schema(every[0])),
            splits=splits,
            dataset_size=sum(split.num_bytes for split in splits.values()),
            download_size=sum(path.stat().st_size for path in every),
        )
        configs[config] = {
            "data_files": [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in by_split],
            **({"default": True} if config == "traces" else {}),
        }
    DatasetInfosDict(infos).to_dataset_card_data(data)
    MetadataConfigs(configs).to_dataset_card_data(data)
    return f"{data.to_yaml()}\n"


def title(record: runs.Record) -> str:
    return "MIMIC-Reason, made-up records" if record["origin"] == "synthetic" else "MIMIC-Reason, regenerated"


def licence(origin: Origin) -> dict[str, Any]:
    """The terms that the rows are under, as the Hub's YAML names them."""
    if origin == "synthetic":
        return {"license": "mit"}
    return {
        "license": "other",
        "license_name": "physionet-credentialed-health-data-license-1.5.0",
        "license_link": "https://physionet.org/about/licenses/physionet-credentialed-health-data-license-150/",
    }


def _draw(folder: Path, found: Statistics, origin: Origin) -> None:
    from cards import figures

    figures.chapter_distribution(folder / "chapters.png", found.chapters, sum(found.rows["grpo"].values()))
    if found.words:
        smallest = SMALLEST_CELL if origin == "mimic" else 1
        figures.trace_lengths(folder / "trace_lengths.png", found.words, smallest_bin=smallest)


def _hidden(counts: dict[str, int], origin: Origin) -> dict[str, Any]:
    return suppressed(counts) if origin == "mimic" else dict(counts)
