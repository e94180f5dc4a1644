"""Crawls that are killed, refused, asked to wait, forbidden, or left without an answer."""

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import pairwise

import pytest

from deepicd.cli import main
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from scrapers import crawl, page_store
from scrapers.sample.site import PLAIN, Answer, answer_path, serve

TEN = [Code(f"K{number}") for number in range(20, 30)]


def test_a_crawl_killed_three_times_continues_and_repeats_only_requests_under_way(tmp_path, rows):
    stuck = ["k21", "k24", "k27"]
    reached, go_on = threading.Event(), threading.Event()
    file = tmp_path / "codes.txt"
    file.write_text("".join(f"{code}\n" for code in TEN))

    def stuck_three_times(path: str) -> Answer:
        if path.endswith(tuple(stuck)):
            stuck.remove(path[-3:])
            reached.set()
            go_on.wait(20)
        return answer_path(path)

    with serve(stuck_three_times) as site:
        command = [sys.executable, "-m", "deepicd", "scrape", "out", "--codes", file, "--base-url", site.url]
        for held in (1, 4, 7):
            with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as crawler:
                assert reached.wait(20)
                with page_store.open_store(tmp_path / "out/.crawl/pages.sqlite") as pages:
                    while len(pages.list_codes()) < held:
                        time.sleep(0.02)
                os.kill(crawler.pid, signal.SIGKILL)
            reached.clear()
        time.sleep(2)  # until the orphaned crawl has noticed and ended; it must not get the answer
        go_on.set()
        assert not (tmp_path / "out/run.json").exists()
        last = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    # the page under way or, if its answer came just before the orphaned crawl noticed the kill, the next one
    again = Counter(site.pages) - Counter(set(site.pages))
    assert set(site.pages) == {f"/icd-code-suche/{str(code).lower()}" for code in TEN}
    assert again.total() == 3
    assert {"/icd-code-suche/k21", "/icd-code-suche/k24"} <= set(again)
    assert list(rows(tmp_path / "out")) == [str(code) for code in TEN]
    assert re.search(r"^described +\d+$", last.stdout, re.MULTILINE)


def test_a_full_disk_stops_the_crawl_and_keeps_the_pages_so_far(tmp_path, rows):
    codes = [Code(f"{letter}{number:02}") for letter in "AC" for number in range(60)]
    (tmp_path / "codes.txt").write_text("".join(f"{code}\n" for code in codes))
    with serve(answer_path) as site:
        command = f"{sys.executable} -m deepicd scrape out --codes codes.txt --base-url {site.url}"
        # no file may grow beyond 512 KiB, which looks to the writer like a full disk
        full = subprocess.run(["bash", "-c", f"ulimit -f 512; {command}"], cwd=tmp_path, capture_output=True, text=True)
        assert (full.returncode, "Traceback" in full.stderr) == (1, False), full.stderr
        assert re.search("could not be stored|cannot be used", full.stderr)
        had = set(site.pages)
        assert 0 < len(had) < len(codes)
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    assert len(rows(tmp_path / "out")) == len(codes)
    assert len(site.pages) <= len(codes) + 2, "twice only what could not be stored and what was under way"


def test_an_untrusted_certificate_is_an_error(tmp_path):
    key = tmp_path / "site.pem"
    made = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {tmp_path}/site.crt"
    )
    subprocess.run(made.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "site.crt", key)
    with (
        serve(answer_path, tls=context) as site,
        pytest.raises(DeepicdError, match="its certificate cannot be trusted"),
    ):
        crawl.scrape(TEN[:1], tmp_path / "out", base_url=site.url)
    assert site.paths == []


def test_an_overloaded_server_is_asked_again_after_the_wait_that_it_asks_for(tmp_path, rows):
    requests: dict[str, list[float]] = {}

    def overloaded(path: str) -> Answer:
        times = requests.setdefault(path, [])
        times.append(time.monotonic())
        if path.endswith("k20") and len(times) < 3:
            return Answer(503, "busy")
        if path.endswith("k21") and len(times) < 2:
            return Answer(429, "slow down", {"Retry-After": "1"})
        return answer_path(path)

    with serve(overloaded) as site:
        crawl.scrape(TEN[:3], tmp_path, base_url=site.url)
    busy, slow = requests["/icd-code-suche/k20"], requests["/icd-code-suche/k21"]
    assert (len(busy), len(slow)) == (3, 2)
    assert busy[1] - busy[0] >= 0.05
    assert busy[2] - busy[1] >= 0.1
    assert slow[1] - slow[0] >= 1
    assert [row["status"] for row in rows(tmp_path).values()] == [200, 200, 200]


def test_a_page_without_an_answer_is_recorded_and_requested_again(tmp_path, rows):
    broken = True

    def one_broken(path: str) -> Answer:
        return Answer(500, "") if broken and path.endswith("k21") else answer_path(path)

    with serve(one_broken) as site:
        record = crawl.scrape(TEN[:3], tmp_path, base_url=site.url)
        assert record.counts.outcomes["no answer"] == 1
        assert (rows(tmp_path)["K21"]["outcome"], rows(tmp_path)["K21"]["status"]) == ("no answer", 500)
        broken, requests = False, len(site.pages)
        crawl.scrape(TEN[:3], tmp_path, base_url=site.url)
        assert site.pages[requests:] == ["/icd-code-suche/k21"]
    assert rows(tmp_path)["K21"]["status"] == 200


def test_a_host_that_refuses_the_crawler_is_left_alone_and_the_pages_are_kept(tmp_path):
    away = True

    def away_after_two(path: str) -> Answer:
        return (
            Answer(403, "") if away and path >= "/icd-code-suche/k22" and path != "/robots.txt" else answer_path(path)
        )

    with serve(away_after_two) as site:
        with pytest.raises(DeepicdError, match="HTTP status 403; the crawl gave up with 2 of 10 pages fetched"):
            crawl.scrape(TEN, tmp_path, base_url=site.url)
        assert len(site.pages) <= 8, "two pages, five refusals, and one that was under way"
        assert not (tmp_path / crawl.TABLE).exists()
        away, requests = False, len(site.pages)
        crawl.scrape(TEN, tmp_path, base_url=site.url)
        assert len(site.pages[requests:]) == 8


def test_pages_that_robots_txt_forbids_are_not_requested(tmp_path):
    robots = Answer(200, "User-agent: deepicd\nDisallow: /icd-code-suche/\n", PLAIN)
    with (
        serve(lambda path: robots if path == "/robots.txt" else answer_path(path)) as site,
        pytest.raises(DeepicdError, match=r"robots\.txt of 127\.0\.0\.1 forbids"),
    ):
        crawl.scrape(TEN, tmp_path / "out", base_url=site.url)
    assert set(site.paths) == {"/robots.txt"}
    assert not (tmp_path / "out").exists()


def test_the_delay_that_robots_txt_asks_for_is_kept(tmp_path):
    times: list[float] = []

    def unhurried(path: str) -> Answer:
        times.append(time.monotonic())
        return Answer(200, "User-agent: *\nCrawl-delay: 0.4\n", PLAIN) if path == "/robots.txt" else answer_path(path)

    with serve(unhurried) as site:
        crawl.scrape(TEN[:3], tmp_path, base_url=site.url)
    # arrivals on a busy machine vary by some 10 ms
    assert min(later - sooner for sooner, later in pairwise(times[1:])) >= 0.35


def test_a_host_that_cannot_be_reached_is_an_error_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "codes.txt").write_text("I50.21\n")
    with pytest.raises(SystemExit, match="1"):
        main(["scrape", f"{tmp_path}/out", "--codes", f"{tmp_path}/codes.txt", "--base-url", "http://127.0.0.1:1"])
    error = capsys.readouterr().err
    assert error.startswith(
        "Error: http://127.0.0.1:1: its robots.txt cannot be fetched (connection refused), so no page"
    )
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_pages_without_any_text_are_an_error(tmp_path):
    with (
        serve(lambda path: Answer(404 if path == "/robots.txt" else 200, "<title>Wartung</title>")) as site,
        pytest.raises(DeepicdError, match=r"None of the 3 pages .* has a text for its code: 3 × not an ICD page"),
    ):
        crawl.scrape(TEN[:3], tmp_path, base_url=site.url)
    assert not (tmp_path / crawl.TABLE).exists()
