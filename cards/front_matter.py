"""Build the YAML at the top of a dataset's README.md, which `datasets` loads by and the Hub displays.

Features and row counts come from the parquet footers. If any count has to be withheld, those of all configs are left
out: the loader expects all counts of a config or none.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cards.dataset_statistics import Statistics
from deepicd.schema import SPLITS
from deepicd.small_counts import PublishedCounts
from deepicd.storage import Origin

if TYPE_CHECKING:
    from datasets import DatasetInfo
    from huggingface_hub import CardData, DatasetCardData

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
LICENCE_LINK = "https://physionet.org/about/licenses/physionet-credentialed-health-data-license-150/"
AGREEMENT = "PhysioNet Credentialed Health Data Use Agreement 1.5.0"

TAGS: dict[Origin, str] = {"mimic": "credentialed", "synthetic": "synthetic", "public": "public"}

# The form for access requests on the Hub. The gate itself is a setting of the repository.
GATE: dict[str, Any] = {
    "viewer": False,
    "extra_gated_heading": "For holders of a PhysioNet credential only",
    "extra_gated_prompt": "These records descend from MIMIC-IV and MIMIC-IV-Note. Applicants must be credentialed by"
    f" PhysioNet and have signed the {AGREEMENT} for both; the maintainer checks this by the user name.",
    "extra_gated_fields": {
        "PhysioNet user name": "text",
        "Affiliation": "text",
        f"I have signed the {AGREEMENT} for MIMIC-IV and for MIMIC-IV-Note": "checkbox",
        "I will not pass these records on, send them to an online service or try to identify anybody": "checkbox",
    },
    "extra_gated_button_content": "Request access",
}


def build_front_matter(
    folder: Path, title: str, origin: Origin, statistics: Statistics, shown: PublishedCounts
) -> "DatasetCardData":
    """Return the YAML of a dataset's card."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=title,
        language=["en"],
        **build_license_fields(origin),
        task_categories=["text-generation", "text-classification"],
        size_categories=[next((name for most, name in SIZES if statistics.samples < most), "1M<n<10M")],
        tags=["medical", "clinical", "icd-10-cm", "reasoning", "mimic-iv", TAGS[origin]],
        **(GATE if origin == "mimic" else {}),
    )
    exact = all(shown["rows", config, split] is not None for config in ("traces", "grpo") for split in SPLITS)
    infos = DatasetInfosDict(
        {config: _build_info(folder, config, statistics, exact=exact) for config in statistics.files}
    )
    infos.to_dataset_card_data(data)
    MetadataConfigs({config: _list_data_files(config, statistics) for config in statistics.files}).to_dataset_card_data(
        data
    )
    return data


def _build_info(folder: Path, config: str, statistics: Statistics, *, exact: bool) -> "DatasetInfo":
    """Return the features of a config, and its row counts and sizes if they may be shown."""
    import datasets
    import pyarrow.parquet as pq

    files = [folder / path for paths in statistics.files[config].values() for path in paths]
    features = datasets.Features.from_arrow_schema(pq.read_schema(files[0]))
    if not exact:
        return datasets.DatasetInfo(features=features)
    splits = datasets.SplitDict()
    for split, paths in statistics.files[config].items():
        footers = [pq.ParquetFile(folder / path).metadata for path in paths]
        size = sum(
            footer.row_group(group).total_byte_size for footer in footers for group in range(footer.num_row_groups)
        )
        splits.add(datasets.SplitInfo(split, num_bytes=size, num_examples=statistics.rows[config][split]))
    return datasets.DatasetInfo(
        features=features,
        splits=splits,
        dataset_size=sum(split.num_bytes for split in splits.values()),
        download_size=sum(path.stat().st_size for path in files),
    )


def _list_data_files(config: str, statistics: Statistics) -> dict[str, object]:
    """Return a config's files by split. `traces` is the default config."""
    files = [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in statistics.files[config]]
    return {"data_files": files, **({"default": True} if config == "traces" else {})}


def build_license_fields(origin: Origin) -> dict[str, Any]:
    """Return the license fields of the Hub's YAML."""
    if origin == "synthetic":
        return {"license": "mit"}
    return {
        "license": "other",
        "license_name": LICENCE.lower().replace(" ", "-"),
        "license_link": LICENCE_LINK,
    }


def join_card(data: "CardData", text: str) -> str:
    """Return README.md: the YAML between its `---` lines, then the text."""
    return f"---\n{data.to_yaml()}\n---\n\n{text}"
