"""Serve the pages to a browser on this machine.

    GET /?token=…    sets the cookie that every page needs, and leads to the overview
    GET /            overview          GET /rows        list          GET /rows/17     a row
    GET /evaluation  answers of models
    GET /static/…    stylesheet and script, the only files

Who has not been given the token gets nothing, whatever page is asked for. A Host header that is not this server's own
is refused (DNS rebinding), and the Content-Security-Policy lets a page load and run nothing but these two files.
"""

import hmac
import secrets
import socket
import webbrowser
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cards.reading_room.evaluation import parse_view
from cards.reading_room.filters import Filters, parse_filters
from cards.reading_room.pages import STATIC, Links, Pages, render
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SENTENCE = "I take responsibility for showing these records to whoever reaches {host}, which their terms allow me."
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer a form of the page itself has `Origin: null`
    "X-Content-Type-Options": "nosniff",
}
FILES = {"reading_room.css": "text/css", "reading_room.js": "text/javascript"}


class ServerLinks:
    """Addresses on a server."""

    is_report = False
    is_review = False

    def static(self, name: str) -> str:
        return f"/static/{name}"

    def page(self, name: str) -> str:
        return f"/{name}"

    def overview(self, filters: Filters, **changes: object) -> str:
        return _address("/", filters.link(sort="", **changes))

    def list(self, filters: Filters, **changes: object) -> str:
        return _address("/rows", filters.link(**changes))

    def row(self, number: int, filters: Filters, attempt: int = 0) -> str:
        query = filters.link() + (f"&attempt={attempt}" if attempt else "")
        return _address(f"/rows/{number}", query.lstrip("&"))


def _address(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the token that opens it."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 for any free one."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def url_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        return f"http://{self.url_host}:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Browsers share cookies between ports, so the name has the port."""
        return f"deepicd_{self.port}"

    def is_own(self, host: str) -> bool:
        """Return whether a Host header names this server."""
        names = {self.url_host, *(("127.0.0.1", "localhost", "[::1]") if self.host in LOOPBACK else ())}
        return host in {f"{name}:{self.port}" for name in names}


def check_host(host: str, sentence: str | None) -> None:
    """Raise DeepicdError for an address that others may reach, unless the user has taken responsibility for it."""
    required = SENTENCE.format(host=host)
    if host not in LOOPBACK and sentence != required:
        raise DeepicdError(
            f"On {host} others could read these records: nothing was served.",
            f"Leave --host out and use a tunnel (ssh -L), or, if the terms of the records allow it, add:"
            f' --responsible "{required}"',
        )


def build_app(pages: Pages, address: Address) -> "Starlette":
    """Return the application."""
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    def overview(request: "Request") -> "Response":
        return HTMLResponse(pages.render_overview(parse_filters(request.query_params)))

    def rows(request: "Request") -> "Response":
        return HTMLResponse(pages.render_list(parse_filters(request.query_params)))

    def row(request: "Request") -> "Response":
        attempt = request.query_params.get("attempt", "0")
        number = int(attempt) if attempt.isascii() and attempt.isdigit() and len(attempt) < 5 else 0
        return HTMLResponse(pages.render_row(request.path_params["row"], parse_filters(request.query_params), number))

    def evaluation(request: "Request") -> "Response":
        return HTMLResponse(pages.render_evaluation(parse_view(request.query_params)))

    routes = [
        Route("/", overview),
        Route("/evaluation", evaluation),
        Route("/rows", rows),
        Route("/rows/{row:int}", row),
    ]
    return guard_app(routes, address, pages.links)


def guard_app(routes: list["Route"], address: Address, links: Links) -> "Starlette":
    """Return an application of these routes, of the two files and of nothing else, which lets in who has the token."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import HTMLResponse, Response
    from starlette.routing import Route

    def static(request: "Request") -> "Response":
        name = request.path_params["name"]
        if name not in FILES:
            return Response("There is no such file.", status_code=404)
        return Response((STATIC / name).read_bytes(), media_type=FILES[name])

    async def refuse(request: "Request", error: Exception) -> "Response":
        return HTMLResponse(render("error.html.j2", {"message": str(error), "links": links}), status_code=404)

    async def guard(request: "Request", proceed: Callable[["Request"], Awaitable["Response"]]) -> "Response":
        response = _let_in(request, address) or await proceed(request)
        response.headers.update(HEADERS)
        return response

    return Starlette(
        routes=[*routes, Route("/static/{name}", static)],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
        exception_handlers={DeepicdError: refuse},
    )


def _let_in(request: "Request", address: Address) -> "Response | None":
    """Return None for a request of somebody who has the token, else the answer to it."""
    from starlette.responses import PlainTextResponse, RedirectResponse

    if not address.is_own(request.headers.get("host", "")):
        return PlainTextResponse("This server has another name.", status_code=421)
    given = request.query_params.get("token")
    if given is not None and hmac.compare_digest(given.encode(), address.token.encode()):
        response = RedirectResponse(request.url.path, status_code=303)
        response.set_cookie(address.cookie, address.token, httponly=True, samesite="strict")
        return response
    if not hmac.compare_digest(request.cookies.get(address.cookie, "").encode(), address.token.encode()):
        return PlainTextResponse(
            "This page needs the token of its address: open the link that the command printed.", status_code=403
        )
    origin = request.headers.get("origin")
    if request.method not in ("GET", "HEAD") and not (origin and address.is_own(origin.removeprefix("http://"))):
        return PlainTextResponse("This form was not sent from a page of this server.", status_code=403)
    return None


def serve(build: Callable[[Address], "Starlette"], host: str, port: int, *, open_browser: bool) -> None:
    """Serve an application until Ctrl-C; print its address, and open it in the browser if there is one."""
    import click
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise DeepicdError(
                f"Port {port} of {host} cannot be used: {error.strerror}.", "Choose another --port."
            ) from error
        address = Address(host, listener.getsockname()[1])
        click.echo(f"Reading room: {address.url}\nCtrl-C ends it.")
        if open_browser:
            webbrowser.open(address.url)
        config = uvicorn.Config(build(address), log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[listener])


def describe_folder(path: Path) -> str:
    """Return the name of a folder as the pages show it."""
    resolved = path.resolve()
    return "/".join(resolved.parts[-2:]) if len(resolved.parts) > 2 else str(resolved)
