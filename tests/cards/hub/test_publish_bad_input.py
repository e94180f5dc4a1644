"""Wrong tokens, names and folders, exhausted quotas: the error says what to do, and nothing is sent."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cards.hub.settings import PublicationOptions
from deepicd.errors import DeepicdError

from .conftest import Loopback, Send


@pytest.mark.parametrize(
    ("token", "repo", "said"),
    [
        (None, "sam/set", "There is no token"),
        ("hf_read", "sam/set", "may only read"),
        ("hf_wrong", "sam/set", "does not accept the token"),
        ("hf_write", "alex/set", "sam may not write to alex"),
        ("hf_write", "society/set", "sam may not write to society"),  # a member who may read
        ("hf_write", "set", "names no owner"),
        ("hf_write", "sam/a set", "is not a valid repository name"),
        ("hf_write", "sam/set.git", "is not a valid repository name"),
    ],
)
def test_a_wrong_token_or_name_is_named_with_advice(
    token: str | None, repo: str, said: str, send: Send, made_up: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "absent"))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(DeepicdError, match=said) as refused:
        send(made_up, repo)
    assert refused.value.advice


@pytest.mark.parametrize(
    ("status", "message", "headers", "said"),
    [
        (403, "Private repository storage limit reached", {}, "a quota of 127.0.0.1:[0-9]+ is used up"),
        (413, "", {}, "a quota"),
        (402, "payment required", {}, "a quota"),
        (429, "", {"Retry-After": "7200"}, "limits the rate of requests"),
        (429, "", {"RateLimit": '"api";r=0;t=7200'}, "limits the rate of requests"),
    ],
)
def test_quotas_and_limits_are_named(
    status: int, message: str, headers: dict[str, str], said: str, loopback: Loopback, send: Send, made_up: Path
) -> None:
    from hub_state import Fault

    repo = loopback.new()
    loopback.hub.faults.append(Fault("commit", "status", status, 99, repo, message=message, headers=headers))
    with pytest.raises(DeepicdError, match=said) as refused:
        send(made_up, repo)
    loopback.hub.faults.clear()
    assert "120 minutes" in str(refused.value) or status != 429
    assert len(loopback.hub.repos[repo].commits) == 1


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda out: (out / "sft" / "train-00000-of-00001.parquet").unlink(), "missing: sft/train"),
        (
            lambda out: shutil.copy(out / "sft" / "train-00000-of-00001.parquet", out / "sft" / "extra.parquet"),
            "not of this run: sft/extra.parquet",
        ),
        (lambda out: (out / "sft" / "train-00000-of-00001.parquet").write_bytes(b"PAR1"), "changed: sft/train"),
        (lambda out: (out / "run.json").unlink(), "no finished run"),
    ],
    ids=["missing", "extra", "changed", "no record"],
)
def test_a_folder_that_is_not_what_was_assembled_is_refused(
    harm: Any, said: str, loopback: Loopback, send: Send, made_up: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(made_up, tmp_path / "dataset"))
    harm(out)
    with pytest.raises(DeepicdError, match=said):
        send(out, loopback.new(), "rows")


def test_descriptions_need_a_permission_in_words(loopback: Loopback, send: Send, tmp_path: Path) -> None:
    from deepicd import records, storage
    from deepicd.schema import DESCRIPTIONS

    plan = records.plan_run("scrape", options={}, inputs={})
    with records.open_fresh_folder(tmp_path / "scrape", plan, "public") as run:
        storage.write_parquet(run.folder / "descriptions.parquet", [], DESCRIPTIONS, "public")
    with pytest.raises(DeepicdError, match="may not be passed on without its permission"):
        send(tmp_path / "scrape", loopback.new(), "resources", permission="yes")
    words = "The editors permitted on 1 May to publish these texts."
    plan_shown = send(tmp_path / "scrape", loopback.new(), "resources", permission=words, dry_run=True)
    assert "descriptions/descriptions.parquet" in plan_shown


def test_the_options_of_a_publication_have_names_and_types(tmp_path: Path) -> None:
    """Booleans by position could be swapped: --gated in the place of --public would publish openly."""
    options = PublicationOptions(folder=tmp_path, repo="sam/set")
    assert (options.what, options.public, options.dry_run) == ("card", False, False)
    with pytest.raises(TypeError):
        PublicationOptions(tmp_path, "sam/set", True)  # type: ignore[misc]
    for wrong in ({"public": "no"}, {"what": "row"}, {"privat": True}):
        with pytest.raises(ValidationError):
            PublicationOptions.model_validate({"folder": tmp_path, "repo": "sam/set", **wrong})
    with pytest.raises(ValidationError):
        options.public = True  # type: ignore[misc]
