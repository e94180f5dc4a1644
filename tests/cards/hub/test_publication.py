"""Publishing as a user does it: the command in a process of its own, the real client, a real server."""

import json
from pathlib import Path

import pytest
import yaml

from cards.hub.policy import build_sentence
from deepicd.errors import DeepicdError

from .conftest import Loopback, Run, Send, dataset


def front_matter(loopback: Loopback, repo: str) -> dict[str, object]:
    readme = loopback.hub.repos[repo].head.tree["README.md"].content.decode()
    parsed: dict[str, object] = yaml.safe_load(readme.split("---\n")[1])
    return parsed


def test_rows_arrive_load_and_tell_nothing_of_the_machine(loopback: Loopback, run: Run, made_up: Path) -> None:
    """Behind a proxy that refuses everything but loopback: any request to somebody else would break it."""
    repo, asked = loopback.new(), len(loopback.hub.requests)
    proxy = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    outcome = run("publish", made_up, repo, "--what", "rows", "--full-reload", **proxy)
    assert outcome.code == 0, outcome.err
    files = len(loopback.hub.repos[repo].head.tree) - 1  # .gitattributes is the Hub's
    assert f"{files} new, 0 changed, 0 unchanged, 0 removed: sent in one commit" in outcome.out
    assert f"{files} of {files} files read again, 3 configs with 180 rows loaded" in outcome.out
    assert f"{loopback.url}/datasets/{repo} is private" in outcome.out
    assert all(state.private for state in loopback.states(repo))
    assert "unknown" not in {step for step, _ in loopback.hub.requests[asked:]}
    text = loopback.hub.repos[repo].head.tree["run.json"].content.decode()
    assert json.loads(text)["command"] == "assemble"
    assert '"argv"' not in text
    assert str(made_up.parent) not in text
    assert f'load_dataset("{repo}"' in loopback.hub.repos[repo].head.tree["README.md"].content.decode()


def test_the_same_rows_are_not_sent_twice(loopback: Loopback, send: Send, made_up: Path) -> None:
    repo = loopback.new()
    assert send(made_up, repo, "rows").changes
    asked = len(loopback.hub.requests)
    assert not send(made_up, repo, "rows").changes
    assert {step for step, _ in loopback.hub.requests[asked:]} == {"whoami", "info"}
    assert len(loopback.hub.repos[repo].commits) == 2


def test_a_changed_dataset_leaves_no_stale_split_or_count(loopback: Loopback, send: Send, tmp_path: Path) -> None:
    repo, before = loopback.new(), dataset(tmp_path / "before", "synthetic", 60)
    after = dataset(tmp_path / "after", "synthetic", 4)  # no row of validation is left
    send(before, repo, "rows")
    assert send(after, repo, "rows").changes.removed
    tree = loopback.hub.repos[repo].head.tree
    assert not [name for name in tree if "validation" in name]
    assert "validation" not in json.dumps(front_matter(loopback, repo))
    assert ".gitattributes" in tree


def test_files_go_by_xet_where_it_is_served(
    loopback: Loopback, run: Run, made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback.hub, "xet", loopback.folder / "xet")
    repo, asked = loopback.new(), len(loopback.hub.requests)
    outcome = run("publish", made_up, repo, HF_HUB_DISABLE_XET="0")
    assert outcome.code == 0, outcome.err
    steps = {step for step, _ in loopback.hub.requests[asked:]}
    assert "xet-token" in steps
    assert not {"lfs-batch", "lfs-put"} & steps
    files = len(loopback.hub.repos[repo].head.tree) - 1  # .gitattributes is the Hub's
    assert f"{files} of {files} files read again" in outcome.out


def test_a_server_without_xet_is_named_with_the_way_out(
    loopback: Loopback, send: Send, made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    repo = loopback.new()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(DeepicdError, match="HF_HUB_DISABLE_XET=1"):
        send(made_up, repo)
    assert len(loopback.hub.repos[repo].commits) == 1


def test_credentialed_rows_go_behind_a_gate_with_a_sentence_that_is_kept(
    loopback: Loopback, run: Run, credentialed: Path, tmp_path: Path
) -> None:
    repo = loopback.new("clinic")
    words = build_sentence(repo, loopback.url)
    refused = run("publish", credentialed, repo, "--what", "rows")
    assert refused.code == 1
    assert f'--responsible "{words}"' in refused.err
    assert repo not in loopback.hub.repos
    options = ("--what", "rows", "--responsible", words, "--gated", "--records", tmp_path)
    outcome = run("publish", credentialed, repo, *options)
    assert outcome.code == 0, outcome.err
    assert "is private, with a gate opened by hand" in outcome.out
    states = loopback.states(repo)
    assert states[0].step == "create"
    assert states[1].step == "settings"
    assert not states[1].sent
    assert all(state.private for state in states)
    journal = (tmp_path / repo.replace("/", "--") / "journal.jsonl").read_text()
    assert words in journal
    assert json.loads((tmp_path / repo.replace("/", "--") / "run.json").read_text())["options"]["responsible"] == words
    assert (
        loopback.hub.repos[repo].head.tree["README.md"].content.decode().count("Every patient in here is invented") == 0
    )


def test_offline_mode_and_an_unreachable_server_are_explained(
    send: Send, made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    with pytest.raises(DeepicdError, match=r"127\.0\.0\.1:9 cannot be reached"):
        send(made_up, "sam/set", endpoint="http://127.0.0.1:9")
    with pytest.raises(DeepicdError, match="is not an address"):
        send(made_up, "sam/set", endpoint="hub.example")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DeepicdError, match="Offline mode is set"):
        send(made_up, "sam/set")
