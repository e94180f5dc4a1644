"""The options of a publication, and the environment variables to set before `huggingface_hub` is imported.

Imports nothing heavy: the process that reads a publication back is started with it, before everything else.
"""

import os
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deepicd.http import RetryPolicy

What = Literal["card", "recipe", "rows", "resources"]

JOURNALS = "publications"
DEFAULT_ENDPOINT = "https://huggingface.co"
# Without the first two, the name of a private repository leaves this machine: `datasets` reports every load to a
# download counter, and the client reports its usage.
ENVIRONMENT = {
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_VERBOSITY": "error",  # the client's own retries stay silent; ours are logged
    "DATASETS_VERBOSITY": "error",
    "OPENBLAS_NUM_THREADS": "1",  # numpy starts one spinning thread per core at import; nothing here needs them
}


class PublicationOptions(BaseModel):
    """The options of `deepicd publish`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    folder: Path
    """A dataset folder, a folder of guidelines or descriptions, or a run of `deepicd train`."""
    repo: str
    """OWNER/NAME."""
    endpoint: str = DEFAULT_ENDPOINT
    what: What = "card"
    public: bool = False
    """Make the repository public, but only after the upload is verified."""
    gated: bool = False
    """The owner admits each reader by hand."""
    responsible: str | None = None
    """The sentence by which the user takes responsibility for credentialed rows (`policy.build_sentence`)."""
    permission: str | None = None
    """Who permitted passing on the descriptions, and when."""
    notes_from: Path | None = None
    """The credentialed notes that a model was trained on, if they are no longer where its record says."""
    overwrite: bool = False
    """Also replace a card that was edited on the Hub, and files of another `what`."""
    despite_differences: bool = False
    """Also publish a card that reveals small counts together with an earlier one."""
    full_reload: bool = False
    """Verify by downloading everything, not by counts, digests and samples."""
    dry_run: bool = False
    journals: Path | None = None
    """Default: `publications` beside the folder."""
    retry: RetryPolicy = RetryPolicy(timeout=120.0)
    token: str | None = Field(default=None, repr=False)
    """Default: that of HF_TOKEN or `hf auth login`."""

    @property
    def journal_folder(self) -> Path:
        """Return the folder of all journals."""
        return self.journals or self.folder.resolve().parent / JOURNALS


def prepare_environment(endpoint: str | None) -> str:
    """Set the environment variables that are not set yet; return the Hub's address.

    It is `endpoint`, or else HF_ENDPOINT, or else the public Hub.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    chosen = (endpoint or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    os.environ["HF_ENDPOINT"] = chosen
    return chosen
