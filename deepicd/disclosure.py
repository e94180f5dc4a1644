"""May these rows go to this server? Credentialed ones stay on this machine or in its private network.

The user may take responsibility for another place, in a sentence that names it and that the record keeps.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

SENTENCE = (
    "I take responsibility for sending credentialed MIMIC records to {host}, which their data use agreement allows me."
)


def check_server(recipe: ModelRecipe, origin: Origin, sentence: str | None) -> str | None:
    """The sentence if it was needed, else None. Raises DeepicdError where rows may not go to the recipe's server."""
    if recipe.engine != "endpoint" or origin != "mimic":
        return None
    host = urlsplit(recipe.base_url).hostname or ""
    if is_private(host):
        return None
    wanted = SENTENCE.format(host=host)
    if sentence != wanted:
        raise DeepicdError(
            f"These notes are credentialed, and {host or recipe.base_url!r} is neither this machine nor a private"
            " address: nothing was sent.",
            f'Serve the model here; or, if your agreement allows it, add: --responsible "{wanted}"',
        )
    return wanted


def is_private(host: str) -> bool:
    """Whether every address of a host is of this machine or of a private network; a name without address is not.

    >>> is_private("127.0.0.1"), is_private("10.1.2.3"), is_private("8.8.8.8")
    (True, True, False)
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)} if host else set()
    except OSError:
        return False
    addresses = [ipaddress.ip_address(address.split("%")[0]) for address in found]
    return bool(addresses) and all(address.is_loopback or address.is_private for address in addresses)
