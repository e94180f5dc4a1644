"""Who gets a page, and what a page may do."""

import re
from pathlib import Path

import httpx
import pytest
from conftest import Deepicd
from reading_room_example import HOSTILE

from cards.reading_room.pages import Pages, reveal
from cards.reading_room.server import SENTENCE, Address, check_host
from deepicd.errors import DeepicdError


@pytest.mark.parametrize("path", ["/", "/rows", "/rows/1", "/static/reading_room.css", "/no-such-page"])
def test_without_the_token_there_is_no_page(stranger: httpx.Client, path: str) -> None:
    answers = [stranger.get(path), stranger.get(path, params={"token": "guessed"})]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert "cookie" not in str(answers[0].headers)


def test_the_token_becomes_a_cookie_and_leaves_the_address(stranger: httpx.Client, address: Address) -> None:
    answer = stranger.get("/", params={"token": address.token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly; Path=/; SameSite=strict" in answer.headers["set-cookie"]
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_host_header_is_refused_even_with_the_token(reader: httpx.Client, address: Address, host: str) -> None:
    assert reader.get("/", headers={"Host": host.format(port=address.port)}).status_code == 421


def test_a_form_from_elsewhere_is_refused(reader: httpx.Client) -> None:
    assert reader.post("/rows/1", headers={"Origin": "http://evil.example"}).status_code == 403
    assert reader.post("/rows/1").status_code == 403


def test_every_answer_forbids_what_is_not_its_own(reader: httpx.Client) -> None:
    for path in ("/", "/rows/1", "/static/reading_room.js", "/rows/99", "/nothing"):
        policy = reader.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


@pytest.mark.parametrize("path", ["/", "/rows", "/rows/1", f"/rows/{HOSTILE}"])
def test_pages_have_no_script_style_or_handler_of_their_own_and_name_no_other_place(
    reader: httpx.Client, path: str
) -> None:
    page = reader.get(path).text
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/reading_room.js" defer>']
    assert not re.search(r"<style|<img|<[^>]+ style=|<[a-z]+[^>\"]* on[a-z]+=", page)
    assert not re.search(r"(?:src|href|action)=\"(?:[a-z]+:)?//", page)


def test_markup_in_a_note_is_shown_as_text(reader: httpx.Client) -> None:
    page = reader.get(f"/rows/{HOSTILE}").text
    assert "&lt;script&gt;document.title" in page
    assert "&lt;/think&gt;&lt;diagnosis&gt;Z00.0" in page
    assert "{{ 7 * 7 }}" in page
    assert "⟦U+202E⟧ODLIT⟦U+202C⟧" in page


@pytest.mark.parametrize("number", [*range(9), 11, 12, 13, *range(14, 32), 127, 0x85, 0x200F, 0x2028, 0x2066, 0xFEFF])
def test_no_character_that_steers_a_text_reaches_a_page(number: int) -> None:
    assert chr(number) not in reveal(f"a{chr(number)}b")


def test_a_row_shows_what_links_its_texts(reader: httpx.Client) -> None:
    page = reader.get("/rows/1").text
    assert re.search(r'<a class="claim contradicted" id="claim-\d+"[^>]*>BP of 118/62</a>', page)
    assert re.search(r'<mark class="contradicted" data-claims="\d+">BP 98/62</mark>', page)
    assert "attempt 2 of 2" in page
    assert "Diagnosis it arrives at: I5023" in page
    assert "is not in the form of an answer" in reader.get("/rows/1", params={"attempt": 1}).text


def test_what_does_not_exist_is_said_and_not_guessed(reader: httpx.Client) -> None:
    assert "Rows are numbered from 1 to 4" in reader.get("/rows/5").text
    answer = reader.get("/rows", params={"verdict": "lost"})
    assert (answer.status_code, "There is no verdict" in answer.text) == (404, True)
    assert reader.get("/static/..%2fpages.py").status_code == 404


def test_made_up_records_are_called_so(pages: Pages) -> None:
    from cards.reading_room.filters import Filters

    assert "Made-up records" in pages.render_list(Filters())


def test_an_address_that_others_reach_needs_the_sentence() -> None:
    with pytest.raises(DeepicdError, match="nothing was served") as error:
        check_host("0.0.0.0", None)  # noqa: S104
    sentence = SENTENCE.format(host="0.0.0.0")  # noqa: S104
    assert sentence in str(error.value)
    check_host("0.0.0.0", sentence)  # noqa: S104
    check_host("127.0.0.1", None)


def test_the_token_is_not_in_the_repr_and_not_twice_the_same() -> None:
    assert Address().token not in repr(Address())
    assert Address().token != Address().token


def test_view_refuses_an_open_address_before_it_reads_anything(deepicd: Deepicd, tmp_path: Path) -> None:
    outcome = deepicd("view", tmp_path / "absent", "--host", "0.0.0.0")  # noqa: S104
    assert (outcome.code, "nothing was served" in outcome.err) == (1, True)
