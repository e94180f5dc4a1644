"""A small site of made-up pages in the layout of gesund.bund.de, to try the crawl on. Nothing here is copied.

    with sample_site() as base_url:
        scrape(codes, out, base_url=base_url)

It answers for any code, always in the same way. Of the codes that ICD-10-GM could have (letter and digits, at most five
characters), 82 % have a text, 8 % none, 6 % the text of a parent (of a child, for a category), and 4 % are unknown. All
other codes are unknown. Every page declares in its header `X-Made-Up` that it is made up, every text in its last line.

A text is composed from `texts.yaml`: it fits its code's chapter and explains a few words of its title. The same code
always has the same text.

    >>> find_title(Code.parse("I50.1")), compose_text(Code.parse("I50.1"), "de")[0][:54]
    ('Left ventricular failure, unspecified', 'Bei Ihnen sind das Herz oder die Blutgefäße erkrankt. ')

Run: python -m scrapers.sample.site --port 8000
"""

import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from deepicd.icd10cm import Code
from deepicd.parsing import parse_yaml
from scrapers.site import MADE_UP_HEADER, PATHS, Language


def find_title(code: Code) -> str:
    """Return the title of the code in ICD-10-CM or, for a code that only ICD-10-GM has, that of its nearest parent."""
    titles = (title for prefix in code.prefixes if (title := Code(prefix).title))
    return next(titles, code.chapter.title)


def compose_text(code: Code, language: Language) -> list[str]:
    """Return four paragraphs of 60 to 200 words in all; the last says that the text is made up."""
    blocks = _load_blocks()[language]
    chapter = blocks["chapters"][code.chapter.number]
    title = find_title(code)
    digest = sha256(code.value.encode()).digest()
    first = digest[0] % 4
    second = (first + 1 + digest[1] % 3) % 4  # never the first again
    signs = blocks["signs"].format(first=chapter["signs"][first], second=chapter["signs"][second])
    words = title.lower().replace(",", "").split()
    explanations = [sentence for word, sentence in blocks["words"].items() if word in words]
    return [
        f"{chapter['opening']} {blocks['named'].format(title=title)}",
        " ".join([chapter["body"], *explanations]),
        f"{signs} {chapter['care']} {blocks['advice'][digest[2] % 4]}",
        blocks["note"],
    ]


@cache
def _load_blocks() -> Any:
    return parse_yaml(files("scrapers").joinpath("sample", "texts.yaml").read_bytes())


NO_TEXT, ANOTHER_CODE, UNKNOWN = 8, 6, 4
"""Shares, in percent, of the codes that ICD-10-GM could have; the rest have a text of their own."""

GM_SHAPE = re.compile(r"[A-Z][0-9]{2,4}", re.ASCII)
ADDRESS = re.compile(rf"/(?:{PATHS['de']}|(?P<en>{PATHS['en']}))/(?P<slug>[^/?]+)")
ROBOTS = "User-agent: *\nAllow: /\n"

HEADLINE: dict[Language, str] = {"de": "ICD-Code", "en": "ICD code"}
KNOWN: dict[Language, str] = {"de": "ICD-10-Code", "en": "ICD-10 code"}
UNKNOWN_TITLE: dict[Language, str] = {"de": "ICD-Code-Suche", "en": "ICD code search"}
INDICATORS: dict[Language, str] = {
    "de": "<h2>Zusatzkennzeichen</h2><ul><li>G: Gesicherte Diagnose</li><li>V: Verdacht auf</li></ul>",
    "en": "<h2>Additional indicator</h2><ul><li>G: Confirmed diagnosis</li><li>V: Suspected</li></ul>",
}
HINT: dict[Language, str] = {"de": "Alle Angaben sind erfunden.", "en": "All of this is made up."}
NOTES: dict[Language, str] = {"de": f"<h2>Hinweis</h2><p>{HINT['de']}</p>", "en": f"<h2>Note</h2><p>{HINT['en']}</p>"}
HTML = {"Content-Type": "text/html; charset=utf-8", MADE_UP_HEADER: "yes"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the site."""

    status: int
    body: str | bytes
    headers: Mapping[str, str] = field(default_factory=lambda: HTML)
    """Content-Length is added, unless it is given here as ''."""
    wait: float = 0.0  # seconds before it comes
    share: float = 1.0
    """How much of the body is sent before the connection breaks."""


def answer_path(path: str) -> Answer:
    """Return the site's answer to a path: robots.txt, the page of a code, or 404."""
    if path == "/robots.txt":
        return Answer(200, ROBOTS, PLAIN)
    address = ADDRESS.fullmatch(path)
    code = Code.find(address["slug"].replace("-", ".", 1)) if address else None
    if address is None or code is None:
        return Answer(404, _render_html("Seite nicht gefunden", "<main><h1>Seite nicht gefunden</h1></main>", "de"))
    return Answer(200, render_page(code, "en" if address["en"] else "de"))


def render_page(code: Code, language: Language) -> str:
    """Return the page of any code as HTML."""
    if is_unknown(code):
        return _render_html(UNKNOWN_TITLE[language], f"<main><h1>{UNKNOWN_TITLE[language]}</h1></main>", language)
    title = escape(find_title(code))
    block = ""
    if owner := find_text_owner(code):
        text = "".join(f"<p>\n{escape(part)}\n</p>" for part in compose_text(owner, language))
        block = f'<div data-text-key="{owner}">{text}</div>'
    return _render_html(
        f"{KNOWN[language]}: {code} | Beispiel",
        f"<h1>{HEADLINE[language]} {code}: {title}</h1>"
        f"<article>{block}{INDICATORS[language]}{NOTES[language]}</article>",
        language,
    )


def is_unknown(code: Code) -> bool:
    """Return whether the site has no page of the code: ICD-10-GM cannot have it, or it is one of the 4 %."""
    return not GM_SHAPE.fullmatch(code.value) or _hash_percent(code) < UNKNOWN


def find_text_owner(code: Code) -> Code | None:
    """Return the code whose text is on the page of a known code; None if there is no text."""
    number = _hash_percent(code) - UNKNOWN
    if number < NO_TEXT:
        return None
    if number < NO_TEXT + ANOTHER_CODE:
        return Code(code.value[:-1]) if len(code.value) > 3 else Code(f"{code.value}0")
    return code


def _hash_percent(code: Code) -> int:
    """Return a number from 0 to 99 that is always the same for a code."""
    return int.from_bytes(sha256(code.value.encode()).digest()[:4]) % 100


def _render_html(title: str, main: str, language: Language) -> str:
    """Return a page with a header, a footer and links, which a reader must leave out."""
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        f'<header><nav><a href="/{PATHS[language]}/">ICD</a><a href="/">Start</a></nav></header>'
        f"{main}<footer><p>Erfundene Beispielseite</p></footer></body></html>"
    )


@dataclass
class RunningSite:
    """A site that is being served: its address, and the requested paths in order."""

    url: str
    paths: list[str]

    @property
    def pages(self) -> list[str]:
        """The paths other than robots.txt."""
        return [path for path in self.paths if path != "/robots.txt"]


@contextmanager
def serve(respond: Callable[[str], Answer], port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[RunningSite]:
    """Serve a site on loopback, on a free port unless one is given; `respond` answers each path."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet, else each answer waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            paths.append(self.path)
            answer = respond(self.path)
            time.sleep(answer.wait)
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: round(answer.share * len(body))])
            self.close_connection = self.close_connection or answer.share < 1

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Print nothing: `paths` has the requests."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Ignore clients that have closed the connection, as a crawler does after its timeout."""
            if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    with Server(("127.0.0.1", port), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield RunningSite(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}", paths)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def sample_site() -> Iterator[str]:
    """Serve the sample site and yield its address."""
    with serve(answer_path) as site:
        yield site.url


def main() -> None:
    """Run the command line of `python -m scrapers.sample.site`."""
    import click

    @click.command()
    @click.option("--port", default=8000, show_default=True)
    def command(port: int) -> None:
        """Serve the made-up pages on this machine until Ctrl-C."""
        with serve(answer_path, port) as site:
            click.echo(f"Serving made-up pages, for instance {site.url}/{PATHS['de']}/i50-1; stop with Ctrl-C.")
            threading.Event().wait()

    command()


if __name__ == "__main__":
    main()
