"""The pages in a real browser: what a reader clicks, types and presses, and what the pages ask of the network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import Deepicd
from reading_room_example import HOSTILE, write_example
from reading_room_server import serve_app

from cards.reading_room.folders import find_inputs
from cards.reading_room.pages import Pages
from cards.reading_room.review.assignment import read_review
from cards.reading_room.review.form import ReviewLinks, build_review_app, open_forms
from cards.reading_room.review.ratings import read_all_ratings
from cards.reading_room.rows import open_rows
from cards.reading_room.server import Address

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

AXE = Path(__file__).parent / "axe" / "axe.min.js"
CHROMIUM = os.environ.get("DEEPICD_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
TEXTS = ".sheet.trace .text"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium of the system; without it the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium, or name it with DEEPICD_CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page with what it said and asked for."""

    def __init__(self, browser: "Browser", **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 720}, **options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))


@pytest.fixture
def visit(browser: "Browser") -> Iterator[Visit]:
    visit = Visit(browser)
    yield visit
    visit.context.close()
    assert visit.complaints == []


@pytest.fixture
def page(visit: Visit, address: Address) -> Iterator["Page"]:
    """A page of the example; at the end it has asked nobody but its own server."""
    visit.page.goto(address.url)
    yield visit.page
    origin = f"http://127.0.0.1:{address.port}/"
    assert [url for url in visit.requests if not url.startswith((origin, "data:"))] == []


def go(page: "Page", address: Address, path: str) -> None:
    page.goto(f"http://127.0.0.1:{address.port}{path}")


def follow(page: "Page", link: str, url: str) -> None:
    """Click a link and wait until the page behind it has loaded: before, its script does not hear a key."""
    page.click(link)
    page.wait_for_url(url)


def test_a_reader_opens_filters_searches_and_steps_by_key(page: "Page") -> None:
    assert "token" not in page.url
    follow(page, "text=Read the rows", "**/rows")
    assert page.inner_text(".count") == "4 rows"
    page.select_option("select[name=chapter]", "9")  # applies at once
    page.wait_for_url("**/rows?chapter=9")
    assert page.inner_text(".count") == "2 rows selected"
    follow(page, "a:text-is('I50.23')", "**/rows/1?chapter=9")
    assert page.inner_text(".steps .soft") == "1 of 2"
    page.keyboard.press("j")
    page.wait_for_url("**/rows/4?chapter=9")
    page.keyboard.press("k")
    page.wait_for_url("**/rows/1?chapter=9")
    page.keyboard.press("l")
    page.wait_for_url("**/rows?chapter=9")
    page.fill("input[name=q]", "digoxin")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=digoxin**")
    assert page.inner_text(".count") == "1 row selected"
    follow(page, "text=Show all", "**/rows")
    assert page.inner_text(".count") == "4 rows"


def test_a_claim_leads_to_its_place_and_back(page: "Page", address: Address) -> None:
    go(page, address, "/rows/1")
    page.click(f"{TEXTS} .claim.contradicted >> nth=0")
    assert page.inner_text(".note mark.on") == "BP 98/62"
    assert page.locator(".thread path.contradicted").count() == 1
    page.click(".note mark:text-is('apixaban')")
    assert page.inner_text(f"{TEXTS} .claim.on") == "Eliquis"
    page.keyboard.press("c")
    assert page.evaluate("document.activeElement.textContent") == "chest pain"
    page.keyboard.press("Shift+C")
    assert page.evaluate("document.activeElement.textContent") == "Eliquis"


def test_a_place_below_the_fold_is_brought_into_view(page: "Page", address: Address) -> None:
    go(page, address, "/rows/1")
    place = page.locator(".note mark", has_text="left knee").first
    page.click(f"{TEXTS} .claim:text('edema to the right')")
    pane, box = page.locator(".note").bounding_box(), place.bounding_box()
    assert pane is not None
    assert box is not None
    assert pane["y"] < box["y"] < pane["y"] + pane["height"]


def test_supported_only_hides_the_other_kinds_on_every_row(page: "Page", address: Address) -> None:
    go(page, address, "/rows/1")
    page.keyboard.press("s")
    assert page.locator(f"{TEXTS} .claim.contradicted:not(.off)").count() == 0
    assert page.locator(f"{TEXTS} .claim.supported:not(.off)").count() > 0
    go(page, address, "/rows/2")
    assert page.get_attribute("[data-kind=inference]", "aria-pressed") == "false"
    page.keyboard.press("s")
    assert page.get_attribute("[data-kind=inference]", "aria-pressed") == "true"


def test_a_hostile_row_is_text_and_nothing_else(page: "Page", address: Address) -> None:
    go(page, address, f"/rows/{HOSTILE}")
    assert page.title().startswith("I10, row 4")
    assert page.locator("main img, main script, main b").count() == 0
    assert '<script>document.title = "owned"</script>' in page.inner_text(".note .text")
    assert "⟦U+202E⟧ODLIT⟦U+202C⟧" in page.inner_text(".note .text")


def test_dark_and_light_are_kept(page: "Page", address: Address) -> None:
    page.click("#theme")
    go(page, address, "/rows")
    assert page.get_attribute("html", "data-theme") == "dark"


@pytest.mark.parametrize("width", [1280, 900, 480])
def test_no_page_is_wider_than_the_window(page: "Page", address: Address, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 720})
    for path in ("/", "/rows", "/rows/1", f"/rows/{HOSTILE}", "/evaluation?against=sft"):
        go(page, address, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_without_scripts_every_text_can_be_read_and_narrowed(browser: "Browser", address: Address) -> None:
    visit = Visit(browser, java_script_enabled=False)
    visit.page.goto(address.url)
    go(visit.page, address, "/rows")
    visit.page.select_option("select[name=chapter]", "10")
    follow(visit.page, "text=Apply", "**chapter=10**")
    assert visit.page.inner_text(".count") == "1 row selected"
    visit.page.click("a:text-is('J18.9')")
    assert "Bronchial breath sounds" in visit.page.inner_text(".note .text")
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/", "/rows", "/rows/1", "/rows/1?attempt=1", "/evaluation?against=sft&truth=11&predicted=11"]
)
def test_axe_finds_no_serious_fault(browser: "Browser", address: Address, path: str, scheme: str) -> None:
    visit = Visit(browser, bypass_csp=True, color_scheme=scheme)  # for axe's own script
    visit.page.goto(address.url)
    go(visit.page, address, path)
    assert list_faults(visit.page) == []
    visit.context.close()


def test_axe_notices_a_fault_that_was_planted(browser: "Browser", address: Address) -> None:
    visit = Visit(browser, bypass_csp=True)
    visit.page.goto(address.url)
    visit.page.evaluate("document.querySelector('h1').outerHTML = '<a href=x></a><p style=color:#eee>pale</p>'")
    assert {fault.split(":")[0] for fault in list_faults(visit.page)} >= {"link-name", "color-contrast"}
    visit.context.close()


def list_faults(page: "Page") -> list[str]:
    """What axe-core calls serious or critical, and where."""
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{fault['id']}: {node['target']} {node.get('failureSummary', '')[:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]


def test_a_report_opens_from_the_disk_and_asks_for_nothing_else(deepicd: Deepicd, visit: Visit, tmp_path: Path) -> None:
    assert deepicd("report", write_example(tmp_path), tmp_path / "report").code == 0
    visit.context.set_offline(True)
    page = visit.page
    page.goto((tmp_path / "report" / "index.html").as_uri())
    follow(page, "text=Read the rows", "**/rows.html")
    page.fill("#find-text", "pneumonia")
    assert page.inner_text(".count") == "1 row"
    follow(page, "a:text-is('J18.9')", "**/row/2.html")
    page.keyboard.press("k")
    page.wait_for_url("**/row/1.html")
    page.click(f"{TEXTS} .claim.contradicted >> nth=0")
    assert page.inner_text(".note mark.on") == "BP 98/62"
    assert page.evaluate("getComputedStyle(document.querySelector('.pair')).display") == "grid"  # the stylesheet works
    report = (tmp_path / "report").as_uri()
    assert [url for url in visit.requests if not url.startswith((report, "data:"))] == []


def test_a_reviewer_rates_reloads_goes_on_and_the_ratings_are_exported(
    deepicd: Deepicd, browser: "Browser", tmp_path: Path
) -> None:
    out = tmp_path / "review"
    deepicd("review", "start", write_example(tmp_path), out, "--reviewers", "ana")
    review, record = read_review(out)
    forms = open_forms(Pages(open_rows(find_inputs(record)), ReviewLinks(), "review"), review, out, "ana")
    visit = Visit(browser, bypass_csp=True)
    page = visit.page
    with serve_app(lambda address: build_review_app(forms, address)) as address:
        page.goto(address.url)
        assert list_faults(page) == []
        follow(page, "text=Begin with form 1", "**/forms/1")
        assert list_faults(page) == []
        page.keyboard.press("r")
        for name in ("premature_closure", "severity_missed", "hallucination"):
            page.check(f"[name={name}][value=no]", force=True)
        for name in ("linkage", "concision"):
            page.check(f"[name={name}][value='4']", force=True)
        page.click("text=Store and go on")  # the browser asks for the answer that is missing
        assert page.url.endswith("/forms/1")
        assert read_all_ratings(out) == []
        page.check("[name=overall][value='5']", force=True)
        page.fill("[name=comment]", "reads well")
        follow(page, "text=Store and go on", "**/forms/2")
        page.reload()
        follow(page, "text=Forms of ana", "**/")
        assert "1 of 4 filled in" in page.inner_text("main")
        follow(page, "text=Go on with form 2", "**/forms/2")
        follow(page, ".steps [rel=prev]", "**/forms/1")
        assert page.is_checked("[name=overall][value='5']")
        assert page.input_value("[name=comment]") == "reads well"
    visit.context.close()
    assert visit.complaints == []
    assert deepicd("review", "export", out, tmp_path / "ratings.csv").code == 0
    assert "no,no,no,4,4,5,reads well" in (tmp_path / "ratings.csv").read_text()
