"""Draw docs/figures/reading-room.png and review.png from the tests' made-up example, in Chromium.

Run: PYTHONPATH=.:tests python docs/make_screenshots.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright
from reading_room_example import write_example
from reading_room_server import serve_app

from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.review.assignment import Draw, read_review, start_review
from cards.reading_room.review.form import ReviewLinks, build_review_app, open_forms
from cards.reading_room.review.rubric import load_rubric
from cards.reading_room.rows import open_rows
from cards.reading_room.server import ServerLinks, build_app

FIGURES = Path(__file__).parent / "figures"


def draw_row(page: Page, folder: Path) -> None:
    """Draw the first row with the thread of its first contradiction."""
    pages = Pages(open_rows(find_holdings(folder)), ServerLinks(), "out/demo")
    with serve_app(lambda address: build_app(pages, address)) as address:
        page.goto(address.url)
        page.goto(f"http://127.0.0.1:{address.port}/rows/1")
        page.hover(".trace .claim.contradicted >> nth=0")
        page.screenshot(path=FIGURES / "reading-room.png")


def draw_form(page: Page, folder: Path) -> None:
    """Draw a form of a review."""
    out = folder / "review"
    start_review(folder, out, Draw(("ana",), 3, 3, False, 1), load_rubric(Path("clinicians")))
    review, _ = read_review(out)
    number = next(
        place for place, step in enumerate(review.steps["ana"], 1) if review.items[step.item].icd_code == "J189"
    )
    forms = open_forms(Pages(open_rows(find_holdings(folder)), ReviewLinks(), "out/review"), review, out, "ana")
    with serve_app(lambda address: build_review_app(forms, address)) as address:
        page.goto(address.url)
        page.goto(f"http://127.0.0.1:{address.port}/forms/{number}")
        for name, answer in {"premature_closure": "no", "severity_missed": "no", "linkage": "4"}.items():
            page.check(f"[name={name}][value='{answer}']", force=True)
        page.screenshot(path=FIGURES / "review.png", full_page=True)


def main() -> None:
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        example = write_example(Path(folder))
        draw_row(page, example)
        draw_form(page, example)
        browser.close()


if __name__ == "__main__":
    main()
