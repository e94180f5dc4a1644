"""Which pages a crawl requests: codes of a cohort, a file or a MIMIC copy, their parents, and pages linked to.

    plan = CrawlPlan(tuple(read_codes(path)), limit=500)
    print(estimate_crawl(plan, out))     # https://gesund.bund.de (de): 500 pages, 0 of them stored; …

    >>> [str(code) for code in add_parents([Code.parse("E11.65"), Code.parse("T38.3X6A")])]
    ['E11', 'E11.6', 'E11.65', 'T38', 'T38.3', 'T38.3X']

ICD-10-GM codes have at most five characters, so a longer code is requested by its first three, four and five. What is
left to fetch follows from the plan and the stored pages; there is no queue to keep.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.log import format_duration
from deepicd.mimic.local_copy import find_root, find_table_file, missing_table_error
from deepicd.mimic.table_rows import read_rows
from deepicd.mimic.tables import Table
from scrapers.page_store import PageStore, open_store
from scrapers.site import GESUND_URL, Language, Pace, Site

CRAWL_FOLDER, STORE_FILE = ".crawl", "pages.sqlite"  # below OUT
GM_CODES = 16_817  # ICD-10-GM 2025

DICTIONARY = "d_icd_diagnoses"
LONGEST = 5  # characters of an ICD-10-GM code, without its dot
MARKS = "!*+†-."  # secondary code, manifestation, aetiology, 'has subdivisions' (E10.-): not part of the code

# The longest prefix of a text that may begin a code; the first wrong character follows it.
_CODE_PREFIX = re.compile(r"(?:[A-Z](?:[0-9](?:[0-9AB](?:\.?[0-9A-Z]{0,4})?)?)?)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CrawlPlan:
    """Codes, each with its parents; with `follow` also every page that the site's ICD section links to."""

    codes: tuple[Code, ...] = ()
    _: KW_ONLY
    follow: bool = False
    limit: int | None = None
    """The most pages of codes to request."""
    gm_titles: Mapping[str, str] | None = None
    """The official list of codes: what it lacks is not requested. None without a list."""

    def list_named_codes(self) -> list[Code]:
        """Return the codes that are known before the site has been asked."""
        codes = add_parents(self.codes)
        if self.gm_titles is not None:
            codes = [code for code in codes if str(code) in self.gm_titles]
        return codes[: self.limit]

    def list_lacking(self) -> list[Code]:
        """Return the codes that the official list lacks; none without a list."""
        if self.gm_titles is None:
            return []
        return [code for code in add_parents(self.codes) if str(code) not in self.gm_titles]

    def list_codes(self, store: PageStore) -> list[Code]:
        """Return all codes to request, including those that stored pages link to."""
        if not self.follow:
            return self.list_named_codes()
        linked = (Code.find(target) for target in store.list_links())
        return sorted({*self.list_named_codes(), *(code for code in linked if code)})

    def list_pending(self, store: PageStore, site: Site) -> list[tuple[str, str]]:
        """Return lists of codes, then codes, that are not stored, each with its address."""
        stored = store.list_codes()
        lists = [(path, site.section_url + path) for path in self.list_pending_lists(store)]
        return lists + [(str(code), site.page_url(code)) for code in self.list_codes(store) if code not in stored]

    def list_pending_lists(self, store: PageStore) -> list[str]:
        """Return the paths in the section that list codes and are not stored."""
        if not self.follow:
            return []
        paths = {"", *(target for target in store.list_links() if not Code.find(target))}  # '' is the section itself
        return sorted(path for path in paths if store.get_page(path) is None)


class CrawlJob(BaseModel):
    """What the crawling process needs to know; it travels as JSON."""

    model_config = ConfigDict(frozen=True)

    store: Path
    """The file that takes the pages."""
    host: str
    is_public: bool
    user_agent: str
    pace: Pace
    section_url: str
    pending: list[tuple[str, str]]
    """What to request (a dotted code, or a path in the section) and its address."""
    follow: bool
    room: int | None
    """How many further pages of codes to request where links are followed; None for any number."""


def build_job(plan: CrawlPlan, site: Site, store: PageStore, *, store_file: Path, user_agent: str) -> CrawlJob | None:
    """Return what is left to fetch; None if everything is stored."""
    pending = plan.list_pending(store, site)
    if not pending:
        return None
    return CrawlJob(
        store=store_file,
        host=site.host,
        is_public=site.is_public,
        user_agent=user_agent,
        pace=site.pace,
        section_url=site.section_url,
        pending=pending,
        follow=plan.follow,
        room=None if plan.limit is None else max(0, plan.limit - len(plan.list_codes(store))),
    )


def add_parents(codes: Iterable[Code]) -> list[Code]:
    """Return the codes cut to five characters and their parents up to the category, sorted, without duplicates."""
    return sorted({Code(prefix) for code in codes for prefix in code.prefixes if len(prefix) <= LONGEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlEstimate:
    """How many pages a crawl needs, and how many of them are stored already."""

    site: Site
    pages: int
    stored: int
    follow: bool

    def __str__(self) -> str:
        missing = self.pages - self.stored
        seconds = missing * self.site.pace.delay
        pace = f", at most one every {self.site.pace.delay:g} s: {format_duration(seconds)} or more" if seconds else ""
        links = f" Their links add more: ICD-10-GM 2025 has {GM_CODES:,} codes." if self.follow else ""
        return (
            f"{self.site.base_url} ({self.site.language}): {self.pages:,} pages, {self.stored:,} of them stored; "
            f"{missing:,} to request{pace}.{links}"
        )


def estimate_crawl(
    plan: CrawlPlan, out: Path, *, base_url: str = GESUND_URL, language: Language = "de"
) -> CrawlEstimate:
    """Return what a crawl with these arguments would request. Writes nothing and sends no request."""
    site = Site.parse(base_url, language)
    if not (path := out / CRAWL_FOLDER / STORE_FILE).is_file():
        pages = len(plan.list_named_codes()) + plan.follow
        return CrawlEstimate(site=site, pages=pages, stored=0, follow=plan.follow)
    with open_store(path) as store:
        store.claim(site)
        stored = len(store.list_codes().intersection(plan.list_codes(store)))
        pages = stored + len(plan.list_pending(store, site))
        return CrawlEstimate(site=site, pages=pages, stored=stored, follow=plan.follow)


def read_codes(path: Path) -> list[Code]:
    """Return the codes of a file in its order: one per line, dotted or not; blank lines and `# comments` are skipped.

    Raises DeepicdError with line and column of the first text that is not a code.
    """
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Name a text file with one ICD-10 code per line: --codes FILE")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DeepicdError(
            f"{path} is not UTF-8 text (byte {error.start}).", "Save it as plain text, one ICD-10 code per line."
        ) from error
    codes = [
        _parse_code(entry, path, number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if (entry := line.partition("#")[0].strip())
    ]
    if not codes:
        raise DeepicdError(f"{path} names no code.", "Write one ICD-10 code per line, for instance I50.21.")
    return codes


def _parse_code(entry: str, path: Path, number: int, line: str) -> Code:
    bare = entry.rstrip(MARKS)
    if code := Code.find(bare):
        return code
    prefix = _CODE_PREFIX.match(bare)
    column = line.index(entry) + (prefix.end() if prefix else 0) + 1
    excerpt = entry if len(entry) <= 20 else f"{entry[:20]}…"
    raise DeepicdError(
        f"{path}, line {number}, column {column}: {excerpt!r} is not an ICD-10 code.",
        "Expected one code per line, with or without its dot: I10, I50.21, E10.-; text after # is ignored.",
    )


def read_cohort(cohort: Path) -> list[Code]:
    """Return the distinct codes of a cohort's stays, over all splits, sorted. Raises DeepicdError if there are none."""
    from deepicd.schema import COHORT, SPLITS  # with pyarrow, which each crawl's own process would load

    codes: set[Code] = set()
    for split in SPLITS:
        column = storage.open_parquet(cohort / f"{split}.parquet", COHORT).read(["icd_code"])["icd_code"]
        codes.update(Code.parse(value) for value in column.unique().to_pylist())
    if not codes:
        raise DeepicdError(f"The cohort in {cohort} has no stay.", "Name the output folder of `deepicd build`.")
    return sorted(codes)


def read_dictionary(mimic: Path) -> list[Code]:
    """Return the ICD-10 codes of a MIMIC-IV copy's own dictionary, in its order.

    Reads what `deepicd build` reads. Raises DeepicdError if the copy has no dictionary, or a damaged one.
    """
    root = find_root(mimic, "hosp", "--mimic")
    file = find_table_file(root, "hosp", DICTIONARY)
    if file is None:
        raise missing_table_error(root, DICTIONARY)
    columns = ("icd_code", "icd_version")
    codes = []
    for batch in read_rows(Table.at(file, DICTIONARY, columns), columns):
        rows = zip(batch["icd_code"].to_pylist(), batch["icd_version"].to_pylist(), strict=True)
        codes += [code for text, version in rows if version == 10 and (code := Code.find(text))]
    if not codes:
        raise DeepicdError(
            f"{file} names no ICD-10 code.", "Point at a copy of MIMIC-IV; MIMIC-III has ICD-9 codes only."
        )
    return codes
