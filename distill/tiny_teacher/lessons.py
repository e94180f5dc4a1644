"""What the tiny teacher learns from: for each made-up record the prompt of a real teacher, and traces written by rule.

    The complaint is “Swelling, decreased urine”. The story adds “He missed tacrolimus for 1 week”. …
    Together, and with some doubt left, this is best explained by Kidney transplant rejection.

The rule quotes the note, weighs, and names the diagnosis in the last sentence: what the checks of a trace ask for and
what a few million parameters can learn. There is no medicine in it; the code comes from the prompt.
"""

import random
import re

from deepicd.answer_form import DIAGNOSIS, write_answer
from distill.prompt import Material
from distill.rehearsal import split_sentences

QUOTED = 5  # words of a quotation at most: the more, the sooner a small model slips while copying
FEWEST = 3  # words of a quotation at least, the complaint's apart
MOST_DIGITS = 2  # in a quotation; lines of vital signs are columns of digits, which a small model mixes up
TITLE = 7  # words of the title that are said

# Section → quotations of it, and how one is introduced
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


def lesson(material: Material, seed: str) -> str:
    """The answer to learn for a prompt: the same for the same seed, the form of every answer."""
    chance = random.Random(seed)
    parts = split_sentences(material.note)
    sentences = []
    for section, (most, turns) in TURNS.items():
        quotes = [quotation(statement) for statement in parts.get(section, [])]
        if section != "Chief Complaint":
            quotes = [quote for quote in quotes if fit(quote)]
        chosen = sorted(chance.sample(range(len(quotes)), min(most, len(quotes))))
        sentences += [chance.choice(turns).format(quotes[place]) for place in chosen]
    sentences += [chance.choice(_WEIGHING), chance.choice(_CLOSING).format(spoken(material.title))]
    answer = write_answer(" ".join(sentences), material.code)
    return answer.replace(DIAGNOSIS, f"{DIAGNOSIS} ")  # its first letter is then the token that the prompt has


def quotation(statement: str) -> str:
    """The first words of a statement, up to the end of its line."""
    return " ".join(statement.split("\n")[0].split()[:QUOTED]).rstrip(",;:(")


def fit(quote: str) -> bool:
    """Whether a quotation begins with a word, is long enough to say something, and has few digits."""
    return quote[0].isalpha() and len(quote.split()) >= FEWEST and sum(map(str.isdigit, quote)) <= MOST_DIGITS


def spoken(title: str) -> str:
    """How a trace names a diagnosis: its title up to the first comma, and of a long one the beginning.

    >>> spoken("Infection following a procedure, superficial incisional surgical site, initial encounter")
    'Infection following a procedure'
    """
    return " ".join(re.split(r"[,;(\[]", title)[0].split()[:TITLE])
