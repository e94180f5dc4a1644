"""Private means this machine and networks that nobody else routes to; a name is used as it was judged."""

import asyncio
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from deepicd import disclosure
from deepicd.engines.openai_client import OpenAIClient


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disclosure, "_judged", {})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "10.255.0.3",
        "172.31.7.7",
        "192.168.77.1",
        "fd12:3456::9",
        "::ffff:192.168.0.5",
    ],
)
def test_this_machine_and_private_networks_are_private(address: str) -> None:
    assert disclosure.is_private(address)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("0.0.0.0", "any address"),  # noqa: S104 — judged, not bound to
        ("::", "any address"),
        ("0.1.2.3", "this network"),
        ("169.254.169.254", "cloud metadata"),
        ("fe80::7", "link-local"),
        ("100.64.3.4", "shared by carriers"),
        ("172.32.0.1", "beyond 172.16/12"),
        ("192.0.2.44", "documentation"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.9", "documentation"),
        ("198.18.0.9", "benchmarks"),
        ("240.0.0.5", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("2001:db8::5", "documentation"),
        ("2001:0:4136:e378::1", "Teredo"),
        ("2002:a00:1::1", "6to4"),
        ("64:ff9b::a00:1", "translated"),
        ("fec0::5", "site-local, deprecated"),
        ("::ffff:9.9.9.9", "public, within IPv6"),
        ("9.9.9.9", "public"),
        ("", "nothing"),
    ],
)
def test_other_addresses_are_not(address: str, what: str) -> None:
    assert not disclosure.is_private(address), what


def resolve_to(*numbers: str) -> Any:
    return lambda host, port, *_, **__: [(socket.AF_INET, 1, 6, "", (number, port or 0)) for number in numbers]


def test_a_name_with_several_addresses_is_judged_by_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve_to("10.4.4.4", "9.9.9.9"))
    assert not disclosure.is_private("model.ward.example")
    monkeypatch.setattr(socket, "getaddrinfo", resolve_to("10.4.4.4", "10.4.4.5"))
    assert disclosure.is_private("model.ward.example")


def test_a_server_on_ipv4_is_reached_where_its_name_has_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolve_to("::1", "127.0.0.1"))
    assert disclosure.is_private("localhost")
    assert disclosure.find_judged("localhost") == "127.0.0.1"


class Models(BaseHTTPRequestHandler):
    hosts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        body = json.dumps({"data": [{"id": "m"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Models)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_server_is_reached_at_the_address_that_was_judged(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve_to("127.0.0.1"))
        assert disclosure.is_private("Model.ward.example")

    async def ask() -> list[Any]:
        client = OpenAIClient(f"http://model.ward.example:{port}/v1", 5.0)
        try:
            return await client.list_models()  # the name itself resolves to nothing
        finally:
            await client.close()

    assert asyncio.run(ask()) == [{"id": "m"}]
    assert Models.hosts == [f"model.ward.example:{port}"]
    assert disclosure.is_private("model.ward.example")  # not resolved again
