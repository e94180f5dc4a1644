"""What must stand in the environment before `huggingface_hub` or `datasets` is imported.

Without it a private repository's name leaves the house: `datasets` tells a counter of downloads on every load, and the
client reports usage. What the user has set is left alone.
"""

import os
import sys

DEFAULT_ENDPOINT = "https://huggingface.co"
QUIET = {
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_VERBOSITY": "error",  # its retries are its own affair; ours are told
    "DATASETS_VERBOSITY": "error",
    "OPENBLAS_NUM_THREADS": "1",  # numpy starts and spins a thread a core as it is imported; nothing here multiplies
}


def prepare_environment(endpoint: str | None) -> str:
    """Set it up, and the address of the Hub: the one given, that of HF_ENDPOINT, or the public one."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    chosen = (endpoint or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    os.environ["HF_ENDPOINT"] = chosen
    return chosen
