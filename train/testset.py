"""What is asked in an evaluation, and against which codes: the config `grpo` of a dataset, every row of the cohort.

found = testset("out/dataset", "test")
found.questions          # note_id, true code, and the chat that asks for the answer
found.train              # the codes of the training rows: what is common, what is rare
found.vocabulary         # the codes of all splits
"""

from dataclasses import dataclass
from pathlib import Path

from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import DATASET, SPLITS
from deepicd.store import Origin

CONFIG = "grpo"


@dataclass(frozen=True, slots=True)
class Question:
    """One note of the split."""

    note_id: str
    code: Code
    messages: list[dict[str, str]]
    """Empty where they were not asked for."""


@dataclass(frozen=True)
class Testset:
    """A split, with what the others tell of it."""

    folder: Path
    split: str
    origin: Origin
    questions: list[Question]
    train: list[Code]
    vocabulary: set[Code]

    @property
    def part(self) -> Path:
        """What was read."""
        return self.folder / CONFIG


def testset(place: str, split: str, *, chats: bool = False) -> Testset:
    """A split of a dataset folder, or of a repository on the Hub (NAME/REPOSITORY@REVISION). Raises DeepicdError.

    `chats`: whether the questions bring their messages.
    """
    folder, files = _files(place)
    if not files.get(split):
        there = ", ".join(name for name, found in files.items() if found)
        raise DeepicdError(f"{place} has no split {split!r}.", f"Its splits are: {there}.")
    codes = {name: [code for path in found for code in _codes(path)] for name, found in files.items()}
    questions = [one for path in files[split] for one in _questions(path, chats=chats)]
    if len({one.note_id for one in questions}) < len(questions):
        raise DeepicdError(f"{place} has notes twice in its split {split!r}.", "Assemble the dataset anew.")
    return Testset(
        folder=folder,
        split=split,
        origin=store.combined(store.origin_of(path) for found in files.values() for path in found),
        questions=sorted(questions, key=lambda one: one.note_id),
        train=codes["train"],
        vocabulary={code for found in codes.values() for code in found},
    )


def origin(place: str) -> Origin:
    """Where the rows of a dataset come from. Raises DeepicdError."""
    return store.combined(store.origin_of(path) for found in _files(place)[1].values() for path in found)


def _files(place: str) -> tuple[Path, dict[str, list[Path]]]:
    """The dataset's folder, and its files by split. Raises DeepicdError where it has no such config."""
    folder = Path(place) if Path(place).is_dir() else _fetched(place)
    files = {name: sorted((folder / CONFIG).glob(f"{name}-*.parquet")) for name in SPLITS}
    if not any(files.values()):
        there = ", ".join(name for name in DATASET if (folder / name).is_dir())
        raise DeepicdError(
            f"{place} has no config {CONFIG!r}. It has {there or 'none of the configs of a dataset'}.",
            "Point --dataset at a folder made by `deepicd assemble`, or at a repository that holds one.",
        )
    return folder, files


def _codes(path: Path) -> list[Code]:
    table = store.parquet_file(path, DATASET[CONFIG]).read(["reward_model.ground_truth"])
    return [Code.parse(row["ground_truth"]) for row in table["reward_model"].to_pylist()]


def _questions(path: Path, *, chats: bool) -> list[Question]:
    table = store.parquet_file(path, DATASET[CONFIG]).read(["extra_info.note_id", *(["prompt"] if chats else [])])
    prompts = table["prompt"].to_pylist() if chats else [[]] * table.num_rows
    return [
        Question(row["note_id"], code, messages)
        for row, code, messages in zip(table["extra_info"].to_pylist(), _codes(path), prompts, strict=True)
    ]


def _fetched(place: str) -> Path:
    """A repository's files of the config, in the Hub client's cache. Raises DeepicdError."""
    name, _, revision = place.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DeepicdError(
            f"There is no dataset folder {place}.",
            "Make one with `deepicd assemble`, or name a repository on the Hub: NAME/REPOSITORY@REVISION",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        patterns = [f"{CONFIG}/*.parquet", runs.RECORD]
        return Path(snapshot_download(name, repo_type="dataset", revision=revision or None, allow_patterns=patterns))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DeepicdError(
            f"There is no folder {place}, and no repository {name!r} could be fetched ({type(error).__name__}).",
            "Check the name and the network; log in for a private repository: hf auth login",
        ) from error
