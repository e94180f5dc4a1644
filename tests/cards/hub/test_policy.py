"""What may be published where, by whom and over what: rules, contents, and input that is wrong."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from cards.hub import card_trimming, recipe_files
from cards.hub.client import HubRepository
from cards.hub.policy import build_sentence
from cards.hub.publication import open_publication, publish
from cards.hub.recipe_files import ListedRow
from cards.hub.retract import retract
from cards.hub.settings import PublicationOptions
from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy

from .conftest import NOTE, WRITE, Loopback, Run, Send

QUICK = RetryPolicy(timeout=20, attempts=2, first_wait=0)


def text_of(loopback: Loopback, repo: str, name: str = "README.md") -> str:
    return loopback.hub.repos[repo].head.tree[name].content.decode()


def test_the_card_of_credentialed_data_may_be_public_and_promises_no_rows(
    loopback: Loopback, send: Send, credentialed: Path
) -> None:
    repo = loopback.new()
    done = send(credentialed, repo, public=True)
    assert not done.state.private
    names = set(loopback.hub.repos[repo].head.tree)
    assert {".gitattributes", "README.md", "card/chapters.png"} < names
    assert all(name.endswith(".png") for name in names - {".gitattributes", "README.md"})
    card = card_trimming.parse_card(text_of(loopback, repo))
    values, body = card.data.to_dict(), card.text
    assert "configs" not in values
    assert "dataset_info" not in values
    assert "**No rows are in this repository**, only the card." in body
    steps = [(state.step, state.private) for state in loopback.states(repo)]
    assert steps[-1] == ("settings", False)  # opened last, when all was there and read again
    assert all(private for _, private in steps[:-1])


def test_the_recipe_holds_what_it_takes_to_make_the_rows_and_no_id(
    loopback: Loopback, send: Send, credentialed: Path
) -> None:
    repo = loopback.new()
    send(credentialed, repo, "recipe")
    tree = loopback.hub.repos[repo].head.tree
    assert {name for name in tree if name.startswith("recipe/")} == {
        "recipe/prompts.md", "recipe/recipe.yaml", "recipe/split.csv", "recipe/stages.json", "recipe/statistics.json",
    }  # fmt: skip
    stages = json.loads(text_of(loopback, repo, "recipe/stages.json"))
    assert stages["distill"]["options"]["temperature"] == yaml.safe_load(
        text_of(loopback, repo, "recipe/recipe.yaml")
    )["temperature"]  # fmt: skip
    assert "{{ note }}" in text_of(loopback, repo, "recipe/prompts.md")
    rows = list(csv.DictReader(text_of(loopback, repo, "recipe/split.csv").splitlines()))
    fingerprint = recipe_files.fingerprint("10000000-DS-1", NOTE)
    assert {row["split"] for row in rows if row["row"] == fingerprint} == {"train"}
    assert len(rows) == 42  # of 60: those of train, which have long notes
    statistics = json.loads(text_of(loopback, repo, "recipe/statistics.json"))
    assert statistics["counts"]["rows/grpo/train"] == 42
    assert statistics["counts"]["rows/grpo/validation"] is None


def list_rows(words: int, split: str, number: int, patients: int) -> list[ListedRow]:
    return [ListedRow(words, f"{split}{words}{n:028x}", split, f"{split}{words} {n % patients}") for n in range(number)]


def test_the_list_and_the_card_tell_no_small_group_of_any_split() -> None:
    """Readers subtract the list from the card's rows: what a split leaves out is nobody, or ten patients."""
    rows = list_rows(100, "train", 40, 40) + list_rows(3, "train", 2, 2) + list_rows(100, "validation", 30, 30)
    rows += list_rows(900, "test", 30, 9)

    def count(**options: Any) -> Counter[str]:
        return Counter(split for _, split in recipe_files.list_splits(rows, **options))

    assert count(credentialed=False) == {"train": 40, "validation": 30, "test": 30}, "all but the two short notes"
    assert count(credentialed=True) == {"train": 32, "validation": 30}, "ten left out; thirty stays of nine patients"
    assert count(credentialed=True, withheld={"train"}) == {"validation": 30}


def test_a_fingerprint_needs_the_note_and_short_notes_have_none(made_up: Path) -> None:
    assert recipe_files.fingerprint("10000000-DS-1", NOTE) != recipe_files.fingerprint("10000000-DS-1", NOTE + " ")
    assert recipe_files.fingerprint("10000000-DS-1", NOTE) != recipe_files.fingerprint("10000001-DS-1", NOTE)
    words = {row.words for row in recipe_files.fingerprint_rows(made_up)}
    assert min(words) < recipe_files.SHORTEST <= max(words)


def test_credentialed_rows_are_refused_in_public_and_in_an_open_repository(
    loopback: Loopback, send: Send, credentialed: Path
) -> None:
    repo = loopback.new()
    words = build_sentence(repo, loopback.url)
    with pytest.raises(DeepicdError, match="which PhysioNet's terms do not let you publish"):
        send(credentialed, repo, "rows", responsible=words + " ")
    with pytest.raises(DeepicdError, match="never public"):
        send(credentialed, repo, "rows", responsible=words, public=True)
    for gated in (False, "auto"):
        loopback.hub.create(repo, "sam", private=False, gated=gated)
        with pytest.raises(DeepicdError, match="not for the public: nothing was sent"):
            send(credentialed, repo, "rows", responsible=words)
        assert not loopback.hub.uploaded.get(repo)
        assert len(loopback.hub.repos[repo].commits) == 1


def test_behind_a_gate_that_is_opened_by_hand_rows_may_be_seen_to_exist(
    loopback: Loopback, send: Send, credentialed: Path
) -> None:
    repo = loopback.new()
    done = send(credentialed, repo, "rows", responsible=build_sentence(repo, loopback.url), gated=True, public=True)
    assert done.state.visibility == "public, with a gate opened by hand"
    assert not [state for state in loopback.states(repo) if state.open]
    assert [state.step for state in loopback.states(repo) if not state.private] == ["settings"]


def test_a_repository_that_is_public_against_our_wish_gets_nothing(
    loopback: Loopback, send: Send, made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback.hub, "force_public", True)
    repo = loopback.new()
    with pytest.raises(DeepicdError, match="was created as a public repository"):
        send(made_up, repo, "rows")
    assert set(loopback.hub.repos[repo].head.tree) == {".gitattributes"}
    assert not loopback.hub.uploaded.get(repo)


def test_an_open_repository_is_written_to_only_if_that_was_said(loopback: Loopback, send: Send, made_up: Path) -> None:
    repo = loopback.new()
    loopback.hub.create(repo, "sam", private=False)
    with pytest.raises(DeepicdError, match="Add --public if you mean it"):
        send(made_up, repo)
    assert "0 new" not in send(made_up, repo, public=True, dry_run=True)


def test_a_private_repository_with_a_history_of_its_own_is_not_opened(
    loopback: Loopback, send: Send, made_up: Path
) -> None:
    repo = loopback.new()
    loopback.hub.create(repo, "sam")
    with pytest.raises(DeepicdError, match="1 commits that were not published from here as open"):
        send(made_up, repo, public=True)
    own = loopback.new()
    send(made_up, own)
    assert "public, once verified" in send(made_up, own, public=True, dry_run=True)


def test_a_card_edited_on_the_hub_is_shown_and_not_written_over(loopback: Loopback, send: Send, made_up: Path) -> None:
    repo = loopback.new()
    send(made_up, repo)
    there = loopback.hub.repos[repo]
    edit(loopback, repo, "\nA line by somebody else.\n")
    with pytest.raises(DeepicdError, match="edited on the Hub: nothing was sent") as refused:
        send(made_up, repo)
    assert "-A line by somebody else." in str(refused.value)
    assert len(there.commits) == 3
    send(made_up, repo, overwrite=True)
    assert "somebody else" not in text_of(loopback, repo)
    edit(loopback, repo, "\nOf patient 10000032.\n")
    with pytest.raises(DeepicdError, match="its text is not shown") as refused:
        send(made_up, repo)
    assert "10000032" not in str(refused.value)


def test_a_card_that_was_not_published_from_here_is_not_written_over(
    loopback: Loopback, send: Send, made_up: Path
) -> None:
    from hub_state import blob

    repo = loopback.new()
    there = loopback.hub.create(repo, "sam")
    there.commit("sam", "mine", {**there.head.tree, "README.md": blob(b"My own words.\n")})
    with pytest.raises(DeepicdError, match="was not published from here: nothing was sent") as refused:
        send(made_up, repo)
    assert "-My own words." in str(refused.value)


def edit(loopback: Loopback, repo: str, line: str) -> None:
    from hub_state import blob

    there = loopback.hub.repos[repo]
    readme = there.head.tree["README.md"].content + line.encode()
    there.commit("alex", "edit", {**there.head.tree, "README.md": blob(readme)})


def test_an_edit_between_question_and_commit_is_a_412_with_the_difference(
    loopback: Loopback, send: Send, made_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cards.hub import upload

    repo, ask = loopback.new(), upload.commit
    send(made_up, repo)

    def late(*given: Any) -> str:
        edit(loopback, repo, "\nJust now.\n")
        return ask(*given)

    monkeypatch.setattr(upload, "commit", late)
    with pytest.raises(DeepicdError, match="was changed on the Hub in the meantime") as refused:
        send(made_up, repo, "recipe")
    assert "-Just now." in str(refused.value)


def test_rows_are_not_removed_by_a_card_unless_that_was_said(loopback: Loopback, send: Send, made_up: Path) -> None:
    repo = loopback.new()
    there = loopback.hub.create(repo, "sam")
    from hub_state import blob

    there.commit(
        "sam", "rows", {**there.head.tree, "traces/train-00000-of-00001.parquet": blob(b"PAR1"), "mine.txt": blob(b"")}
    )
    with pytest.raises(DeepicdError, match="files of another publication"):
        send(made_up, repo)
    plan = send(made_up, repo, overwrite=True, dry_run=True)
    assert "removed traces/train-00000-of-00001.parquet" in " ".join(plan.split())
    assert "mine.txt" not in plan


def test_a_dry_run_shows_the_plan_and_changes_nothing(loopback: Loopback, send: Send, made_up: Path) -> None:
    repo = loopback.new()
    plan = send(made_up, repo, "rows", gated=True, dry_run=True)
    assert "repository  new, private" in plan
    assert "gate        opened by hand" in plan
    assert "grpo/train-00000-of-00001.parquet" in plan
    assert repo not in loopback.hub.repos


@pytest.mark.parametrize(
    ("token", "endpoint", "said"),
    [
        (None, None, "There is no token for the Hub."),
        (WRITE, "http://127.0.0.1:9", "127.0.0.1:9 cannot be reached"),
    ],
)
def test_a_dry_run_needs_neither_token_nor_network_and_says_what_it_could_not_ask(
    token: str | None, endpoint: str | None, said: str, run: Run, made_up: Path
) -> None:
    where = ["--endpoint", endpoint, "--tries", 1] if endpoint else []
    done = run("publish", made_up, "sam/set", "--what", "recipe", "--dry-run", *where, token=token)
    assert done.code == 0, done.err
    assert "repository  unknown, the Hub was not asked" in done.out
    assert "recipe/split.csv" in done.out
    assert "not asked   whose token it is, whether it may write to sam/set, and what is there" in done.out
    assert said in done.out
    refused = run("publish", made_up, "sam/set", *where, token=token)
    assert refused.code == 1 and said in refused.err


def test_a_token_that_is_refused_is_no_silence_of_the_hub(send: Send, made_up: Path, loopback: Loopback) -> None:
    with pytest.raises(DeepicdError, match="does not accept the token"):
        send(made_up, loopback.new(), dry_run=True, token="hf_nobody")  # noqa: S106


def test_a_dry_run_cannot_be_sent(loopback: Loopback, made_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITE)
    repo = loopback.new()
    options = PublicationOptions(folder=made_up, repo=repo, endpoint=loopback.url, dry_run=True, retry=QUICK)
    assert publish(options, verifier=lambda *_: "") is None
    with open_publication(options, verifier=lambda *_: "") as publication, pytest.raises(RuntimeError):
        publication.send()
    assert repo not in loopback.hub.repos


def test_retract_closes_a_repository_and_a_stranger_is_refused(
    loopback: Loopback, send: Send, made_up: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repo = loopback.new()
    loopback.hub.create(repo, "sam", private=False)
    before, now = retract(HubRepository(repo, loopback.url, retry=QUICK), journals=tmp_path)
    assert (before.visibility, now.visibility) == ("public", "private")
    assert loopback.hub.repos[repo].private
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(DeepicdError, match="knows no"):
        retract(HubRepository(repo, loopback.url, retry=QUICK), journals=tmp_path)
