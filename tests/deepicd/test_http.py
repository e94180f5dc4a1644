"""One retry policy, against a real HTTP server on loopback."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from deepicd import http
from deepicd.http import RetryPolicy, TransientError, parse_retry_after

QUICK = RetryPolicy(attempts=4, timeout=20.0, first_wait=0.01, longest_wait=5.0)


@dataclass
class Server:
    """Answers with the next of `answers` (status and headers; None breaks off), then with 200."""

    url: str = ""
    answers: list[tuple[int, Mapping[str, str]] | None] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)  # when each came
    timeout: float = QUICK.timeout  # of its clients

    def get(self) -> str:
        """One request, as a caller makes it."""
        response = httpx.get(self.url, timeout=self.timeout)
        http.raise_if_transient(response)
        return response.raise_for_status().text

    async def get_async(self) -> str:
        async with httpx.AsyncClient(timeout=self.timeout) as client:
            return (await client.get(self.url)).raise_for_status().text


@pytest.fixture
def server() -> Iterator[Server]:
    site = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append(time.monotonic())
            answer = site.answers.pop(0) if site.answers else (200, {})
            if answer is None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                return
            status, headers = answer
            time.sleep(float(headers.get("X-Delay", 0)))
            self.send_response(status)
            for name, value in {"Content-Length": "5", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"whole")

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    site.url = f"http://127.0.0.1:{listener.server_address[1]}/"
    yield site
    listener.shutdown()
    listener.server_close()


@pytest.mark.parametrize("status", sorted(http.TRANSIENT_STATUSES))
def test_a_busy_server_is_asked_again(status: int, server: Server) -> None:
    server.answers = [(status, {})] * 3
    assert http.retry(server.get, QUICK, doing="Reading") == "whole"
    assert len(server.requests) == 4


def test_a_broken_and_a_late_answer_are_asked_for_again(server: Server) -> None:
    server.answers, server.timeout = [None, (200, {"X-Delay": "3"})], 1.0
    assert http.retry(server.get, QUICK, doing="Reading") == "whole"
    assert len(server.requests) == 3


def test_the_same_policy_holds_in_an_event_loop(server: Server) -> None:
    server.answers = [(503, {}), None, (502, {})]
    assert asyncio.run(http.retry_async(lambda: server.get_async(), QUICK, doing="Reading")) == "whole"
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 501, 507])
def test_a_refusal_is_not_asked_again(status: int, server: Server) -> None:
    server.answers = [(status, {})]
    with pytest.raises(httpx.HTTPStatusError):
        http.retry(server.get, QUICK, doing="Reading")
    assert len(server.requests) == 1


def test_the_last_error_is_raised_when_the_attempts_are_used_up(server: Server) -> None:
    server.answers = [(503, {})] * 9
    with pytest.raises(TransientError, match=r"127.0.0.1 answered 503"):
        http.retry(server.get, QUICK, doing="Reading")
    assert len(server.requests) == 4


def test_an_address_without_a_server_and_one_that_is_none_are_told_apart(server: Server) -> None:
    calls = []

    def get(url: str) -> str:
        calls.append(url)
        return httpx.get(url).text

    with pytest.raises(httpx.ConnectError):
        http.retry(lambda: get("http://127.0.0.1:9/"), QUICK, doing="Reading")
    with pytest.raises(httpx.UnsupportedProtocol):
        http.retry(lambda: get("ftp://127.0.0.1/"), QUICK, doing="Reading")
    assert len(calls) == QUICK.attempts + 1


def test_the_server_is_given_the_time_that_it_asks_for(server: Server) -> None:
    server.answers = [(429, {"Retry-After": "1"})]
    http.retry(server.get, QUICK, doing="Reading")
    first, second = server.requests
    assert second - first >= 1.0


def test_a_server_that_asks_for_too_much_time_is_not_asked_again(server: Server) -> None:
    server.answers = [(429, {"Retry-After": "3600"})]
    with pytest.raises(TransientError) as raised:
        http.retry(server.get, QUICK, doing="Reading")
    assert (len(server.requests), raised.value.retry_after) == (1, 3600.0)


def test_each_retry_is_logged_once_and_without_the_answer(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.answers = [(503, {}), None]
    with caplog.at_level(logging.INFO, logger="deepicd"):
        http.retry(server.get, QUICK, doing="Reading the page")
    assert caplog.messages == [
        "Reading the page: 127.0.0.1 answered 503 Service Unavailable; attempt 2 of 4 follows in 0 seconds.",
        "Reading the page: the connection broke (RemoteProtocolError); attempt 3 of 4 follows in 0 seconds.",
    ]


def test_of_many_requests_that_fail_for_one_reason_one_is_a_warning(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = [(503, {})] * 8

    async def read_all() -> None:
        await asyncio.gather(*(http.retry_async(server.get_async, QUICK, doing="Reading all") for _ in range(4)))

    with caplog.at_level(logging.DEBUG, logger="deepicd"):
        asyncio.run(read_all())
    levels = [record.levelno for record in caplog.records]
    assert sorted(levels) == [logging.DEBUG] * 7 + [logging.WARNING]


def test_a_caller_may_say_what_is_worth_another_attempt(server: Server) -> None:
    answers = iter(["", "", "text"])

    def read() -> str:
        if not (text := next(answers)):
            raise KeyError
        return text

    assert http.retry(read, QUICK, doing="Reading", is_transient=lambda error: isinstance(error, KeyError)) == "text"


def test_an_error_that_a_client_wraps_is_looked_through(server: Server) -> None:
    server.answers = [(503, {"Retry-After": "2"})]
    try:
        httpx.get(server.url).raise_for_status()
    except httpx.HTTPStatusError as error:
        wrapped = RuntimeError("upload failed")
        wrapped.__cause__ = error
    assert http.is_transient(wrapped)
    assert http.find_retry_after(wrapped) == 2.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "٣"}, None),  # a digit that HTTP does not know
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 -0000"}, 0.0),
        ({"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, 55.0),
        ({"RateLimit": '"api";r=0;t=55, "pages";r=0;t=70, "resolvers";r=9;t=300'}, 70.0),
        ({"RateLimit": '"api";r=12;t=55'}, None),  # not the limit, so not the reason
        ({"RateLimit-Reset": "30"}, 30.0),
        ({"RateLimit-Reset": "30", "RateLimit-Remaining": "4"}, None),
        ({"Retry-After": "7", "RateLimit": '"api";r=0;t=55'}, 7.0),
    ],
)
def test_waiting_times_are_read_in_every_form_that_servers_use(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers) == seconds


def test_a_date_to_come_is_a_wait_until_then() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (parse_retry_after({"Retry-After": moment}) or 0) <= 90


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=2000, first_wait=2.0, longest_wait=60.0)
    waits = [policy.next_wait(failures) or 0 for failures in (1, 2, 3, 10, 1999)]
    for wait, most in zip(waits, (2, 4, 8, 60, 60), strict=True):
        assert 0.75 * most <= wait <= most
    assert policy.next_wait(2000) is None
