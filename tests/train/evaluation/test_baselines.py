"""Baselines without a language model, on notes that tell their code."""

from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import Deepicd
from evaluations import metrics
from small_dataset import small_dataset

from deepicd.icd10cm import Code
from train.data import LabelledNote, read_notes
from train.evaluation.baselines import BASELINES, Baseline, train_baseline


@pytest.fixture(scope="module")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("baselines") / "dataset", rows=120)


def test_the_commonest_code_is_predicted_for_every_note() -> None:
    notes = [
        LabelledNote(str(n), "Cough", Code(code)) for n, code in enumerate(["J189", "I214", "I214", "J189", "I10"])
    ]
    assert train_baseline("majority", notes)(["a", "b"]) == [Code("I214"), Code("I214")]  # of two, the first by name


@pytest.mark.parametrize("name", ["tfidf", "neighbors"])
def test_notes_that_tell_their_code_are_learnt(name: Baseline, dataset_folder: Path) -> None:
    test = read_notes(str(dataset_folder), "test")
    predict = train_baseline(name, read_notes(str(dataset_folder), "train"))
    assert predict([note.note for note in test]) == [note.code for note in test]
    assert predict([]) == []
    assert predict(["xyzzy"])[0] in {note.code for note in test} | {Code("R51")}


def test_classes_of_one_note_and_chapters_of_one_code_are_no_obstacle() -> None:
    codes = ["I214", "I2510", "I2510", "J189", "E1165", "I10", "S72001A"]
    notes = [LabelledNote(str(n), f"word{code} and more", Code(code)) for n, code in enumerate(codes)]
    for name in ("tfidf", "neighbors"):
        predict = train_baseline(name, notes)
        assert predict([note.note for note in notes]) == [note.code for note in notes]
    only = train_baseline("tfidf", notes[:1])
    assert only(["anything", ""]) == [Code("I214"), Code("I214")]


@pytest.mark.parametrize("name", ["majority", "tfidf", "neighbors"])
def test_a_baseline_is_evaluated_and_stands_in_the_table(
    name: str, tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    done = deepicd("evaluate", "--baseline", name, "--dataset", dataset_folder, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert metrics(tmp_path / "out")["rows"] == 8
    assert (metrics(tmp_path / "out")["full"]["accuracy"] == 1.0) == (name != "majority")
    table = deepicd("train", "table", tmp_path / "out").out
    assert f"| {name} | made-up records | 8 |" in table.split("### Baselines without a language model")[1]
    again = deepicd("evaluate", "--baseline", name, "--dataset", dataset_folder, "--out", tmp_path / "again")
    assert again.out == done.out


def test_what_a_baseline_needs_is_said(tmp_path: Path, deepicd: Deepicd, dataset_folder: Path) -> None:
    def fail(*options: Any) -> str:
        done = deepicd("evaluate", *options, "--out", tmp_path / "out")
        assert done.code == 1
        return done.err

    assert "This needs the dataset." in fail("--baseline", "majority")
    assert "only one of them" in fail("--baseline", "majority", "--predictions", "example", "--dataset", dataset_folder)
    assert "needs a model" in fail("--baseline", "encoder", "--dataset", dataset_folder)
    assert "learns from the notes alone" in fail("--baseline", "tfidf", "--model", "m", "--dataset", dataset_folder)
    with pytest.raises(Exception, match="have no words"):
        train_baseline("tfidf", [LabelledNote("a", " ", Code("I10"))])
    assert not (tmp_path / "out").exists()
    assert get_args(Baseline) == BASELINES


@pytest.mark.engines
def test_a_tiny_encoder_is_fine_tuned_and_predicts(tmp_path: Path, deepicd: Deepicd, dataset_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words = sorted({word for note in read_notes(str(dataset_folder), "train") for word in note.note.lower().split()})
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", *(w.strip(":") for w in words)])
    )
    config = transformers.BertConfig(
        vocab_size=len(vocabulary.read_text().split()), hidden_size=64, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=128, max_position_embeddings=64,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path / "encoder")
    transformers.BertTokenizerFast(str(vocabulary)).save_pretrained(tmp_path / "encoder")
    command = ["evaluate", "--baseline", "encoder", "--model", tmp_path / "encoder", "--dataset", dataset_folder]
    done = deepicd(*command, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "Encoder: step 24 of 24, loss" in done.err
    assert metrics(tmp_path / "out")["answers"]["predict_a_code"] == 8
    command[4] = tmp_path / "nowhere"
    assert "could not be loaded as an encoder" in deepicd(*command, "--out", tmp_path / "other").err
