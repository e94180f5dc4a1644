"""Which servers may receive which rows: credentialed ones stay on this machine or in its private network.

A server is judged by each of its addresses, and its name is resolved once: the address that was judged is the one that
is connected to. Private is this machine (loopback) and the networks that nobody else can route to: RFC 1918 and unique
local addresses (RFC 4193). Python's `is_private` also counts 0.0.0.0, link-local addresses (where clouds serve their
metadata), ranges for benchmarks, documentation and future use, and Teredo: none of them is a server of one's own.

The user may take responsibility for another server, in a sentence that names it and that the record keeps.
"""

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deepicd.engines import registry
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

if TYPE_CHECKING:
    from deepicd.engines.recipe import ModelRecipe

SENTENCE = (
    "I take responsibility for sending credentialed MIMIC records to {host}, which their data use agreement allows me."
)


def check_server(recipe: "ModelRecipe", *, origin: Origin, sentence: str | None) -> str | None:
    """Return the sentence if it was needed, else None. Raises DeepicdError if rows must not go to the server."""
    if origin != "mimic" or not registry.asks_server(recipe.engine):
        return None
    hosts = [urlsplit(url).hostname or "" for url in recipe.base_urls]
    if hosts and all(map(is_private, hosts)):
        return None
    host = ", ".join(dict.fromkeys(host for host in hosts if not is_private(host)))
    required = SENTENCE.format(host=host)
    if sentence != required:
        raise DeepicdError(
            f"These notes are credentialed, and {host or recipe.base_url!r} is neither this machine nor a private"
            " address: nothing was sent.",
            f'Serve the model here, or, if your agreement allows it, add: --responsible "{required}"',
        )
    return required


PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)

_judged: dict[str, str] = {}  # name → the private address that it had when it was judged


def is_private(host: str) -> bool:
    """Return whether all addresses of a host are private; False if it has none. One of them is then used for it.

    >>> is_private("127.0.0.1"), is_private("10.1.2.3"), is_private("169.254.169.254"), is_private("0.0.0.0")
    (True, True, False, False)
    """
    host = host.lower()
    if host in _judged:
        return True
    try:
        addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None)] if host else []
    except (OSError, UnicodeError):
        return False
    if not addresses or not all(_is_private_address(address) for address in addresses):
        return False
    _judged[host] = min(addresses, key=lambda address: ":" in address)  # servers listen on IPv4, if not on both
    return True


def find_judged(host: str) -> str | None:
    """Return the address to connect to for a host that was found private in this process, else None."""
    return _judged.get(host.lower())


def _is_private_address(address: str) -> bool:
    """Return whether a numeric address is private; an IPv4 address within IPv6 is judged as what it is.

    >>> _is_private_address("::ffff:10.1.2.3"), _is_private_address("::ffff:8.8.8.8"), _is_private_address("fe80::1%2")
    (True, False, False)
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in PRIVATE)
