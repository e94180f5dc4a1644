"""Made-up explanations in the voice of the real ones, put together from `texts.yaml`.

    >>> title(Code.parse("I50.1")), paragraphs(Code.parse("I50.1"), "de")[0][:54]
    ('Left ventricular failure, unspecified', 'Bei Ihnen sind das Herz oder die Blutgefäße erkrankt. ')

A text fits its code's chapter, and a few words of its title are explained. The same code always has the same text.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import yaml

from deepicd.icd10cm import Code
from scrapers.site import Language


def title(code: Code) -> str:
    """The English title in ICD-10-CM, of its nearest parent where GM goes another way: no German list is at hand."""
    known = (name for prefix in code.prefixes if (name := Code(prefix).title))
    return next(known, code.chapter.title)


def paragraphs(code: Code, language: Language) -> list[str]:
    """Four paragraphs, 60 to 200 words in all; the last says that the text is made up."""
    blocks = _blocks()[language]
    chapter = blocks["chapters"][code.chapter.number]
    name = title(code)
    drawn = sha256(code.value.encode()).digest()
    first = drawn[0] % 4
    second = (first + 1 + drawn[1] % 3) % 4  # another one than the first
    signs = blocks["signs"].format(first=chapter["signs"][first], second=chapter["signs"][second])
    explained = [
        sentence for word, sentence in blocks["words"].items() if word in name.lower().replace(",", "").split()
    ]
    return [
        f"{chapter['opening']} {blocks['named'].format(title=name)}",
        " ".join([chapter["body"], *explained]),
        f"{signs} {chapter['care']} {blocks['advice'][drawn[2] % 4]}",
        blocks["note"],
    ]


@cache
def _blocks() -> Any:
    return yaml.safe_load(files("scrapers").joinpath("sample", "texts.yaml").read_text(encoding="utf-8"))
