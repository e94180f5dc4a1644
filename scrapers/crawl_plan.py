"""What a crawl is to ask for, and how much of it is left: derived from the pages, so that no queue need be kept.

wanted = Wanted(tuple(codes.read(path)), limit=500)
print(outlook(wanted, out))     # https://gesund.bund.de (de): 500 pages, 0 of them already here; …
"""

from dataclasses import dataclass
from pathlib import Path

from deepicd.icd10cm import Code
from deepicd.log import format_duration
from scrapers import code_list, page_store
from scrapers.page_store import Cache
from scrapers.site import GESUND, Language, Site

CRAWL, PAGES = ".crawl", "pages.sqlite"
CODES_OF_GM = 16_817  # ICD-10-GM 2025


@dataclass(frozen=True, slots=True)
class Wanted:
    """Codes, each with its parents; with `follow` also all that the site's ICD section links to."""

    codes: tuple[Code, ...] = ()
    follow: bool = False
    limit: int | None = None
    """At most so many pages of codes."""

    def listed(self) -> list[Code]:
        """The codes that can be named without having seen the site."""
        return code_list.with_parents(self.codes)[: self.limit]

    def asked(self, pages: Cache) -> list[Code]:
        """All codes to ask for, as far as the pages here tell."""
        if not self.follow:
            return self.listed()
        linked = (Code.find(place) for place in pages.found())
        return sorted({*self.listed(), *(code for code in linked if code)})

    def pending(self, pages: Cache, site: Site) -> list[tuple[str, str]]:
        """Places that list codes, then codes, that are not here, each with its address."""
        here = pages.codes()
        places = [(place, site.section + place) for place in self.pending_places(pages)]
        return places + [(str(code), site.url(code)) for code in self.asked(pages) if code not in here]

    def pending_places(self, pages: Cache) -> list[str]:
        if not self.follow:
            return []
        places = {"", *(place for place in pages.found() if not Code.find(place))}  # '' is the section's own page
        return sorted(place for place in places if pages.page(place) is None)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a crawl would do: the pages it needs and those of them that are here already."""

    site: Site
    pages: int
    here: int
    follow: bool

    def __str__(self) -> str:
        missing = self.pages - self.here
        seconds = missing * self.site.pace.delay
        pace = f", at most one every {self.site.pace.delay:g} s: {format_duration(seconds)} or more" if seconds else ""
        links = f" Their links add more: ICD-10-GM 2025 has {CODES_OF_GM:,} codes." if self.follow else ""
        return (
            f"{self.site.base_url} ({self.site.language}): {self.pages:,} pages, {self.here:,} of them already here; "
            f"{missing:,} to ask for{pace}.{links}"
        )


def outlook(wanted: Wanted, out: Path, *, base_url: str = GESUND, language: Language = "de") -> Outlook:
    """What a harvest with these arguments would ask for. Writes nothing and asks nobody."""
    site = Site.parse(base_url, language)
    if not (path := out / CRAWL / PAGES).is_file():
        return Outlook(site, len(wanted.listed()) + wanted.follow, 0, wanted.follow)
    with page_store.opened(path) as pages:
        pages.claim(site)
        here = len(pages.codes().intersection(wanted.asked(pages)))
        return Outlook(site, here + len(wanted.pending(pages, site)), here, wanted.follow)
