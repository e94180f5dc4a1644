"""Knowledge of a code: its description for patients, and the coding guidelines of its chapter.

    knowledge = Knowledge(Path("out/guidelines/fy2025"), Path("out/scrape/descriptions.parquet"))
    knowledge.find_description(Code.parse("E11.9"))   # Description(code='E11.9', level='exact', …) or None
    knowledge.find_guidelines(Code.parse("E11.9"))    # the text of chapter 4
    knowledge.find_guidelines(Code.parse("U07.1"))    # of chapter 1, whose heading names it, and of its own, chapter 22
    knowledge.choose_passages(Code.parse("E11.9"), max_tokens=1024)   # the sections that apply to the code, ranked

Descriptions are of ICD-10-**GM**: each states its own code, the number of characters that match and how far to trust
it (see deepicd.knowledge.icd10gm).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast

from deepicd import storage
from deepicd.engines.tokens import estimate_tokens
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import guideline_sections, icd10gm
from deepicd.knowledge.guideline_sections import Passage, SectionIndex
from deepicd.knowledge.icd10gm import Crosswalk
from deepicd.knowledge.icd10gm import Description as Description
from deepicd.schema import Block, ChapterGuidelines, Section


@dataclass(frozen=True)
class Knowledge:
    """The two resources as files. Either may be missing; then every lookup in it returns None."""

    guidelines_folder: Path | None = None
    descriptions_file: Path | None = None

    @cached_property
    def _crosswalk(self) -> Crosswalk:
        return icd10gm.read_crosswalk(self.descriptions_file) if self.descriptions_file else Crosswalk({})

    @cached_property
    def _chapters(self) -> dict[int, "_Chapter"]:
        """Chapter number → the codes that it covers and its guidelines as text."""
        if self.guidelines_folder is None:
            return {}
        files = sorted(self.guidelines_folder.glob("chapter_[0-9][0-9].json"))
        if not files:
            raise DeepicdError(
                f"{self.guidelines_folder} holds no chapter_01.json … chapter_22.json.",
                "Point at the folder of a fiscal year, or make it: deepicd guidelines PDF OUT",
            )
        return dict(sorted(map(_read_chapter, files)))

    def read(self) -> "Knowledge":
        """Read both resources now instead of on first use. Raises DeepicdError."""
        _ = self._crosswalk, self._chapters
        return self

    def find_description(self, code: Code) -> Description | None:
        """Return the text of the code or of a parent, and how far to trust it; None if GM has no equivalent."""
        if self.descriptions_file is None:
            return None  # without the two seconds that it takes to read the titles of the release
        return self._crosswalk.find_description(code)

    def find_guidelines(self, code: Code) -> str | None:
        """Return the guidelines of the code's chapter, verbatim and in full; None if there are none.

        A chapter may cover a code of another one: the heading of chapter 1 is 'A00-B99, U07.1, U09.9'. Such a code
        gets the guidelines of both chapters, in their order, separated by a line break.
        """
        texts = (
            chapter.text
            for number, chapter in self._chapters.items()
            if number == code.chapter.number or chapter.covers(code)
        )
        return "\n".join(texts) or None

    @cached_property
    def _sections(self) -> SectionIndex:
        if self.guidelines_folder is None:
            return SectionIndex({})
        return guideline_sections.read_sections(self.guidelines_folder / "sections.parquet")

    def choose_passages(
        self, code: Code, *, max_tokens: int, count_tokens: Callable[[str], int] = estimate_tokens
    ) -> list[Passage]:
        """Return the sections of all chapters that apply to the code, best first (see guideline_sections)."""
        return guideline_sections.choose_passages(
            self._sections, code, max_tokens=max_tokens, count_tokens=count_tokens
        )

    def build_excerpt(
        self, code: Code, *, max_tokens: int, count_tokens: Callable[[str], int] = estimate_tokens
    ) -> str | None:
        """Return the same sections as text in reading order, for a prompt; None if none applies to the code."""
        passages = self.choose_passages(code, max_tokens=max_tokens, count_tokens=count_tokens)
        return guideline_sections.join_passages(passages) or None


class _Chapter(NamedTuple):
    ranges: tuple[tuple[str, str], ...]
    """First and last code or category of each range that the chapter covers, without dots."""
    text: str

    def covers(self, code: Code) -> bool:
        return any(first <= code.value and code.value[: len(last)] <= last for first, last in self.ranges)


def _read_chapter(file: Path) -> tuple[int, _Chapter]:
    """Return number and content of a chapter file. Raises DeepicdError if the file is not one."""
    try:
        chapter = cast(ChapterGuidelines, storage.read_json(file))
        ranges = tuple((first.replace(".", ""), last.replace(".", "")) for first, last in chapter["ranges"])
        return int(chapter["number"]), _Chapter(ranges, "\n".join(list_lines(chapter)))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DeepicdError(
            f"{file} is not a chapter file of this version.", "Write it again: deepicd guidelines PDF OUT"
        ) from error


def list_lines(chapter: ChapterGuidelines) -> Iterator[str]:
    """Yield a chapter as lines of text: headings as printed, one line per paragraph, '- ' before an item."""
    yield chapter["heading"]
    yield from map(_format_block, chapter["blocks"])
    for section in chapter["sections"]:
        yield from _list_section_lines(section)


def _list_section_lines(section: Section) -> Iterator[str]:
    yield f"{section['label']} {section['title']}".strip()
    yield from map(_format_block, section["blocks"])
    for child in section["children"]:
        yield from _list_section_lines(child)


def _format_block(block: Block) -> str:
    return f"- {block['text']}" if block["kind"] == "item" else block["text"]
