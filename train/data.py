"""The dataset to train on or to be evaluated on: a folder made by `deepicd assemble`, or a Hub repository with one.

    dataset = open_dataset("out/demo/dataset", "sft")        # or "NAME/REPOSITORY@revision"
    dataset.read_rows("train")                               # datasets.Dataset with the config's columns

    split = load_evaluation_split("out/demo/dataset", "test")
    split.questions          # note_id, true code, and the chat that asks for the answer
    split.train              # the codes of the training rows: which are common, which are rare
    split.vocabulary         # the codes of all splits

A repository is downloaded into the Hub client's cache and then read as a folder. The origin of its rows, which stands
in the files' footers, is therefore known either way.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.parsing import parse_json
from deepicd.schema import CONFIGS, DATASET, SPLITS
from deepicd.stage_records import TokenLengths
from deepicd.storage import Origin
from deepicd.text_store import StoredText, TextStore

if TYPE_CHECKING:
    from datasets import Dataset

EVALUATION_CONFIG = "grpo"  # it has every row of the cohort, with the chat that asks for an answer
MULTI = "multi"  # as above, asking for several diagnoses
BATCH = 1024  # rows in memory at once


@dataclass(frozen=True)
class DatasetConfig:
    """One config of a dataset folder."""

    folder: Path
    config: str
    origin: Origin

    @property
    def config_folder(self) -> Path:
        """The folder of the config's files: what a run has read."""
        return self.folder / self.config

    def list_files(self, split: str) -> list[Path]:
        return sorted(self.config_folder.glob(f"{split}-*.parquet"))

    def read_rows(self, split: str) -> "Dataset":
        """Return the split's rows in their order; none if the dataset lacks the split. Raises DeepicdError."""
        import pyarrow as pa
        from datasets import Dataset

        schema = CONFIGS[self.config]
        tables = [storage.read_table(path, schema) for path in self.list_files(split)]
        return Dataset(pa.concat_tables(tables) if tables else schema.empty_table())


def open_dataset(source: str, config: str, split: str = "train") -> DatasetConfig:
    """Return a config of a dataset, in a folder or on the Hub, that has the split. Raises DeepicdError."""
    folder = Path(source) if Path(source).is_dir() else _download(source, config)
    dataset = DatasetConfig(folder, config, "public")
    files = [path for name in SPLITS for path in dataset.list_files(name)]
    if not files:
        configs = [name for name in CONFIGS if (folder / name).is_dir()]
        raise DeepicdError(
            f"{source} has no config {config!r}. It has {', '.join(configs) or 'none of the configs of a dataset'}.",
            "Point --dataset at a folder made by `deepicd assemble`, or at a repository that holds one.",
        )
    if split not in SPLITS or not dataset.list_files(split):
        splits = [name for name in SPLITS if dataset.list_files(name)]
        raise DeepicdError(
            f"{source} has no split {split!r} in its config {config!r}.", f"Its splits are: {', '.join(splits)}."
        )
    for path in files:
        storage.open_parquet(path, CONFIGS[config]).close()
    return DatasetConfig(folder, config, storage.combine_origins(storage.read_origin(path) for path in files))


def _download(source: str, config: str) -> Path:
    """Download a repository's files of one config into the Hub client's cache. Raises DeepicdError."""
    name, _, revision = source.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DeepicdError(
            f"There is no dataset folder {source}.",
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
            f"There is no folder {source}, and the repository {name!r}{f' at {revision}' if revision else ''} could not"
            f" be downloaded ({type(error).__name__}).",
            "Check the name and the network; log in for a private repository: hf auth login",
        ) from error
    return Path(folder)


@dataclass(frozen=True, slots=True)
class Question:
    """A note of a split to evaluate on."""

    note_id: str
    code: Code
    chat: StoredText | None
    """None unless the split was loaded with its chats."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The chat that asks for the answer."""
        return parse_json(self.chat.read()) if self.chat else []


@dataclass(frozen=True)
class EvaluationSplit:
    """A split to evaluate on, and the codes of the other splits."""

    folder: Path
    split: str
    origin: Origin
    questions: list[Question]
    train: list[Code]
    vocabulary: set[Code]
    config: str = EVALUATION_CONFIG

    @property
    def config_folder(self) -> Path:
        """The folder of the files that were read."""
        return self.folder / self.config


def load_evaluation_split(
    source: str, split: str, chats: TextStore | None = None, *, config: str = EVALUATION_CONFIG
) -> EvaluationSplit:
    """Return a split of a dataset folder or of a repository on the Hub, its notes sorted by id. Raises DeepicdError.

    `chats`: a store for the chats, if a model is to answer. `config`: or multi, whose first codes are the true ones.
    """
    dataset = open_dataset(source, config, split)
    files = {name: dataset.list_files(name) for name in SPLITS}
    codes = {name: [code for path in paths for code in _read_codes(path)] for name, paths in files.items()}
    asked = (each for path in files[split] for each in _read_chats(path, chats))
    questions = [Question(note_id, code, chat) for (note_id, chat), code in zip(asked, codes[split], strict=True)]
    if len({question.note_id for question in questions}) < len(questions):
        raise DeepicdError(f"The split {split!r} of {source} repeats notes.", "Assemble the dataset again.")
    return EvaluationSplit(
        folder=dataset.folder,
        split=split,
        origin=dataset.origin,
        questions=sorted(questions, key=lambda question: question.note_id),
        train=codes["train"],
        vocabulary={code for split_codes in codes.values() for code in split_codes},
        config=config,
    )


def read_true_lists(split: EvaluationSplit) -> dict[str, tuple[Code, ...]]:
    """Return note_id → all true codes of a split of the config multi."""
    lists: dict[str, tuple[Code, ...]] = {}
    for path in sorted(split.config_folder.glob(f"{split.split}-*.parquet")):
        columns = ["note_id", "icd_codes"]
        for batch in storage.open_parquet(path, CONFIGS[MULTI]).iter_batches(BATCH, columns=columns):
            lists |= {row["note_id"]: tuple(map(_parse_code, row["icd_codes"])) for row in batch.to_pylist()}
    return lists


class LabelledNote(NamedTuple):
    """An admission note and its true code."""

    note_id: str
    note: str
    code: Code


def iterate_notes(source: str, split: str) -> Iterator[LabelledNote]:
    """Yield a split's notes with their codes, in the files' order. Raises DeepicdError."""
    dataset = open_dataset(source, EVALUATION_CONFIG, split)
    for path in dataset.list_files(split):
        for row in _iterate_rows(path, ["extra_info.note_id", "extra_info.note", "reward_model.ground_truth"]):
            extra = row["extra_info"]
            yield LabelledNote(extra["note_id"], extra["note"], _parse_code(row["reward_model"]["ground_truth"]))


def read_notes(source: str, split: str) -> list[LabelledNote]:
    """Return a split's notes with their codes, sorted by id. Raises DeepicdError."""
    return sorted(iterate_notes(source, split))


def _iterate_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for batch in storage.open_parquet(path, DATASET[EVALUATION_CONFIG]).iter_batches(BATCH, columns=columns):
        yield from batch.to_pylist()


def _read_codes(path: Path) -> Iterator[Code]:
    for row in _iterate_rows(path, ["reward_model.ground_truth"]):
        yield _parse_code(row["reward_model"]["ground_truth"].partition(",")[0])  # the first of several


_parse_code = cache(Code.parse)  # a million rows have a few thousand codes


def _read_chats(path: Path, chats: TextStore | None) -> Iterator[tuple[str, StoredText | None]]:
    """Yield the note_id of each row, and its chat if there is a store for it."""
    for row in _iterate_rows(path, ["extra_info.note_id", *(["prompt"] if chats else [])]):
        yield row["extra_info"]["note_id"], chats.add(json.dumps(row["prompt"])) if chats else None


class LengthSummary(TokenLengths):
    """How long the rows of a split are in tokens, and how many a limit leaves out.

    >>> print(LengthSummary.from_lengths([812, 2304, 955], limit=2048))
    3 rows, median 955 tokens, 95th percentile 955, longest 2,304; 1 over 2,048 left out (33.3%)
    """

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], limit: int) -> "LengthSummary":
        ordered = sorted(lengths)
        kept = [length for length in ordered if length <= limit]

        def quantile(share: float) -> int:
            return ordered[int(share * (len(ordered) - 1))] if ordered else 0

        return cls(
            rows=len(ordered),
            kept=len(kept),
            over=len(ordered) - len(kept),
            limit=limit,
            median=quantile(0.5),
            ninety_fifth=quantile(0.95),
            longest=quantile(1.0),
            tokens=sum(kept),
        )

    def __str__(self) -> str:
        over = f"{self.over:,} over {self.limit:,} left out ({self.over / self.rows:.1%})" if self.over else ""
        return (
            f"{self.rows:,} rows, median {self.median:,} tokens, 95th percentile {self.ninety_fifth:,},"
            f" longest {self.longest:,}; {over or f'none over {self.limit:,}'}"
        )
