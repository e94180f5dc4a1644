"""Publish under faults, many at once, in one process that has a publisher's environment from its first import.

Run: python tests/hub_cases.py ADDRESS FOLDER < cases.json, a list of {"name", "repo", "token", "out", "what", "gated",
"responsible"}; prints {"name": {"done": bool, "said": "…"}}. Verification is that of `cards.hub.verify_process`, here
in the same process, so that a hundred cases do not import `datasets` a hundred times.
"""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

READING = threading.Lock()


def verify(hub: Any, contents: Any, revision: str) -> str:
    from cards.hub import verify_process
    from deepicd import storage
    from deepicd.errors import DeepicdError

    files = {name: [str(path.resolve()), storage.digest_path(path)] for name, path in contents.files.items()}
    configs = {
        config: {split: [str(path.resolve()) for path in paths] for split, paths in by_split.items()}
        for config, by_split in contents.configs.items()
    }
    for attempt in range(hub.retry.attempts):
        try:
            with READING:
                found = verify_process.compare_repository(hub.repo, hub.kind, revision, files, configs, full=False)
            break
        except Exception as error:
            if attempt + 1 == hub.retry.attempts:
                raise DeepicdError(f"could not be verified: {type(error).__name__}") from error
    if found["differences"]:
        raise DeepicdError(f"could not be verified: {found['differences']}")
    return str(found["compared"])


def run(case: dict[str, Any], endpoint: str, journals: Path) -> dict[str, Any]:
    from cards.hub.publication import publish
    from cards.hub.settings import PublicationOptions
    from deepicd.errors import DeepicdError
    from deepicd.http import RetryPolicy

    options = PublicationOptions(
        folder=Path(case["out"]), repo=case["repo"], what=case["what"], endpoint=endpoint, token=case["token"],
        public=case.get("public", False), gated=case.get("gated", False), responsible=case.get("responsible"),
        retry=RetryPolicy(timeout=6, attempts=3, first_wait=0.01), journals=journals,
    )  # fmt: skip
    try:
        outcome = publish(options, verifier=verify)
    except DeepicdError as error:
        return {"done": False, "said": str(error)}
    return {"done": True, "said": outcome.compared if outcome else ""}


def main(endpoint: str, folder: str) -> None:
    os.environ.pop("HF_HUB_OFFLINE", None)  # tests of engines set it for theirs
    os.environ["HF_HOME"] = folder
    os.environ["HF_HUB_ETAG_TIMEOUT"] = os.environ["HF_HUB_DOWNLOAD_TIMEOUT"] = "6"
    from cards.hub.settings import prepare_environment

    prepare_environment(endpoint)
    import datasets  # noqa: F401 - once, and not in threads
    import huggingface_hub  # noqa: F401

    cases = json.load(sys.stdin)
    with ThreadPoolExecutor(24) as pool:
        futures = {case["name"]: pool.submit(run, case, endpoint, Path(folder) / "records") for case in cases}
        print(json.dumps({name: future.result() for name, future in futures.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
