"""The dataset to train on: a folder of `deepicd assemble`, or a repository on the Hub that holds one.

    found = corpus("out/demo/dataset", "sft")       # or "NAME/REPOSITORY@revision"
    found.rows("train")                             # datasets.Dataset with the config's columns

A repository is fetched as files into the Hub client's cache and then read as a folder, so that a row's origin, which
stands in the files' footers, is known either way.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.schema import DATASET, SPLITS
from deepicd.store import Origin


@dataclass(frozen=True)
class Corpus:
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
        tables = [store.read_table(path, schema) for path in self.files(split)]
        return Dataset(pa.concat_tables(tables) if tables else schema.empty_table())


def corpus(place: str, config: str) -> Corpus:
    """The config of a dataset in a folder, or of a repository on the Hub. Raises DeepicdError."""
    folder = Path(place) if Path(place).is_dir() else _fetched(place, config)
    if not any((folder / config).glob("train-*.parquet")):
        there = [name for name in DATASET if (folder / name).is_dir()]
        holds = f"It has {', '.join(there)}." if there else "It has none of the configs of a dataset."
        raise DeepicdError(
            f"{place} has no config {config!r} with a split 'train'. {holds}",
            "Point --dataset at a folder made by `deepicd assemble`, or at a repository that holds one.",
        )
    found = Corpus(folder, config, "public")
    files = [path for split in SPLITS for path in found.files(split)]
    for path in files:
        store.parquet_file(path, DATASET[config]).close()
    return Corpus(folder, config, store.combined(store.origin_of(path) for path in files))


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
            allow_patterns=[f"{config}/*.parquet", runs.RECORD],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise DeepicdError(
            f"There is no folder {place}, and no repository {name!r}{f' at {revision}' if revision else ''} could be"
            f" fetched ({type(error).__name__}).",
            "Check the name and the network; log in for a private repository: hf auth login",
        ) from error
    return Path(folder)
