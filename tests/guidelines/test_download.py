"""Downloads from a server on loopback, with the faults that servers have."""

from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy
from guidelines.download import ADDRESS, download_guidelines

TWICE = RetryPolicy(attempts=2, timeout=20.0, first_wait=0.01)


class Site(BaseHTTPRequestHandler):
    """2025 is redirected; 2024 is a web page; 2023 breaks off; 2022 is the guideline of another year."""

    def __init__(self, pdf: bytes, *args) -> None:
        self.pdf = pdf
        super().__init__(*args)

    def do_GET(self) -> None:
        pages = {
            ADDRESS.format(year=2024): (200, b"<html>Please accept our cookies</html>", None),
            ADDRESS.format(year=2023): (200, self.pdf[:5000], len(self.pdf)),
            ADDRESS.format(year=2022): (200, self.pdf, None),
            "/media/guidelines.pdf": (200, self.pdf, None),
        }
        if self.path == ADDRESS.format(year=2025):
            self.send_response(302)
            self.send_header("Location", "/media/guidelines.pdf")
            self.end_headers()
            return
        status, content, announced = pages.get(self.path, (404, b"", None))
        self.send_response(status)
        self.send_header("Content-Length", str(announced or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def site(sample_pdf: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, sample_pdf.read_bytes())) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_redirect_is_followed(site, sample_pdf, tmp_path):
    assert download_guidelines(2025, tmp_path / "g.pdf", site).read_bytes() == sample_pdf.read_bytes()


def test_a_busy_server_is_asked_again(sample_pdf, tmp_path):
    answers = [b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"]

    class Busy(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10_000)
            self.request.sendall(answers.pop() if answers else b"HTTP/1.1 200 OK\r\n\r\n" + sample_pdf.read_bytes())

    with ThreadingTCPServer(("127.0.0.1", 0), Busy) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        file = download_guidelines(2025, tmp_path / "g.pdf", address, policy=TWICE)
        server.shutdown()
    assert file.read_bytes() == sample_pdf.read_bytes()


def test_a_file_that_is_there_already_is_kept(sample_pdf, tmp_path):
    (there := tmp_path / "g.pdf").write_bytes(sample_pdf.read_bytes())
    assert download_guidelines(2025, there, "http://127.0.0.1:9") == there


@pytest.mark.parametrize(
    ("year", "message"),
    [
        (2021, "answers 404"),
        (2024, "fy-2024-icd-10-cm-coding-guidelines.pdf is not a PDF but a web page"),
        (2023, r"is broken: .*received 5000 bytes, expected \d+"),
        (2022, "is the guideline of fiscal year 2025, not of 2022"),
    ],
)
def test_what_is_not_the_guideline_leaves_nothing(site, tmp_path, year, message):
    with pytest.raises(DeepicdError, match=message):
        download_guidelines(year, tmp_path / "g.pdf", site, policy=TWICE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("base", "message"),
    [("http://127.0.0.1:9", "could not be downloaded: no server answers"), ("file:///etc", "not a web address")],
)
def test_a_site_that_does_not_answer(tmp_path, base, message):
    with pytest.raises(DeepicdError, match=message):
        download_guidelines(2025, tmp_path / "g.pdf", base, policy=TWICE)


BROKEN = {
    "status line": (b"HELLO THERE\r\n\r\n", "is broken: illegal status line"),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n%PDF-1.4",
        "is broken: peer closed connection",
    ),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n%PDF-1.4", "is broken: bad Content-Length"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n", "is broken: Invalid URL in location header"),
    "silence": (b"", "is broken: Server disconnected"),
}


@pytest.mark.parametrize(("answer", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_an_error_and_leaves_nothing(tmp_path, answer, message):
    class Broken(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10_000)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        with pytest.raises(DeepicdError, match=message) as error:
            download_guidelines(2025, tmp_path / "g.pdf", f"http://127.0.0.1:{server.server_address[1]}", policy=TWICE)
        server.shutdown()
    assert error.value.advice
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("base", ["http://foo bar", "http://[::1", "http://a..b", "http://127.0.0.1:port"])
def test_an_invalid_address_is_an_error(tmp_path, base):
    with pytest.raises(DeepicdError, match="is not a web address"):
        download_guidelines(2025, tmp_path / "g.pdf", base, policy=TWICE)


def test_a_folder_is_not_a_place_to_save_to(tmp_path):
    with pytest.raises(DeepicdError, match="is a folder, not a PDF file") as error:
        download_guidelines(2025, tmp_path)
    assert str(tmp_path / "icd-10-cm-guidelines.pdf") in error.value.advice


def test_the_command_downloads_and_parses(site, tmp_path, deepicd):
    arguments = ["--fetch", "2025", str(tmp_path / "g.pdf"), str(tmp_path / "out"), "--base-url", site]
    assert deepicd("guidelines", *arguments).code == 0
    assert (tmp_path / "out" / "fy2025" / "chapter_22.json").is_file()


def test_the_command_without_arguments_says_what_it_needs(deepicd):
    result = deepicd("guidelines", "parse")
    assert result.code == 2
    assert "PDF and OUT are needed" in result.err
