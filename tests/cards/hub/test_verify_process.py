"""The fresh process that reads a publication again: what it says of one that is not what was sent."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_state import Repo, blob

from deepicd import storage

from .conftest import WRITE, Loopback, Send

Read = Callable[[str], dict[str, Any]]
SFT = "sft/test-00000-of-00001.parquet"
GRPO = "grpo/test-00000-of-00001.parquet"


@pytest.fixture
def read(loopback: Loopback, made_up: Path, tmp_path: Path) -> Read:
    """Repository → what the process answers that expects the rows of `made_up` there."""

    def answered(repo: str) -> dict[str, Any]:
        rows = sorted(made_up.glob("*/*.parquet"))
        configs: dict[str, dict[str, list[str]]] = {}
        for path in rows:
            configs.setdefault(path.parent.name, {}).setdefault(path.name.split("-")[0], []).append(str(path))
        order = {
            "repo": repo, "kind": "dataset", "revision": loopback.hub.repos[repo].head.oid, "token": WRITE,
            "files": {path.relative_to(made_up).as_posix(): [str(path), storage.digest_path(path)] for path in rows},
            "configs": configs, "full": False,
        }  # fmt: skip
        environment = {**os.environ, "HF_ENDPOINT": loopback.url, "HF_HOME": str(tmp_path / "home")}
        words = [sys.executable, "-m", "cards.hub.verify_process"]
        done = subprocess.run(
            words, input=json.dumps(order) + "\n", env=environment, capture_output=True, text=True, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return answered


@pytest.fixture
def there(loopback: Loopback, send: Send, made_up: Path) -> Repo:
    """A repository with the rows."""
    repo = loopback.new()
    send(made_up, repo, "rows")
    return loopback.hub.repos[repo]


def test_what_was_sent_is_found_as_it_was(there: Repo, read: Read) -> None:
    answer = read(there.id)
    assert answer["differences"] == []
    assert "3 configs with 180 rows counted" in answer["compared"]


def test_another_file_under_the_name_is_noticed_by_digest_and_first_row(there: Repo, read: Read) -> None:
    there.commit("alex", "swapped", {**there.head.tree, SFT: there.head.tree[GRPO]})
    said = "\n".join(read(there.id)["differences"])
    assert f"{SFT}: other bytes" in said
    assert "sft, test: another first row" in said


def test_a_missing_and_an_additional_file_are_noticed(there: Repo, read: Read) -> None:
    readme = there.head.tree["README.md"].content.decode().replace("sft/test-*.parquet", "sft/test*.parquet")
    there.commit("alex", "more", {**there.head.tree, "README.md": blob(readme.encode()),
                                  "sft/test2-extra.parquet": there.head.tree[SFT]})  # fmt: skip
    assert any(line.startswith("sft, ") and "other files" in line for line in read(there.id)["differences"])
    tree = {name: file for name, file in there.head.tree.items() if name != GRPO}
    there.commit("alex", "fewer", tree)
    assert read(there.id) == {"failed": "ValueError"}  # `datasets` finds no file of the split


def test_a_card_without_configs_is_a_failure_by_name(there: Repo, read: Read) -> None:
    there.commit("alex", "bare", {**there.head.tree, "README.md": blob(b"---\nlicense: other\n---\n")})
    assert read(there.id) == {"failed": "KeyError"}
    there.commit("alex", "no YAML", {**there.head.tree, "README.md": blob(b"no YAML")})
    assert read(there.id) == {"failed": "DeepicdError"}


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        ("", "ParseError"),  # the publisher was killed
        ("[]\n", "TypeError"),
        ("{}\n", "KeyError"),
        ('{"token": "hf_write"}\n', "TypeError"),
    ],
)
def test_an_invalid_order_is_answered_and_the_process_ends(order: str, answer: str) -> None:
    words = [sys.executable, "-m", "cards.hub.verify_process"]
    done = subprocess.run(words, input=order, capture_output=True, text=True, check=True, timeout=60)
    assert (json.loads(done.stdout), done.stderr) == ({"failed": answer}, "")


def test_a_card_that_promises_other_row_counts_is_noticed(there: Repo, read: Read) -> None:
    readme = there.head.tree["README.md"].content.decode()
    assert "num_examples: 42" in readme
    changed = blob(readme.replace("num_examples: 42", "num_examples: 43").encode())
    there.commit("alex", "counts", {**there.head.tree, "README.md": changed})
    assert any("promises 43 rows, there are 42" in line for line in read(there.id)["differences"])
