"""Baselines without a language model, which learn from the notes of the training split in minutes.

    predict = train_baseline("tfidf", read_notes("out/dataset", "train"))
    predict(["Chief Complaint:\\nChest pain …"])       # [Code('I214')]

majority    always the commonest code of the training split
tfidf       TF-IDF of words and pairs of words; linear classifiers (SVM) choose the chapter, in it the category, in it
            the code, so that thousands of codes take minutes and not days
neighbors   the ten most similar notes (cosine of TF-IDF) vote, each by its similarity
encoder     an encoder of transformers, named with --model, fine-tuned with a head over all codes (baseline_encoder)

They predict codes of the training split only. A split by stays has notes of the same patients on both sides, which
neighbors profits from most.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from train.data import LabelledNote
from train.evaluation.metrics import LEVELS, Indices, get_class

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

Baseline = Literal["majority", "tfidf", "neighbors", "encoder"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
NEIGHBORS = 10
FEATURES = 50_000
VOCABULARY_NOTES = 10_000
"""Notes that words and their frequencies are taken from: all pairs of words of 65,000 notes take 5 GiB."""
BLOCK = 512
"""Notes that are compared with all training notes at once."""

Predict = Callable[[Sequence[str]], list[Code]]


def train_baseline(
    name: Baseline, notes: Sequence[LabelledNote], *, model: str | None = None, seed: int = 42
) -> Predict:
    """Return what predicts a code for each of some notes. Raises DeepicdError."""
    if not notes:
        raise DeepicdError("The training split has no notes.", "A baseline learns from the split 'train' of a dataset.")
    if name == "majority":
        return _train_majority(notes)
    if name == "tfidf":
        return _train_linear(notes, seed)
    if name == "neighbors":
        return _train_neighbors(notes)
    if model is None:
        raise DeepicdError("The baseline encoder needs a model.", "Name one: --model emilyalsentzer/Bio_ClinicalBERT")
    from train.evaluation.baseline_encoder import train_encoder

    return train_encoder(notes, model, seed)


def _train_majority(notes: Sequence[LabelledNote]) -> Predict:
    counts = Counter(note.code for note in notes)
    commonest = min(counts, key=lambda code: (-counts[code], code))
    return lambda texts: [commonest for _ in texts]


def _build_vectorizer(notes: Sequence[LabelledNote], *, pairs: bool) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    few = len(notes) < 100
    return TfidfVectorizer(
        sublinear_tf=True,
        ngram_range=(1, 2) if pairs else (1, 1),
        min_df=1 if few else 2,
        max_df=1.0 if few or pairs else 0.3,
        max_features=FEATURES,
        dtype=np.float32,
    )


def _fit(vectorizer: "TfidfVectorizer", notes: Sequence[LabelledNote]) -> Any:
    step = -(-len(notes) // VOCABULARY_NOTES)  # every so many notes: as seeded as any draw, and without a seed
    try:
        vectorizer.fit([note.note for note in notes[::step]])
    except ValueError as error:  # no words at all
        raise DeepicdError(
            "The notes of the training split have no words to learn from.", "Look at its notes: deepicd view DATASET"
        ) from error
    return vectorizer.transform([note.note for note in notes])


def _train_linear(notes: Sequence[LabelledNote], seed: int) -> Predict:
    vectorizer = _build_vectorizer(notes, pairs=True)
    features = _fit(vectorizer, notes)
    classes = [np.array([get_class(level, note.code) for note in notes]) for level in LEVELS]
    tree = _Branch(features, classes, np.arange(len(notes)), seed)
    return lambda texts: [Code(value) for value in tree.predict(vectorizer.transform(texts))] if len(texts) else []


class _Branch:
    """A classifier over the classes of one level among some notes, and the branches of the next level below each."""

    def __init__(self, features: Any, classes: Sequence[Any], rows: Indices, seed: int) -> None:
        from sklearn.svm import LinearSVC

        here, below = classes[0][rows], classes[1:]
        self.labels: list[str] = np.unique(here).tolist()
        self.model = LinearSVC(random_state=seed).fit(features[rows], here) if len(self.labels) > 1 else None
        self.branches = {
            label: _Branch(features, below, rows[here == label], seed) for label in (self.labels if below else [])
        }

    def predict(self, features: Any) -> list[str]:
        number = features.shape[0]
        labels = self.model.predict(features) if self.model else np.array(self.labels * number)
        predicted: list[str] = labels.tolist()
        for label, branch in self.branches.items():
            rows = np.flatnonzero(labels == label)
            if len(rows):
                for row, code in zip(rows.tolist(), branch.predict(features[rows]), strict=True):
                    predicted[row] = code
        return predicted


def _train_neighbors(notes: Sequence[LabelledNote]) -> Predict:
    vectorizer = _build_vectorizer(notes, pairs=False)
    known = _fit(vectorizer, notes)
    codes, number = [note.code for note in notes], min(NEIGHBORS, len(notes))

    def predict(texts: Sequence[str]) -> list[Code]:
        predicted: list[Code] = []
        for start in range(0, len(texts), BLOCK):
            similarities = (vectorizer.transform(texts[start : start + BLOCK]) @ known.T).toarray()
            for row in similarities:
                nearest = np.argpartition(-row, number - 1)[:number]
                nearest = nearest[np.lexsort((nearest, -row[nearest]))]
                predicted.append(_vote([codes[place] for place in nearest], row[nearest].tolist()))
        return predicted

    return predict


def _vote(codes: Sequence[Code], similarities: Sequence[float]) -> Code:
    """Return the code with the most similarity behind it; among equals that of the nearest note.

    >>> _vote([Code("I10"), Code("I214"), Code("I214")], [0.5, 0.3, 0.3])
    Code(value='I214')
    """
    votes: dict[Hashable, float] = defaultdict(float)
    for code, similarity in zip(codes, similarities, strict=True):
        votes[code] += similarity
    return max(codes, key=lambda code: votes[code])
