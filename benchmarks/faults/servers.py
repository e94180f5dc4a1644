"""Stages that talk to a server: `physionet fetch` and `publish`, with those that our tests use, on loopback.

The servers live outside of the faults: the client is what is killed, and the disk that fills is the client's.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.stage import Stage
from deepicd import storage

TESTS = Path(__file__).parent.parent.parent / "tests"


@contextmanager
def open_servers(demo: Path) -> Iterator[list[Stage]]:
    """Run the servers, point the environment at them, and yield their stages."""
    sys.path.append(str(TESTS))
    from hub_server import serve_hub  # type: ignore[import-not-found]
    from physionet_site import PASSWORD, USER, Site, files, serving  # type: ignore[import-not-found]

    with serve_hub(demo / "hub") as (hub, url), serving(Site(files())) as site:
        os.environ |= {
            "HF_ENDPOINT": url,
            "HF_TOKEN": "hf_write",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(demo / "hub-home"),
            "DEEPICD_PHYSIONET_PASSWORD": PASSWORD,
        }
        dataset = demo / "dataset"

        def name_repository(out: Path) -> str:
            return f"sam/trial-{out.parent.name.removesuffix('.kept')}"

        def publish(out: Path) -> list[object]:
            return ["publish", dataset, name_repository(out), "--what", "rows", "--records", out, "--wait", 0.1]

        def read_repository(out: Path) -> Mapping[str, str]:
            """Return what the Hub holds; nothing before a commit has reached it."""
            repository = hub.repos.get(name_repository(out))
            if repository is None or "README.md" not in repository.head.tree:
                return {}
            held = {name: storage.digest_bytes(_read(blob.content)) for name, blob in repository.head.tree.items()}
            # the card names the repository, which is another one in each trial
            return {**held, "README.md": "there", "private": str(repository.private)}

        yield [
            Stage(
                "physionet fetch",
                lambda out: ["physionet", "fetch", "--user", USER, "--base-url", site.url, out],
                [],
                read=_read_visible,
            ),
            Stage("publish", publish, [dataset / "traces" / "train-00000-of-00001.parquet"], read=read_repository),
        ]


def _read(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _read_visible(out: Path) -> Mapping[str, str]:
    return {path.relative_to(out).as_posix(): storage.digest_path(path) for path in storage.list_files(out)}
