"""What is known of a code: the description patients read, and the coding guidelines of its chapter.

    knowledge = Knowledge(Path("out/guidelines/fy2025"), Path("out/scrape/descriptions.parquet"))
    knowledge.description(Code.parse("E11.9"))   # Description(code='E11.9', level='exact', …) or None
    knowledge.guidelines(Code.parse("E11.9"))    # the text of chapter 4
    knowledge.guideline_sections(Code.parse("E11.9"), max_tokens=1024)   # what bears on the code, ranked

Descriptions are of ICD-10-**GM**. CM and GM share the WHO's categories and mostly their fourth character and part ways
below, so each description says whose it is and on how many characters it matched.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from deepicd import passages, store
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.passages import Passage, SectionText, estimated_tokens
from deepicd.schema import DESCRIPTIONS, Block, ChapterGuidelines, Section

# Categories that name one thing in CM and another in GM, as far as known: a text found there would be about something
# else. U00–U49 are each country's own; G20 is subdivided by different axes; the rest exist in CM only.
NOT_SHARED = ("U", "G20", "C4A", "C7A", "C7B", "D3A", "I1A", "I5A", "J4A", "M1A", "O9A", "Z3A")


@dataclass(frozen=True, slots=True)
class Description:
    """A text of ICD-10-GM shown for a CM code. `level` is 'exact', or the number of characters that matched."""

    code: str
    """Whose text it is: a GM code, dotted."""
    level: str
    text: str


@dataclass(frozen=True)
class Knowledge:
    """The two resources as files; either may be missing, and then nothing is known from it."""

    guidelines_folder: Path | None = None
    descriptions_file: Path | None = None

    @cached_property
    def _texts(self) -> dict[str, str]:
        """GM code, without dot → text."""
        if self.descriptions_file is None:
            return {}
        table = store.parquet_file(self.descriptions_file, DESCRIPTIONS).read(["code", "outcome", "text"])
        return {row["code"].replace(".", ""): row["text"] for row in table.to_pylist() if row["outcome"] == "described"}

    @cached_property
    def _chapters(self) -> dict[int, str]:
        """Chapter number → its guidelines as text."""
        if self.guidelines_folder is None:
            return {}
        files = sorted(self.guidelines_folder.glob("chapter_[0-9][0-9].json"))
        if not files:
            raise DeepicdError(
                f"{self.guidelines_folder} holds no chapter_01.json … chapter_22.json.",
                "Point at a fiscal year's folder, or make it: deepicd guidelines PDF OUT",
            )
        chapters = (cast(ChapterGuidelines, store.read_json(file)) for file in files)
        return {chapter["number"]: "\n".join(chapter_lines(chapter)) for chapter in chapters}

    def read(self) -> "Knowledge":
        """Both resources, read now instead of on first use. Raises DeepicdError for what cannot be."""
        _ = self._texts, self._chapters
        return self

    def description(self, code: Code) -> Description | None:
        """The text of the code itself or of its nearest parent that has one; None where GM has no such thing."""
        if code.value.startswith(NOT_SHARED):
            return None
        for prefix in code.prefixes:
            if text := self._texts.get(prefix):
                level = "exact" if prefix == code.value else str(len(prefix))
                return Description(str(Code(prefix)), level, text)
        return None

    def guidelines(self, code: Code) -> str | None:
        """The guidelines of the code's chapter, verbatim and in full; None where there are none."""
        return self._chapters.get(code.chapter.number)

    @cached_property
    def _sections(self) -> dict[str, SectionText]:
        if self.guidelines_folder is None:
            return {}
        return passages.read_sections(self.guidelines_folder / "sections.parquet")

    def guideline_sections(
        self, code: Code, *, max_tokens: int, tokens: Callable[[str], int] = estimated_tokens
    ) -> list[Passage]:
        """What the guidelines of all chapters say that bears on the code, best first; see `passages`."""
        return passages.choose(self._sections, code, max_tokens=max_tokens, tokens=tokens)

    def guideline_excerpt(
        self, code: Code, *, max_tokens: int, tokens: Callable[[str], int] = estimated_tokens
    ) -> str | None:
        """The same as text in reading order, for a prompt; None where nothing bears on the code."""
        return passages.excerpt(self.guideline_sections(code, max_tokens=max_tokens, tokens=tokens)) or None


def chapter_lines(chapter: ChapterGuidelines) -> Iterator[str]:
    """A chapter as lines of text: headings as printed, a line a paragraph, '- ' before an item."""
    yield chapter["heading"]
    yield from map(_block_line, chapter["blocks"])
    for section in chapter["sections"]:
        yield from _section_lines(section)


def _section_lines(section: Section) -> Iterator[str]:
    yield f"{section['label']} {section['title']}".strip()
    yield from map(_block_line, section["blocks"])
    for child in section["children"]:
        yield from _section_lines(child)


def _block_line(block: Block) -> str:
    return f"- {block['text']}" if block["kind"] == "item" else block["text"]
