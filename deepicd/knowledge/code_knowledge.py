"""What is known of a code: the description patients read, and the coding guidelines of its chapter.

    knowledge = Knowledge(Path("out/guidelines/fy2025"), Path("out/scrape/descriptions.parquet"))
    knowledge.description(Code.parse("E11.9"))   # Description(code='E11.9', level='exact', …) or None
    knowledge.guidelines(Code.parse("E11.9"))    # the text of chapter 4
    knowledge.guidelines(Code.parse("U07.1"))    # of chapter 1, which covers it by name, and of its own, chapter 22
    knowledge.guideline_sections(Code.parse("E11.9"), max_tokens=1024)   # what bears on the code, ranked

Descriptions are of ICD-10-**GM**: each says whose it is, on how many characters it matched and how far to trust that
(see `crosswalk`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import guideline_sections, icd10gm_crosswalk
from deepicd.knowledge.guideline_sections import Passage, SectionText, estimate_tokens
from deepicd.knowledge.icd10gm_crosswalk import Crosswalk
from deepicd.knowledge.icd10gm_crosswalk import Description as Description
from deepicd.schema import Block, ChapterGuidelines, Section


@dataclass(frozen=True)
class Knowledge:
    """The two resources as files; either may be missing, and then nothing is known from it."""

    guidelines_folder: Path | None = None
    descriptions_file: Path | None = None

    @cached_property
    def _crosswalk(self) -> Crosswalk:
        return icd10gm_crosswalk.read_crosswalk(self.descriptions_file) if self.descriptions_file else Crosswalk({})

    @cached_property
    def _chapters(self) -> dict[int, "_Chapter"]:
        """Chapter number → what it covers and its guidelines as text."""
        if self.guidelines_folder is None:
            return {}
        files = sorted(self.guidelines_folder.glob("chapter_[0-9][0-9].json"))
        if not files:
            raise DeepicdError(
                f"{self.guidelines_folder} holds no chapter_01.json … chapter_22.json.",
                "Point at a fiscal year's folder, or make it: deepicd guidelines PDF OUT",
            )
        return dict(sorted(map(_read_chapter, files)))

    def read(self) -> "Knowledge":
        """Both resources, read now instead of on first use. Raises DeepicdError for what cannot be."""
        _ = self._crosswalk, self._chapters
        return self

    def description(self, code: Code) -> Description | None:
        """The text of the code itself or of a parent, and how far to trust it; None where GM has no such thing."""
        if self.descriptions_file is None:
            return None  # without the two seconds that reading the release's titles takes
        return self._crosswalk.description(code)

    def guidelines(self, code: Code) -> str | None:
        """The guidelines of the code's chapter, verbatim and in full; None where there are none.

        A chapter may cover a code of another one: chapter 1 is headed 'A00-B99, U07.1, U09.9'. Such a code gets the
        guidelines of both, a line break between them, in the order of the chapters.
        """
        texts = (
            one.text for number, one in self._chapters.items() if number == code.chapter.number or one.covers(code)
        )
        return "\n".join(texts) or None

    @cached_property
    def _sections(self) -> dict[str, SectionText]:
        if self.guidelines_folder is None:
            return {}
        return guideline_sections.read_sections(self.guidelines_folder / "sections.parquet")

    def guideline_sections(
        self, code: Code, *, max_tokens: int, tokens: Callable[[str], int] = estimate_tokens
    ) -> list[Passage]:
        """What the guidelines of all chapters say that bears on the code, best first; see `passages`."""
        return guideline_sections.choose_passages(self._sections, code, max_tokens=max_tokens, tokens=tokens)

    def guideline_excerpt(
        self, code: Code, *, max_tokens: int, tokens: Callable[[str], int] = estimate_tokens
    ) -> str | None:
        """The same as text in reading order, for a prompt; None where nothing bears on the code."""
        return (
            guideline_sections.join_passages(self.guideline_sections(code, max_tokens=max_tokens, tokens=tokens))
            or None
        )


class _Chapter(NamedTuple):
    ranges: tuple[tuple[str, str], ...]
    """First and last code or category that it covers, without dots."""
    text: str

    def covers(self, code: Code) -> bool:
        return any(first <= code.value and code.value[: len(last)] <= last for first, last in self.ranges)


def _read_chapter(file: Path) -> tuple[int, _Chapter]:
    """Number and content of a chapter file. Raises DeepicdError for a file that is none."""
    try:
        chapter = cast(ChapterGuidelines, storage.read_json(file))
        ranges = tuple((first.replace(".", ""), last.replace(".", "")) for first, last in chapter["ranges"])
        return int(chapter["number"]), _Chapter(ranges, "\n".join(chapter_lines(chapter)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DeepicdError(
            f"{file} is not a chapter file of this version.", "Make it again: deepicd guidelines PDF OUT"
        ) from error


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
