"""Publishes under faults, many at once, in one process that has the environment of a publisher from its first import.

Run: python tests/hub_cases.py ADDRESS FOLDER < cases.json, a list of {"name", "repo", "token", "out", "what", "gated",
"responsible"}; prints {"name": {"done": bool, "said": "…"}}. Verification is that of `cards.hub.verify_process`, here
in the same process, so that a hundred cases do not import `datasets` a hundred times.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READING = threading.Lock()


@contextmanager
def here() -> Iterator[Callable[[Any, Any, str], str]]:
    from cards.hub import verify_process
    from deepicd import storage
    from deepicd.errors import DeepicdError

    def compare(hub: Any, contents: Any, revision: str) -> str:
        files = {name: [str(path.resolve()), storage.digest_path(path)] for name, path in contents.files.items()}
        configs = {
            config: {split: [str(path.resolve()) for path in paths] for split, paths in by_split.items()}
            for config, by_split in contents.configs.items()
        }
        for attempt in range(hub.patience.tries):
            try:
                with READING:
                    found = verify_process.compare_repository(hub.repo, hub.kind, revision, files, configs, full=False)
                break
            except Exception as error:
                if attempt + 1 == hub.patience.tries:
                    raise DeepicdError(f"could not be verified: {type(error).__name__}") from error
        if found["differences"]:
            raise DeepicdError(f"could not be verified: {found['differences']}")
        return str(found["compared"])

    yield compare


def publish(case: dict[str, Any], endpoint: str, journals: Path) -> dict[str, Any]:
    from cards.hub.errors import Patience
    from cards.hub.policy import Wish
    from cards.hub.publication import publish as send
    from deepicd.errors import DeepicdError

    wish = Wish(case.get("public", False), case.get("gated", False), case.get("responsible"), False)
    patience = Patience(timeout=3, tries=3, wait=0.01)
    try:
        done = send(
            Path(case["out"]), case["repo"], case["what"], endpoint, wish=wish, patience=patience, journals=journals,
            token=case["token"], reread=here(), say=lambda _: None,
        )  # fmt: skip
    except DeepicdError as error:
        return {"done": False, "said": str(error)}
    return {"done": True, "said": done.compared if done else ""}


def main(endpoint: str, folder: str) -> None:
    os.environ.pop("HF_HUB_OFFLINE", None)  # tests of engines set it for theirs
    os.environ["HF_HOME"] = folder
    os.environ["HF_HUB_ETAG_TIMEOUT"] = os.environ["HF_HUB_DOWNLOAD_TIMEOUT"] = "3"
    from cards.hub.environment import prepare_environment

    prepare_environment(endpoint)
    import datasets  # noqa: F401 - once, and not in threads
    import huggingface_hub  # noqa: F401

    cases = json.load(sys.stdin)
    with ThreadPoolExecutor(24) as pool:
        futures = {case["name"]: pool.submit(publish, case, endpoint, Path(folder) / "records") for case in cases}
        print(json.dumps({name: future.result() for name, future in futures.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
