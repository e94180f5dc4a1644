"""A PhysioNet on loopback: basic auth, an agreement for each project, Range and If-Range, and faults on demand."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

USER, PASSWORD = "sam", "correct horse"
TABLES = {
    "mimiciv/3.1": (
        "hosp/patients", "hosp/admissions", "hosp/diagnoses_icd", "hosp/d_icd_diagnoses", "hosp/labevents",
        "icu/icustays", "icu/chartevents",
    ),
    "mimic-iv-note/2.2": ("note/discharge", "note/radiology"),
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """What becomes of one request instead of an ordinary answer."""

    status: int = 0
    """Answer with this status and no file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks_after: int | None = None
    """Bytes of the body after which the connection breaks."""
    hangs: bool = False
    """Instead of breaking, nothing more comes until the other side has gone."""
    sends: int | None = None
    """Bytes that come in answer to a Range that asks for more, as a server may decide."""
    garbled: bool = False
    """The right number of wrong bytes."""


ORDINARY = Fault()


@dataclass
class Site:
    """What the server holds and does, and what it was asked."""

    files: dict[str, bytes]
    """By path below /files/."""
    url: str = ""
    unsigned: set[str] = field(default_factory=set)
    """Slugs of projects whose agreement the account has not signed."""
    known_clients: tuple[str, ...] = ("deepicd/",)
    """How the User-Agent of a program begins that may log in."""
    ranges: bool = True
    etags: bool = True
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By file name: one for each of the next requests."""
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def asked(self, name: str) -> list[Mapping[str, str]]:
        """The headers of the requests for a file of that name that came with a password."""
        return [headers for path, headers in self.requests if path.endswith(f"/{name}") and "authorization" in headers]


def files() -> dict[str, bytes]:
    """Two releases: tables of made-up bytes, licences and lists of checksums."""
    made: dict[str, bytes] = {}
    for root, tables in TABLES.items():
        below = {f"{table}.csv.gz": f"{table} of {root}, made up. ".encode() * 2000 for table in tables}
        below["LICENSE.txt"] = b"A licence.\n"
        lines = [f"{sha256(content).hexdigest()} {name}\n" for name, content in below.items()]
        made |= {f"{root}/{name}": content for name, content in below.items()}
        made[f"{root}/SHA256SUMS.txt"] = "".join(lines).encode()
    return made


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(_Handler):
        pass

    Handler.site = site
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield site
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        site, path = self.site, self.path.removeprefix("/files/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        site.requests.append((self.path, headers))
        if status := self._refusal(path):
            return self._answer(status)
        faults = site.faults.get(path.rsplit("/", 1)[-1], [])
        fault = faults.pop(0) if faults else ORDINARY
        if fault.status:
            return self._answer(fault.status, headers=fault.headers)
        if path not in site.files:
            return self._answer(404)
        return self._file(site.files[path], fault)

    def _refusal(self, path: str) -> int | None:
        """As physionet-build: unknown programs 403, no or a wrong password 401, no agreement 403."""
        if not self.headers.get("User-Agent", "").startswith(self.site.known_clients):
            return 403
        if self.headers.get("Authorization") != f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}":
            return 401
        return 403 if path.split("/")[0] in self.site.unsigned else None

    def _file(self, content: bytes, fault: Fault) -> None:
        etag = f'"{sha256(content).hexdigest()[:12]}"'
        headers = {"ETag": etag} if self.site.etags else {}
        start, status, total = 0, 200, len(content)
        asked = self.headers.get("Range")
        if asked and self.site.ranges and self.headers.get("If-Range") in (None, etag):
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            if start >= total:
                return self._answer(416, headers={"Content-Range": f"bytes */{total}"})
            content = content[: start + fault.sends] if fault.sends else content
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{total}"
        body = b"?" * (total - start) if fault.garbled else content[start:]
        return self._answer(status, body, headers, fault)

    def _answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, fault: Fault = ORDINARY
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: fault.breaks_after])
        if fault.hangs:
            self.wfile.flush()
            self.rfile.read(1)
        self.close_connection = fault.breaks_after is not None

    def log_message(self, *args: object) -> None:
        """`requests` has them."""
