"""The dataset to train on or to be measured by: a folder of `deepicd assemble`, or a repository on the Hub with one.

    found = corpus("out/demo/dataset", "sft")       # or "NAME/REPOSITORY@revision"
    found.rows("train")                             # datasets.Dataset with the config's columns
    corpus("out/demo/dataset", "grpo", split="test")    # must have this split

A repository is fetched as files into the Hub client's cache and then read as a folder, so that a row's origin, which
stands in the files' footers, is known either way.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import DATASET, SPLITS
from deepicd.storage import Origin


@dataclass(frozen=True)
class DatasetConfig:
    """One config of a dataset folder."""

    folder: Path
    config: str
    origin: Origin

    @property
    def part(self) -> Path:
        """The config's files: what a run has read."""
        return self.folder / self.config

    def files(self, split: str) -> list[Path]:
        return sorted(self.part.glob(f"{split}-*.parquet"))

    def rows(self, split: str) -> Any:
        """The split's rows in their order; none where the dataset has no such split. Raises DeepicdError."""
        import pyarrow as pa
        from datasets import Dataset

        schema = DATASET[self.config]
        tables = [storage.read_table(path, schema) for path in self.files(split)]
        return Dataset(pa.concat_tables(tables) if tables else schema.empty_table())


def open_dataset(place: str, config: str, split: str = "train") -> DatasetConfig:
    """The config of a dataset in a folder, or of a repository on the Hub, which has a split. Raises DeepicdError."""
    folder = Path(place) if Path(place).is_dir() else _fetched(place, config)
    found = DatasetConfig(folder, config, "public")
    files = [path for name in SPLITS for path in found.files(name)]
    if not files:
        there = [name for name in DATASET if (folder / name).is_dir()]
        raise DeepicdError(
            f"{place} has no config {config!r}. It has {', '.join(there) or 'none of the configs of a dataset'}.",
            "Point --dataset at a folder made by `deepicd assemble`, or at a repository that holds one.",
        )
    if split not in SPLITS or not found.files(split):
        there = [name for name in SPLITS if found.files(name)]
        raise DeepicdError(
            f"{place} has no split {split!r} in its config {config!r}.", f"Its splits are: {', '.join(there)}."
        )
    for path in files:
        storage.open_parquet(path, DATASET[config]).close()
    return DatasetConfig(folder, config, storage.combine_origins(storage.read_origin(path) for path in files))


def _fetched(place: str, config: str) -> Path:
    """A repository's files of one config, in the Hub client's cache. Raises DeepicdError."""
    name, _, revision = place.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DeepicdError(
            f"There is no dataset folder {place}.",
            "Make one with `deepicd assemble`, or name a repository on the Hub: NAME/REPOSITORY@REVISION",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name,
            repo_type="dataset",
            revision=revision or None,
            allow_patterns=[f"{config}/*.parquet", records.RECORD],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise DeepicdError(
            f"There is no folder {place}, and no repository {name!r}{f' at {revision}' if revision else ''} could be"
            f" fetched ({type(error).__name__}).",
            "Check the name and the network; log in for a private repository: hf auth login",
        ) from error
    return Path(folder)
