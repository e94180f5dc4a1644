"""What the tiny teacher is taught: the prompts of a real teacher, and traces written by rule, in tokens and in order.

    The complaint is “Swelling, decreased urine”. The story adds “He missed tacrolimus for 1 week”. …
    Together, and with some doubt left, this is best explained by Kidney transplant rejection.

The rule quotes the note, weighs, and names the diagnosis in the last sentence: what the checks of a trace ask for and
what a few million parameters can learn. There is no medicine in it; the code comes from the prompt.

Short beginnings of notes come first, then whole notes. Made-up notes are of one mould, and a model would rather learn
the mould by heart than look at the note, so in some prompts other words stand in their places (`scramble`): those can
only be quoted by looking.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.answer_form import DIAGNOSIS, write_answer
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.schema import COHORT, SPLITS
from distill import prompt
from distill.prompt import Material
from distill.recipe import Layout
from distill.rehearsal import split_sentences
from distill.tiny_teacher.initial_model import END

LAYOUT: Layout = "prefix"  # the default of recipes; the model has seen no other
QUOTED_WORDS = 5  # of a quotation, at most: the more, the sooner a small model slips while copying
FEWEST_WORDS = 3  # of a quotation, except the complaint
MOST_DIGITS = 2  # in a quotation; lines of vital signs are columns of digits, which a small model mixes up
TITLE_WORDS = 7  # of the title that are named, at most
GROUP = 256  # pairs that are sorted by length together

WORD = re.compile(r"[A-Za-z]{2,}")
HEADER = re.compile(r"[A-Z][A-Za-z ]+:\Z")

# Section → number of quotations from it, and how one is introduced
TURNS = {
    "Chief Complaint": (1, ("The complaint is “{}”.", "The patient comes with “{}”.", "It starts with “{}”.")),
    "History of Present Illness": (
        3,
        ("The story adds “{}”, which I take as stated.", "The story then says “{}”.", "Of weight is also “{}”."),
    ),
    "Past Medical History": (1, ("Known from before is “{}”.", "The history lists “{}”, perhaps as background only.")),
    "Physical Exam": (2, ("On examination there is “{}”.", "The exam at admission records “{}”.")),
}
_WEIGHING = (
    "Other explanations remain possible, but none covers all of these findings at once.",
    "A less specific reading would leave the story and the exam unexplained.",
    "One finding alone would not settle it; taken together they point one way, though this is my inference.",
)
_CLOSING = (
    "Together, and with some doubt left, this is best explained by {}.",
    "I infer, without being certain, that all of it fits best with {}.",
)


def write_lesson(material: Material, seed: str) -> str:
    """Return the answer to learn for a prompt, in the form of every answer; the same for the same seed."""
    chance = random.Random(seed)
    parts = split_sentences(material.note)
    sentences = []
    for section, (most, turns) in TURNS.items():
        quotes = [cut_quotation(sentence) for sentence in parts.get(section, [])]
        if section != "Chief Complaint":
            quotes = [quote for quote in quotes if is_usable(quote)]
        chosen = sorted(chance.sample(range(len(quotes)), min(most, len(quotes))))
        sentences += [chance.choice(turns).format(quotes[place]) for place in chosen]
    sentences += [chance.choice(_WEIGHING), chance.choice(_CLOSING).format(shorten_title(material.title))]
    answer = write_answer(" ".join(sentences), material.code)
    return answer.replace(DIAGNOSIS, f"{DIAGNOSIS} ")  # then its first letter is the same token as in the prompt


def cut_quotation(sentence: str) -> str:
    """Return the first words of a sentence, up to the end of its line."""
    return " ".join(sentence.split("\n")[0].split()[:QUOTED_WORDS]).rstrip(",;:(")


def is_usable(quote: str) -> bool:
    """Return whether a quotation begins with a word, is long enough to say something, and has few digits."""
    return quote[0].isalpha() and len(quote.split()) >= FEWEST_WORDS and sum(map(str.isdigit, quote)) <= MOST_DIGITS


def shorten_title(title: str) -> str:
    """Return how a trace names a diagnosis: the title up to its first comma, and of a long one the beginning.

    >>> shorten_title("Infection following a procedure, superficial incisional surgical site, initial encounter")
    'Infection following a procedure'
    """
    return " ".join(re.split(r"[,;(\[]", title)[0].split()[:TITLE_WORDS])


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and several answers to it in tokens; each answer sees the prompt alone."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def length(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


def read_materials(cohort: Path, descriptions: Path | None, described: float, seed: int) -> list[Material]:
    """Return every row of a cohort of made-up records; a share of them with the code's description, if there is one.

    Raises DeepicdError for credentialed ones.
    """
    knowledge = Knowledge(None, descriptions).read()
    materials = []
    for split in SPLITS:
        path = cohort / f"{split}.parquet"
        if storage.read_origin(path) == "mimic":
            raise DeepicdError(f"{path} holds credentialed records.", "The tiny teacher learns from made-up ones only.")
        for row in storage.read_table(path, COHORT).to_pylist():
            code = Code(row["icd_code"])
            is_described = random.Random(f"{seed}:{row['note_id']}").random() < described
            description = knowledge.find_description(code) if is_described else None
            materials.append(
                Material(row["admission_note"], code, row["icd_title"], description, None, with_guidelines=False)
            )
    return materials


def list_words(materials: Sequence[Material]) -> list[str]:
    """Return the words of the notes, each once."""
    return sorted({word for material in materials for word in WORD.findall(material.note)})


def scramble(material: Material, words: Sequence[str], chance: random.Random) -> Material:
    """Return the material with other words of the same case in note and title; headers stay."""
    capital, small = ([word for word in words if word[0].isupper() == upper] for upper in (True, False))

    def draw(word: re.Match[str]) -> str:
        return chance.choice(capital if word[0][0].isupper() else small)

    lines = (line if HEADER.match(line) else WORD.sub(draw, line) for line in material.note.split("\n"))
    return replace(material, note="\n".join(lines), title=WORD.sub(draw, material.title))


def shorten(material: Material, lines: int) -> Material:
    """Return the material with the first lines of the sections that lessons quote, and no description."""
    sections = [part.split("\n") for part in material.note.split("\n\n")]
    kept = ["\n".join(part[: lines + 1]) for part in sections if part[0].rstrip(":") in TURNS]
    return replace(material, note="\n\n".join(kept), description=None)


def build_pairs(tokenizer: Any, materials: Sequence[Material], answers: int, context: int, seed: str) -> list[Pair]:
    """Return prompts with `answers` lessons each, in tokens; those over the context are left out."""
    pairs = []
    for number, material in enumerate(materials):
        chat = prompt.build_messages(material, LAYOUT)
        prompt_text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        lessons = [write_lesson(material, f"{seed}:{number}:{turn}") + END for turn in range(answers)]
        first, *others = (tokenizer.encode(text, add_special_tokens=False) for text in (prompt_text, *lessons))
        if len(first) + max(map(len, others)) <= context:
            pairs.append(Pair(first, others))
    return pairs


def build_batches(pairs: Sequence[Pair], tokens: int, chance: random.Random) -> list[list[Pair]]:
    """Return one epoch in random order, pairs of similar length together, so that little is padded."""
    order = chance.sample(pairs, len(pairs))
    batches: list[list[Pair]] = []
    for start in range(0, len(order), GROUP):
        room = 0
        for pair in sorted(order[start : start + GROUP], key=lambda pair: -pair.length):
            if room < pair.length:
                batches.append([])
                room = tokens
            batches[-1].append(pair)
            room -= pair.length
    return chance.sample(batches, len(batches))
