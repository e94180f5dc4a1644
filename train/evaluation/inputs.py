"""What an evaluation is asked to do, checked, and what it reads for that."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.evaluation_metrics import METRICS_FILE, Averaging, read_metrics
from deepicd.storage import Origin
from deepicd.text_store import TextStore
from train.data import EVALUATION_CONFIG, EvaluationSplit, load_evaluation_split
from train.evaluation.answers import EvaluatedModel
from train.evaluation.baselines import Baseline
from train.evaluation.predictions import (
    PREDICTIONS_FILE,
    EvaluatedNote,
    Prediction,
    find_predictions,
    match_answers,
    read_predictions,
    read_predictions_origin,
)
from train.evaluation.reading import Reading
from train.evaluation.several import LISTS_FILE
from train.evaluation.subgroups import list_cohort_files
from train.run_folder import read_model_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """What is evaluated, and how."""

    out: Path
    name: str
    predictions: Path | None = None
    model: EvaluatedModel | None = None
    """The model that answers, if there is no file of predictions."""
    baseline: Baseline | None = None
    """Or the baseline that predicts, and the encoder that it fine-tunes."""
    encoder: str | None = None
    dataset: str | None = None
    split: str = "test"
    limit: int | None = None
    config: Literal["multi"] | None = None
    """multi: answers are lists of codes, and are measured as lists too."""
    averaging: Averaging = "truth"
    reading: Reading = "form"
    opening: str = ""
    against: Path | None = None
    subgroups: Path | None = None
    """The cohort whose columns say to which groups a note belongs."""

    @property
    def options(self) -> dict[str, object]:
        """The options of the run's plan."""
        shared = ("name", "split", "limit", "averaging", "reading", "opening")
        options = {name: getattr(self, name) for name in shared} | (self.model.options if self.model else {})
        options |= {"config": self.config} if self.config else {}
        return options | ({"baseline": self.baseline, "encoder": self.encoder} if self.baseline else {})

    def match_answers(self, answers: Iterable[Prediction], split: EvaluationSplit | None) -> list[EvaluatedNote]:
        return match_answers(answers, split, limit=self.limit, reading=self.answer_reading, opening=self.opening)

    @property
    def answer_reading(self) -> Reading:
        """How answers are read: with the config multi, the form is that of a list."""
        return "list" if self.config and self.reading == "form" else self.reading


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an evaluation reads: the split, if a dataset is given, and the predictions of a file."""

    split: EvaluationSplit | None
    predictions: list[Prediction]
    paths: dict[str, Path]
    """Role → file or folder."""
    origin: Origin
    """Of the notes, and of the rows that the model was trained on."""


def check_settings(settings: EvaluationSettings) -> None:
    """Raise DeepicdError for settings that contradict each other or lack something."""
    if [settings.predictions, settings.model, settings.baseline].count(None) != 2:
        raise DeepicdError(
            "An evaluation needs a file of predictions, a model or a baseline, and only one of them.",
            "Give --predictions FILE or --model NAME.",
        )
    needs_dataset = settings.model or settings.baseline or settings.config or settings.averaging == "vocabulary"
    if settings.dataset is None and needs_dataset:
        raise DeepicdError("This needs the dataset.", "Name it: --dataset DIR_OR_REPOSITORY")
    if settings.encoder and settings.baseline != "encoder":
        raise DeepicdError(f"{settings.baseline} learns from the notes alone.", "Leave --model out.")
    if settings.predictions and settings.limit:
        raise DeepicdError(
            "A file of predictions is always evaluated as a whole.", "Leave --limit out, or shorten the file."
        )
    if settings.against and not (settings.against / PREDICTIONS_FILE).is_file():
        raise DeepicdError(
            f"{settings.against} holds no {PREDICTIONS_FILE}.", "Point --against at the OUT of another evaluation."
        )
    if settings.against:
        read_metrics(settings.against / METRICS_FILE)  # fails for one of another version, before anything is generated


def read_inputs(settings: EvaluationSettings, texts: TextStore) -> Inputs:
    """Return what the settings name, with its texts in a store. Raises DeepicdError for absent or wrong files."""
    path = find_predictions(settings.predictions) if settings.predictions else None
    predictions = read_predictions(path, texts) if path else []
    split, paths, origins = None, {}, []
    if path:
        paths["predictions"] = path
    if settings.dataset:
        split = load_evaluation_split(
            settings.dataset,
            settings.split,
            texts if settings.model else None,
            config=settings.config or EVALUATION_CONFIG,
        )
        paths["dataset"] = split.config_folder
        origins.append(split.origin)
    elif path:
        origins.append(read_predictions_origin(path))
    if settings.against:
        paths["against"] = settings.against / PREDICTIONS_FILE
        origins.append(storage.read_origin(paths["against"]))
        if settings.config:
            paths["against_lists"] = settings.against / LISTS_FILE
    if settings.subgroups:
        for file in list_cohort_files(settings.subgroups):
            paths[f"subgroups_{file.stem}"] = file
            origins.append(storage.read_origin(file))
    models = (settings.model.recipe.model if settings.model else None, settings.encoder)
    origins += [read_model_origin(model) for model in models if model]
    return Inputs(split, predictions, paths, storage.combine_origins(origins))
