"""Which servers may receive which rows: credentialed ones stay on this machine or in its private network.

A server is judged by each of its addresses (deepicd.addresses) and is then connected to at the address that was judged.

The user may take responsibility for another server, in a sentence that names it and that the record keeps.
"""

from urllib.parse import urlsplit

from deepicd.addresses import is_private
from deepicd.engines import registry
from deepicd.engines.recipe import ModelRecipe
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

SENTENCE = (
    "I take responsibility for sending credentialed MIMIC records to {host}, which their data use agreement allows me."
)


def check_server(recipe: ModelRecipe, *, origin: Origin, sentence: str | None) -> str | None:
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
