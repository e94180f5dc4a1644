"""Which addresses are private, and a name that is resolved once: the address that was judged is the one that is used.

Private is this machine (loopback) and the networks that nobody else can route to: RFC 1918 and unique local addresses
(RFC 4193). Python's `is_private` also counts 0.0.0.0, link-local addresses (where clouds serve their metadata), ranges
for benchmarks, documentation and future use, and Teredo: none of them is a server of one's own.
"""

import ipaddress
import socket

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
