"""A Hugging Face Hub on loopback, for the unmodified `huggingface_hub` and `datasets`: real HTTP, faults on demand.

Private and gated repositories, tokens that may read or write, owners and organisations, LFS with proof by SHA-256,
commits with their parent, trees, ranges. Run alone, `python tests/hub_server.py FOLDER [BYTES_PER_SECOND]` prints its
address; the number imitates a slow line.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from hub_api import Api, Refusal
from hub_state import Fault, Hub, User

TOKENS = {
    "hf_write": User("sam", "write", {"clinic": "write", "society": "read"}),
    "hf_read": User("sam", "read"),
    "hf_other": User("alex", "write"),
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect: faults make them do so."""


@contextmanager
def serve_hub(folder: Path) -> Iterator[tuple[Hub, str]]:
    """Serve a hub; yield it and its address."""
    folder.mkdir(parents=True, exist_ok=True)

    class Handler(_Handler):
        hub = Hub(folder, users=dict(TOKENS))

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        Handler.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield Handler.hub, Handler.url
        server.shutdown()
        thread.join()


class _Handler(Api, BaseHTTPRequestHandler):
    url = ""
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        split = urlsplit(self.path)
        path, self.query = unquote(split.path), parse_qs(split.query)
        step, repo_id, rest = _route(path)
        self.more = {}
        self.hub.requests.append((step, path))
        length = int(self.headers.get("Content-Length") or 0)
        fault = self.hub.take_fault(step, repo_id, self.headers.get("Authorization", "").removeprefix("Bearer "))
        if fault and fault.kind in ("drop", "hang", "status", "html"):
            return self._send_fault(fault, length)
        try:
            status, headers, body = self._answer(step, repo_id, rest, length)
        except Refusal as refused:
            headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
            status, body = refused.status, json.dumps({"error": refused.message, **refused.more}).encode()
        if fault and fault.kind in ("lost", "stall"):
            self.close_connection = True
            return self._wait() if fault.kind == "stall" else None
        return self._send(status, headers, body, cut=bool(fault))

    def _send_fault(self, fault: Fault, length: int) -> None:
        if fault.kind in ("drop", "hang"):
            self.close_connection = True
            if fault.kind == "hang":
                self._wait()
            return
        self._skip(length)
        if fault.kind == "html":
            self._send(200, {"Content-Type": "text/html"}, b"<html>Sign in to this network</html>")
        else:
            headers = {"X-Error-Message": fault.message, **fault.headers}
            self._send(fault.status, headers, json.dumps({"error": fault.message}).encode())

    def _wait(self) -> None:
        """Wait until the client disconnects."""
        with suppress(OSError):
            self.connection.settimeout(20)
            while self.connection.recv(2**16):
                pass

    def _send(self, status: int, headers: dict[str, str], body: bytes | Path, *, cut: bool = False) -> None:
        size = body.stat().st_size if isinstance(body, Path) else len(body)
        start, end = 0, size
        request = self.headers.get("Range")
        if request and status == 200 and "Accept-Ranges" in headers:
            first, _, last = request.removeprefix("bytes=").partition("-")
            start, end = int(first), min(size, int(last) + 1 if last else size)
            status, headers = 206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(end - start), **headers}.items():
            self.send_header(name, value.encode("ascii", "replace").decode())
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut:
            end, self.close_connection = start + (end - start) // 2, True
        if isinstance(body, bytes):
            self.wfile.write(body[start:end])
            return
        with body.open("rb") as file:
            file.seek(start)
            while start < end and (piece := file.read(min(2**20, end - start))):
                self.wfile.write(piece)
                start += len(piece)

    def _skip(self, length: int) -> None:
        while length > 0:
            length -= len(self.rfile.read(min(length, 2**20)))

    def _answer(self, step: str, repo_id: str, rest: str, length: int) -> tuple[int, dict[str, str], bytes | Path]:
        """Return status, headers and body of the regular answer. Raises Refusal."""
        if step == "lfs-put":
            return 200, {}, self._receive(repo_id, rest, length)
        body = self.rfile.read(length)
        user = self._user()
        with self.hub.lock:
            if step == "resolve":
                return self._file(repo_id, rest, user)
            found = getattr(self, "_" + step.replace("-", "_"), self._unknown)(repo_id, rest, body, user)
        return 200, self.more, json.dumps(found).encode()

    def _unknown(self, *_: object) -> None:
        raise Refusal(404, f"no such route: {self.command} {self.path}")

    def log_message(self, *args: object) -> None:
        """Print nothing: `hub.requests` has every request."""


def _route(path: str) -> tuple[str, str, str]:
    """Return step, repository and rest of the path."""
    parts = path.strip("/").split("/")
    match parts:
        case ["api", "whoami-v2"]:
            return "whoami", "", ""
        case ["api", "repos", "create"]:
            return "create", "", ""
        case ["api", "validate-yaml"]:
            return "validate-yaml", "", ""
        case ["api", ("datasets" | "models") as kind, owner, name]:
            return "info", _id(kind, owner, name), ""
        case ["api", ("datasets" | "models") as kind, owner, name, "revision", revision]:
            return "info", _id(kind, owner, name), revision
        case ["api", ("datasets" | "models") as kind, owner, name, ("xet-write-token" | "xet-read-token"), *rest]:
            return "xet-token", _id(kind, owner, name), "/".join(rest)
        case ["api", ("datasets" | "models") as kind, owner, name, step, *rest]:
            return step, _id(kind, owner, name), "/".join(rest)
        case ["lfs", *repo, oid]:
            return "lfs-put", "/".join(repo), oid
        case ["datasets", owner, name, "info", "lfs", "objects", step]:
            return f"lfs-{step}", f"{owner}/{name.removesuffix('.git')}", ""
        case [owner, name, "info", "lfs", "objects", step]:
            return f"lfs-{step}", _id("models", owner, name.removesuffix(".git")), ""
        case ["datasets", owner, name, "resolve", *rest]:
            return "resolve", f"{owner}/{name}", "/".join(rest)
        case [owner, name, "resolve", *rest]:
            return "resolve", _id("models", owner, name), "/".join(rest)
    return "unknown", "", path


def _id(kind: str, owner: str, name: str) -> str:
    """Return OWNER/NAME for a dataset and models/OWNER/NAME for a model, whose names are independent."""
    return f"{'models/' if kind == 'models' else ''}{owner}/{name}"


if __name__ == "__main__":
    with serve_hub(Path(sys.argv[1])) as (alone, address):
        alone.line = float(sys.argv[2]) if len(sys.argv) > 2 else alone.line
        print(address, flush=True)
        while True:
            time.sleep(3600)
