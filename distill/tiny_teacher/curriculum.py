"""What the tiny teacher is taught, in tokens and in order: beginnings of notes first, then whole ones.

Made-up notes are of one mould, and a model would rather learn the mould by heart than look at the note. So in some of
the lessons words that make no sense stand in their places (`scrambled`): from those it can only quote by looking.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.schema import COHORT, SPLITS
from distill import prompt
from distill.prompt import Material
from distill.recipe import Layout
from distill.tiny_teacher.lessons import TURNS, lesson
from distill.tiny_teacher.tokenizer import END

LAYOUT: Layout = "prefix"  # the one it is asked in by default; it has seen no other

WORDS = re.compile(r"[A-Za-z]{2,}")
HEADER = re.compile(r"[A-Z][A-Za-z ]+:\Z")
LIKE = 256  # pairs that are put together by length


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing to learn, in tokens: a prompt, and several answers to it, each of which sees the prompt alone."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def length(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


def materials(cohort: Path, descriptions: Path | None, described: float, seed: int) -> list[Material]:
    """Every row of a cohort of made-up records; a share of them with the description of the code, where there is one.

    Raises DeepicdError for credentialed ones.
    """
    knowledge = Knowledge(None, descriptions).read()
    found = []
    for split in SPLITS:
        path = cohort / f"{split}.parquet"
        if storage.read_origin(path) == "mimic":
            raise DeepicdError(f"{path} holds credentialed records.", "The tiny teacher learns from made-up ones only.")
        for row in storage.read_table(path, COHORT).to_pylist():
            code = Code(row["icd_code"])
            shown = random.Random(f"{seed}:{row['note_id']}").random() < described
            description = knowledge.description(code) if shown else None
            found.append(
                Material(row["admission_note"], code, row["icd_title"], description, None, with_guidelines=False)
            )
    return found


def vocabulary_of(materials: Sequence[Material]) -> list[str]:
    """The words of the notes, each once."""
    return sorted({word for material in materials for word in WORDS.findall(material.note)})


def scrambled(material: Material, words: Sequence[str], chance: random.Random) -> Material:
    """The same note with other words of the same case in the same places, headers apart, and such a title."""
    capital, small = ([word for word in words if word[0].isupper() == upper] for upper in (True, False))

    def other(found: re.Match[str]) -> str:
        return chance.choice(capital if found[0][0].isupper() else small)

    lines = (line if HEADER.match(line) else WORDS.sub(other, line) for line in material.note.split("\n"))
    return replace(material, note="\n".join(lines), title=WORDS.sub(other, material.title))


def shortened(material: Material, lines: int) -> Material:
    """The first lines of the sections that lessons quote, and nothing else that is known of the code."""
    sections = [part.split("\n") for part in material.note.split("\n\n")]
    kept = ["\n".join(part[: lines + 1]) for part in sections if part[0].rstrip(":") in TURNS]
    return replace(material, note="\n\n".join(kept), description=None)


def pairs(tokenizer: Any, materials: Sequence[Material], answers: int, context: int, seed: str) -> list[Pair]:
    """Prompts with so many lessons each, in tokens; one over the context is left out."""
    found = []
    for number, material in enumerate(materials):
        chat = prompt.build_messages(material, LAYOUT)
        asked = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        written = [lesson(material, f"{seed}:{number}:{turn}") + END for turn in range(answers)]
        first, *others = (tokenizer.encode(text, add_special_tokens=False) for text in (asked, *written))
        if len(first) + max(map(len, others)) <= context:
            found.append(Pair(first, others))
    return found


def batches(pairs: Sequence[Pair], tokens: int, chance: random.Random) -> list[list[Pair]]:
    """One epoch in random order, pairs of like length together, so that little is padded."""
    order = chance.sample(pairs, len(pairs))
    found: list[list[Pair]] = []
    for start in range(0, len(order), LIKE):
        room = 0
        for pair in sorted(order[start : start + LIKE], key=lambda pair: -pair.length):
            if room < pair.length:
                found.append([])
                room = tokens
            found[-1].append(pair)
            room -= pair.length
    return chance.sample(found, len(found))
