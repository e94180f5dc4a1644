"""The YAML that opens a dataset's README.md: what `datasets` loads by, and what the Hub shows and asks.

Features and row counts come from the parquet footers. Where a count has to be withheld, the counts of all configs are
left out, since the loader wants all or none of a config; it then checks none.
"""

from pathlib import Path
from typing import Any

from cards.dataset_statistics import Statistics
from deepicd.schema import SPLITS
from deepicd.small_counts import PublishedCounts
from deepicd.storage import Origin

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
LICENCE_LINK = "https://physionet.org/about/licenses/physionet-credentialed-health-data-license-150/"
AGREEMENT = "PhysioNet Credentialed Health Data Use Agreement 1.5.0"

TAGS: dict[Origin, str] = {"mimic": "credentialed", "synthetic": "synthetic", "public": "public"}

# What the Hub shows and asks of who wants access. It dresses the form only: gating is a setting of the repository.
GATE: dict[str, Any] = {
    "viewer": False,
    "extra_gated_heading": "For holders of a PhysioNet credential only",
    "extra_gated_prompt": "These records descend from MIMIC-IV and MIMIC-IV-Note. Who asks for access has been"
    f" credentialed by PhysioNet and has signed the {AGREEMENT} for both; the maintainer looks it up by the user name.",
    "extra_gated_fields": {
        "PhysioNet user name": "text",
        "Affiliation": "text",
        f"I have signed the {AGREEMENT} for MIMIC-IV and for MIMIC-IV-Note": "checkbox",
        "I will not pass these records on, nor send them to an online service, nor try to identify anybody": "checkbox",
    },
    "extra_gated_button_content": "Ask for access",
}


def build_front_matter(folder: Path, title: str, origin: Origin, found: Statistics, shown: PublishedCounts) -> str:
    """The YAML between the `---` lines."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    samples = found.samples
    data = DatasetCardData(
        pretty_name=title,
        language=["en"],
        **license_fields(origin),
        task_categories=["text-generation", "text-classification"],
        size_categories=[next((name for most, name in SIZES if samples < most), "1M<n<10M")],
        tags=["medical", "clinical", "icd-10-cm", "reasoning", "mimic-iv", TAGS[origin]],
        **(GATE if origin == "mimic" else {}),
    )
    exact = all(shown["rows", config, split] is not None for config in ("traces", "grpo") for split in SPLITS)
    infos = DatasetInfosDict({config: _build_info(folder, config, found, exact) for config in found.files})
    infos.to_dataset_card_data(data)
    MetadataConfigs({config: _list_data_files(config, found) for config in found.files}).to_dataset_card_data(data)
    return f"{data.to_yaml()}\n"


def _build_info(folder: Path, config: str, found: Statistics, exact: bool) -> Any:
    """Features, and where they may be told rows and sizes, of one config."""
    import datasets
    import pyarrow.parquet as pq

    every = [folder / path for paths in found.files[config].values() for path in paths]
    features = datasets.Features.from_arrow_schema(pq.read_schema(every[0]))
    if not exact:
        return datasets.DatasetInfo(features=features)
    splits = datasets.SplitDict()
    for split, paths in found.files[config].items():
        footers = [pq.ParquetFile(folder / path).metadata for path in paths]
        size = sum(
            footer.row_group(group).total_byte_size for footer in footers for group in range(footer.num_row_groups)
        )
        splits.add(datasets.SplitInfo(split, num_bytes=size, num_examples=found.rows[config][split]))
    return datasets.DatasetInfo(
        features=features,
        splits=splits,
        dataset_size=sum(split.num_bytes for split in splits.values()),
        download_size=sum(path.stat().st_size for path in every),
    )


def _list_data_files(config: str, found: Statistics) -> dict[str, Any]:
    """A config's files by split. `traces` is what loads without a name."""
    files = [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in found.files[config]]
    return {"data_files": files, **({"default": True} if config == "traces" else {})}


def license_fields(origin: Origin) -> dict[str, Any]:
    """The terms that the rows are under, as the Hub's YAML names them."""
    if origin == "synthetic":
        return {"license": "mit"}
    return {
        "license": "other",
        "license_name": LICENCE.lower().replace(" ", "-"),
        "license_link": LICENCE_LINK,
    }
