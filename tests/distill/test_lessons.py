"""What the tiny teacher is taught, and what it starts from."""

import random
from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort

from deepicd.icd10cm import Code
from distill.checks import find_reasons, measure
from distill.prompt import Material
from distill.recipe import load_recipe
from distill.tiny_teacher.lessons import scramble, shorten, write_lesson


def materials(folder: Path, rows: int = 20) -> list[Material]:
    return [
        Material(row["admission_note"], Code(row["icd_code"]), row["icd_title"], None, None, with_guidelines=False)
        for row in rows_in(write_cohort(folder / "cohort", rows))
    ]


def test_every_lesson_passes_the_checks_of_the_recipe_that_it_is_for(tmp_path: Path) -> None:
    for number, material in enumerate(materials(tmp_path)):
        found = measure(write_lesson(material, str(number)), "stop", material)
        assert find_reasons(found, load_recipe(Path("tiny"))) == []
        assert found.quotes.total == found.quotes.in_note > 0


def test_a_shortened_note_has_the_sections_that_lessons_quote_and_little_of_them(tmp_path: Path) -> None:
    [material, *_] = materials(tmp_path)
    note = shorten(material, 1).note
    assert "Chief Complaint:\nChest pain" in note and "Sex:" not in note
    assert "HR 110, BP 95/60." in note and "Lungs" not in note


def test_a_scrambled_note_keeps_its_headers_and_none_of_its_sense(tmp_path: Path) -> None:
    [material, *_] = materials(tmp_path)
    note = scramble(material, ["Lime", "yard"], random.Random(1)).note
    assert "History of Present Illness:\n" in note
    assert len(note.split("\n")) == len(material.note.split("\n"))
    assert "pale" not in note and "yard" in note and "Lime" in note


@pytest.mark.engines
def test_a_model_copies_before_it_is_trained() -> None:
    torch = pytest.importorskip("torch")
    from distill.tiny_teacher.initial_model import Shape, add_copying_heads, build_model

    class Ends:
        eos_token_id, pad_token_id = 2, 0

    model = add_copying_heads(build_model(Shape(3000, 4, 192, 3, 384, 2048), Ends, seed=1), [])
    words = torch.randperm(2900, generator=torch.Generator().manual_seed(5))[:500] + 50
    again = words[100:120]
    with torch.no_grad():
        likeliest = model(torch.cat([words, again])[None]).logits[0].argmax(-1)
    right = (likeliest[501:-1] == again[2:]).float().mean()
    assert right > 0.9


@pytest.mark.engines
def test_transformers_reads_a_text_as_the_tokenizer_was_taught_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from distill.tiny_teacher.initial_model import Shape, build_model, train_tokenizer

    texts = [text for one in materials(tmp_path / "made") for text in (one.note, write_lesson(one, "1"))]
    tokenizer = train_tokenizer(texts, 600, 2048)
    build_model(Shape(600, 1, 64, 1, 64, 2048), tokenizer, seed=1).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert loaded.encode(text, add_special_tokens=False) == ids
        assert loaded.decode(ids) == text
