"""What is asked in an evaluation, and against which codes: the config `grpo` of a dataset, every row of the cohort.

found = testset("out/dataset", "test")
found.questions          # note_id, true code, and the chat that asks for the answer
found.train              # the codes of the training rows: what is common, what is rare
found.vocabulary         # the codes of all splits
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.schema import DATASET, SPLITS
from deepicd.storage import Origin
from train.data import open_dataset

CONFIG = "grpo"


@dataclass(frozen=True, slots=True)
class Question:
    """One note of the split."""

    note_id: str
    code: Code
    messages: list[dict[str, str]]
    """Empty where they were not asked for."""


@dataclass(frozen=True)
class EvaluationSplit:
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


def load_evaluation_split(place: str, split: str, *, chats: bool = False) -> EvaluationSplit:
    """A split of a dataset folder, or of a repository on the Hub (NAME/REPOSITORY@REVISION). Raises DeepicdError.

    `chats`: whether the questions bring their messages.
    """
    found = open_dataset(place, CONFIG, split)
    files = {name: found.files(name) for name in SPLITS}
    codes = {name: [code for path in of_split for code in _codes(path)] for name, of_split in files.items()}
    asked = (one for path in files[split] for one in _asked(path, chats=chats))
    questions = [Question(note_id, code, chat) for (note_id, chat), code in zip(asked, codes[split], strict=True)]
    if len({one.note_id for one in questions}) < len(questions):
        raise DeepicdError(f"{place} has notes twice in its split {split!r}.", "Assemble the dataset anew.")
    return EvaluationSplit(
        folder=found.folder,
        split=split,
        origin=found.origin,
        questions=sorted(questions, key=lambda one: one.note_id),
        train=codes["train"],
        vocabulary={code for of_split in codes.values() for code in of_split},
    )


def _codes(path: Path) -> list[Code]:
    table = storage.open_parquet(path, DATASET[CONFIG]).read(["reward_model.ground_truth"])
    return [Code.parse(row["ground_truth"]) for row in table["reward_model"].to_pylist()]


def _asked(path: Path, *, chats: bool) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The note_id of each row, and its messages where they are asked for."""
    table = storage.open_parquet(path, DATASET[CONFIG]).read(["extra_info.note_id", *(["prompt"] if chats else [])])
    prompts = table["prompt"].to_pylist() if chats else [[] for _ in range(table.num_rows)]
    yield from zip((row["note_id"] for row in table["extra_info"].to_pylist()), prompts, strict=True)
