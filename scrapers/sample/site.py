"""A small site of made-up pages in the layout of gesund.bund.de, to try the crawl on. Nothing here is copied.

    with sample_site() as base_url:
        harvest(codes, out, base_url=base_url)

It answers for any code, always the same: of the codes that ICD-10-GM could have (letter and digits, at most five
characters) 82 % with a text, 8 % without one, 6 % with the text of a parent (of a child, where there is none), and 4 %
as unknown. Any other code is unknown. Every page says in its header `X-Made-Up` that it is made up, and every text does
so in its last line.

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
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deepicd.icd10cm import Code
from scrapers.sample import texts
from scrapers.site import MADE_UP, PATHS, Language

NO_TEXT, ANOTHER_CODE, UNKNOWN = 8, 6, 4
"""Shares in per cent of the codes that ICD-10-GM could have; the rest have a text of their own."""

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
HTML = {"Content-Type": "text/html; charset=utf-8", MADE_UP: "yes"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the site sends back."""

    status: int
    body: str | bytes
    headers: Mapping[str, str] = field(default_factory=lambda: HTML)
    """The length is sent as well, unless it is given here as ''."""
    wait: float = 0.0  # seconds before it comes
    share: float = 1.0
    """How much of the body is sent before the connection breaks off."""


def answer(path: str) -> Answer:
    """The site's answer to a path: robots.txt, the page of a code, or 404."""
    if path == "/robots.txt":
        return Answer(200, ROBOTS, PLAIN)
    address = ADDRESS.fullmatch(path)
    code = Code.find(address["slug"].replace("-", ".", 1)) if address else None
    if address is None or code is None:
        return Answer(404, _html("Seite nicht gefunden", "<main><h1>Seite nicht gefunden</h1></main>", "de"))
    return Answer(200, code_page(code, "en" if address["en"] else "de"))


def code_page(code: Code, language: Language) -> str:
    """The page of any code."""
    if is_unknown(code):
        return _html(UNKNOWN_TITLE[language], f"<main><h1>{UNKNOWN_TITLE[language]}</h1></main>", language)
    title = escape(texts.title(code))
    block = ""
    if owner := text_of(code):
        text = "".join(f"<p>\n{escape(part)}\n</p>" for part in texts.paragraphs(owner, language))
        block = f'<div data-text-key="{owner}">{text}</div>'
    return _html(
        f"{KNOWN[language]}: {code} | Beispiel",
        f"<h1>{HEADLINE[language]} {code}: {title}</h1>"
        f"<article>{block}{INDICATORS[language]}{NOTES[language]}</article>",
        language,
    )


def is_unknown(code: Code) -> bool:
    """Whether the site has no page of the code: ICD-10-GM cannot have it, or chance took it out."""
    return not GM_SHAPE.fullmatch(code.value) or _drawn(code) < UNKNOWN


def text_of(code: Code) -> Code | None:
    """The code whose text stands on the page of a code that is known; None where there is no text."""
    drawn = _drawn(code) - UNKNOWN
    if drawn < NO_TEXT:
        return None
    if drawn < NO_TEXT + ANOTHER_CODE:
        return Code(code.value[:-1]) if len(code.value) > 3 else Code(f"{code.value}0")
    return code


def _drawn(code: Code) -> int:
    """0 to 99, always the same for a code."""
    return int.from_bytes(sha256(code.value.encode()).digest()[:4]) % 100


def _html(title: str, main: str, language: Language) -> str:
    """A page with the things around its content that a reader of it must pass over."""
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        f'<header><nav><a href="/{PATHS[language]}/">ICD</a><a href="/">Start</a></nav></header>'
        f"{main}<footer><p>Erfundene Beispielseite</p></footer></body></html>"
    )


@dataclass
class Served:
    """A site at work: where it is, and the paths it was asked for, in order."""

    url: str
    paths: list[str]

    @property
    def pages(self) -> list[str]:
        """The paths other than robots.txt."""
        return [path for path in self.paths if path != "/robots.txt"]


@contextmanager
def served(respond: Callable[[str], Answer], port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """A site on loopback that answers each path as `respond` says; a free port unless one is named."""
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
            """No line a request: `paths` has them."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing to say when whoever asked has gone, as a crawler that lost patience has."""
            if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    with Server(("127.0.0.1", port), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield Served(f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}", paths)
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def sample_site() -> Iterator[str]:
    """The address of a running sample site."""
    with served(answer) as site:
        yield site.url


def main() -> None:
    import click

    @click.command()
    @click.option("--port", default=8000, show_default=True)
    def serve(port: int) -> None:
        """Serve the made-up pages on this machine until Ctrl-C."""
        with served(answer, port) as site:
            click.echo(f"Made-up pages, for instance {site.url}/{PATHS['de']}/i50-1; Ctrl-C ends it.")
            threading.Event().wait()

    serve()


if __name__ == "__main__":
    main()
