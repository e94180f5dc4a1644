"""How much a model has to read and write for a cohort: tokens by layout, and how many a prefix cache saves.

Rows are asked for by chapter and code, so a prompt shares its beginning with the one before: for rows of one code all
that stands before the note, for the first row of a code as much as its prompt has in common with the code before. One
prompt per code is built for real, by the recipe; of the notes only their lengths are read. A cache keeps blocks of
`BLOCK` tokens and is taken to hold the prompt before, nothing older.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile

from deepicd.icd10cm import Code
from deepicd.paper import MIMIC_REASON
from distill.prompt_builder import Prompt, PromptBuilder
from distill.recipe import Layout, Recipe
from distill.sources import Row, Sources

BLOCK = 16  # tokens per block of vLLM's KV cache on a GPU; 128 on a CPU
CODE_GROWTH = 0.35  # codes grow with rows to this power (Heaps' law, assumed), up to all that are billable
LONGEST_PAGE = 5  # characters of an ICD-10-GM code
BILLABLE = 74_260  # ICD-10-CM FY2025
TOKENS_PER_WORD = 1.4  # of a trace, by Qwen2.5's tokenizer on made-up ones

# Without a cohort
NOTE_TOKENS = 1_500  # assumed; the authors' job files leave out prompts of more than 2,048
OWN_WORDS_TOKENS = 330  # our prompt without the texts that it shows
ABOUT_CODE_TOKENS = 220  # a description of 132 words (the paper's mean) and the code's title
CHAPTER_TOKENS = 2_013  # mean over the chapters of FY2025 by Qwen2.5's tokenizer: 27 to 7,120


@dataclass(frozen=True, slots=True)
class LayoutTokens:
    """Tokens of the prompts of a layout."""

    per_row: float
    """Mean length of a prompt."""
    new_per_row: float
    """Of these the tokens behind the note's beginning, which no cache has."""
    new_per_code: float
    """What the first row of a code adds to them."""

    def count(self, rows: int) -> int:
        return round(rows * self.per_row)

    def count_new(self, rows: int, codes: int) -> int:
        """Return the tokens that are not in the cache."""
        return min(self.count(rows), round(rows * self.new_per_row + codes * self.new_per_code))


@dataclass(frozen=True, slots=True)
class Workload:
    """What one rollout per row takes."""

    rows: int
    codes: int
    note_characters: float
    """Mean length of an admission note."""
    layouts: dict[Layout, LayoutTokens]
    counted_by: str
    assumptions: tuple[str, ...]

    @property
    def completion_tokens(self) -> int:
        return round(self.rows * MIMIC_REASON.words_mean * TOKENS_PER_WORD)

    def scale(self, rows: int) -> "Workload":
        """Return the same for another number of rows, with more or fewer codes."""
        if rows == self.rows:
            return self
        codes = min(BILLABLE, rows, max(1, round(self.codes * (rows / self.rows) ** CODE_GROWTH)))
        what = f"{codes:,} codes among {rows:,} rows: those of {self.rows:,} rows to the power {CODE_GROWTH}"
        return replace(self, rows=rows, codes=codes, assumptions=(*self.assumptions, what))


def assume_workload(rows: int, recipe: Recipe) -> Workload:
    """Return the workload of a cohort like the paper's under a recipe."""
    shown = {"full": CHAPTER_TOKENS, "relevant": min(CHAPTER_TOKENS, recipe.guideline_tokens), "none": 0}
    guideline_tokens = shown[recipe.guideline_text]
    about = ABOUT_CODE_TOKENS + guideline_tokens
    examples = recipe.examples * round(NOTE_TOKENS + MIMIC_REASON.words_mean * TOKENS_PER_WORD)
    per_row = NOTE_TOKENS + OWN_WORDS_TOKENS + about + examples
    # the same chapter, and its examples, as before but for 21 of the codes
    new_chapter = MIMIC_REASON.chapters / MIMIC_REASON.codes
    new_code = ABOUT_CODE_TOKENS + (guideline_tokens + examples) * new_chapter
    whole = Workload(
        rows=MIMIC_REASON.samples,
        codes=MIMIC_REASON.codes,
        note_characters=NOTE_TOKENS * 4.0,
        layouts={
            "prefix": LayoutTokens(per_row, NOTE_TOKENS, new_code),
            "paper": LayoutTokens(per_row, NOTE_TOKENS + about, examples * new_chapter),
        },
        counted_by="assumptions",
        assumptions=(
            f"no cohort: notes of {NOTE_TOKENS:,} tokens, {guideline_tokens:,} of guidelines, {ABOUT_CODE_TOKENS} about"
            f" a code, {OWN_WORDS_TOKENS} of our own words, {examples:,} of examples; codes as in the paper"
            f" ({MIMIC_REASON.codes:,} in {MIMIC_REASON.samples:,} rows)",
        ),
    )
    return whole.scale(rows)


def measure_workload(sources: Sources, builders: dict[Layout, PromptBuilder]) -> Workload:
    """Return the workload of a cohort; `builders` differ in the layout alone."""
    by_code: dict[tuple[int, str], Row] = {}
    rows_of: Counter[str] = Counter()
    characters, tokens, sampled = 0, 0, 0
    counter = next(iter(builders.values())).tokens
    for number, (_, row) in enumerate(sources.read_rows()):
        code = Code(row["icd_code"])
        by_code.setdefault((code.chapter.number, code.value), row)
        rows_of[code.value] += 1
        characters += len(row["admission_note"] or "")
        if number % 50 == 0:
            sampled += len(row["admission_note"] or "")
            tokens += counter.count(row["admission_note"] or "")
    rows = rows_of.total()
    note_tokens = characters / rows * tokens / max(sampled, 1)
    ordered = [row for _, row in sorted(by_code.items())]
    layouts = {layout: _measure_layout(builder, ordered, rows_of, note_tokens) for layout, builder in builders.items()}
    return Workload(
        rows=rows,
        codes=len(by_code),
        note_characters=characters / rows,
        layouts=layouts,
        counted_by=counter.method,
        assumptions=("notes have the tokens per character of every fiftieth; one prompt per code stands for its rows",),
    )


def count_pages(sources: Sources) -> int:
    """Return the pages that a crawl for a cohort's codes requests: each code, to five characters, and its parents."""
    codes = {row["icd_code"] for _, row in sources.read_rows()}
    return len({prefix for code in codes for prefix in Code(code).prefixes if len(prefix) <= LONGEST_PAGE})


def _measure_layout(builder: PromptBuilder, rows: list[Row], rows_of: Counter[str], note_tokens: float) -> LayoutTokens:
    total = before_total = new_codes = 0.0
    counted = 0
    before_last, tokens_last = "", 0
    count = lru_cache(maxsize=65_536)(builder.tokens.count)
    for before, after, code in _split_prompts(builder, rows):
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before_last, before, strict=False)))
        # only what differs from the code before is tokenized: chapters are long, and there are thousands of codes
        tokens_shared = tokens_last - builder.tokens.count(before_last[shared:])
        tokens_before = tokens_shared + builder.tokens.count(before[shared:])
        tokens_after = sum(map(count, after.split("\n\n")))  # paragraphs that many codes share
        before_last, tokens_last = before, tokens_before
        counted += (number := rows_of[code])
        total += number * (tokens_before + tokens_after + note_tokens)
        before_total += number * _floor(tokens_before)
        new_codes += _floor(tokens_before) - _floor(tokens_shared)
    counted = max(counted, 1)
    return LayoutTokens(total / counted, (total - before_total) / counted, new_codes / max(len(rows), 1))


def _split_prompts(builder: PromptBuilder, rows: list[Row]) -> Iterator[tuple[str, str, str]]:
    """Yield what stands before and after the note, and the code; rows without a prompt are left out."""
    for row in rows:
        built = builder.build(row)
        if isinstance(built, Prompt):
            joined = "\n".join([message["content"] for message in built.messages] + [builder.opening])
            text = builder.tokens.render_chat(built.messages, builder.opening) or joined
            before, _, after = text.partition(built.material.note.strip())  # templates strip a turn
            yield before, after, built.material.code.value


def _floor(tokens: float) -> float:
    return max(0.0, tokens // BLOCK * BLOCK)
