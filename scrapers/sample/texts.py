"""Made-up explanations in the style of the real ones, composed from `texts.yaml`.

    >>> find_title(Code.parse("I50.1")), compose_text(Code.parse("I50.1"), "de")[0][:54]
    ('Left ventricular failure, unspecified', 'Bei Ihnen sind das Herz oder die Blutgefäße erkrankt. ')

A text fits its code's chapter and explains a few words of its title. The same code always has the same text.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from deepicd.icd10cm import Code
from deepicd.parsing import parse_yaml
from scrapers.site import Language


def find_title(code: Code) -> str:
    """Return the title of the code in ICD-10-CM or, for a code that only ICD-10-GM has, that of its nearest parent."""
    titles = (title for prefix in code.prefixes if (title := Code(prefix).title))
    return next(titles, code.chapter.title)


def compose_text(code: Code, language: Language) -> list[str]:
    """Return four paragraphs of 60 to 200 words in all; the last says that the text is made up."""
    blocks = _load_blocks()[language]
    chapter = blocks["chapters"][code.chapter.number]
    title = find_title(code)
    digest = sha256(code.value.encode()).digest()
    first = digest[0] % 4
    second = (first + 1 + digest[1] % 3) % 4  # never the first again
    signs = blocks["signs"].format(first=chapter["signs"][first], second=chapter["signs"][second])
    words = title.lower().replace(",", "").split()
    explanations = [sentence for word, sentence in blocks["words"].items() if word in words]
    return [
        f"{chapter['opening']} {blocks['named'].format(title=title)}",
        " ".join([chapter["body"], *explanations]),
        f"{signs} {chapter['care']} {blocks['advice'][digest[2] % 4]}",
        blocks["note"],
    ]


@cache
def _load_blocks() -> Any:
    return parse_yaml(files("scrapers").joinpath("sample", "texts.yaml").read_bytes())
