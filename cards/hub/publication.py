"""A publication from beginning to end: contents, firewall, rules, repository, one commit, what comes back.

    1  here       contents are gathered, the firewall reads them, the rules say whether they may leave at all
    2  ask        whose token, what the repository is like; the plan is shown, and --dry-run ends here
    3  make       a new repository, private; the gate; both asked for again before anything is sent
    4  send       one commit, or nothing
    5  read       the tree, then a fresh process at that revision; the numbers must be those of the files here
    6  open       only now, and only if --public was said and nothing in the history speaks against it

Whatever fails, the repository is as it was or private and empty; the same command goes on from there.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cards.hub import card_differences, policy, upload, verify
from cards.hub.client import Account, HubRepository, RepositoryState
from cards.hub.dataset_files import README, Contents, What, gather_contents
from cards.hub.dry_run import describe_plan
from cards.hub.errors import Patience
from cards.hub.journal import FOLDER, Journal
from cards.hub.policy import Wish
from deepicd import records, storage
from deepicd.errors import DeepicdError

MESSAGES: dict[What, str] = {
    "card": "Card",
    "recipe": "Card and recipe",
    "rows": "Rows and card",
    "resources": "Resources",
}


Reread = AbstractContextManager[Callable[[HubRepository, Contents, str], str]]
"""Opened before anything else; then given the commit, it says what it compared, or raises DeepicdError."""


@dataclass(frozen=True)
class Published:
    """How it ended."""

    url: str
    commit: str
    changes: upload.Changes
    remote: RepositoryState
    compared: str


def publish(
    out: Path,
    repo: str,
    what: What,
    endpoint: str,
    *,
    wish: Wish = Wish(),  # noqa: B008 - frozen
    patience: Patience = Patience(),  # noqa: B008 - frozen
    permission: str | None = None,
    notes_from: Path | None = None,
    journals: Path | None = None,
    full: bool = False,
    dry_run: bool = False,
    token: str | None = None,
    reread: Reread | None = None,
    say: Callable[[str], Any] = print,
) -> Published | None:
    """Publish a folder; None for a dry run. Raises DeepicdError, and then nothing is public that was not before.

    `token`: that of HF_TOKEN or of `hf auth login` unless given. `reread`: how to verify, if not in a fresh process.
    """
    _validate_name(repo)
    fresh = verify.start_readers(endpoint, patience.timeout, out, what, full=full, dry_run=dry_run)
    with tempfile.TemporaryDirectory() as staging, reread or fresh as compare:
        contents = gather_contents(out, what, repo, Path(staging), permission, notes_from)
        policy.require_responsibility(contents, wish, repo, endpoint)
        contents.check()
        hub = HubRepository(repo, endpoint, patience, token, contents.kind)
        account = hub.account()
        _require_write_access(account, repo)
        journal = Journal(journals or out.resolve().parent / FOLDER, repo, endpoint, hub.kind)
        before = hub.look()
        if before:
            policy.require_suitable_repository(contents, wish, before, repo)
            _require_unedited_card(hub, contents, before, journal, wish)
            if wish.public and before.private:
                _require_open_history(hub, journal, before)
        beside = card_differences.describe_small_differences(journal.folder.parent, contents.shown)
        for line in [*describe_plan(contents, hub, before, wish, out), *(f"  beware      {line}" for line in beside)]:
            say(line)
        in_the_open = wish.public or (before is not None and not before.private)  # a gate hides files, not README.md
        if in_the_open and not wish.despite_differences:
            card_differences.refuse_small_differences(beside)
        if dry_run:
            return None
        return _send(hub, contents, before, journal, wish, account, compare)


def _send(
    hub: HubRepository,
    contents: Contents,
    before: RepositoryState | None,
    journal: Journal,
    wish: Wish,
    account: Account,
    compare: Callable[[HubRepository, Contents, str], str],
) -> Published:
    """Steps 3 to 6."""
    if before is None:
        before = hub.create()
        journal.add("created", commit=before.commit)
        if not before.private:
            raise DeepicdError(
                f"{hub.repo} was created as a public repository, a private one was asked for: nothing was sent.",
                "See its settings on the Hub; an organisation may force a visibility.",
            )
    if wish.gated and before.gated != "manual":
        before = hub.settle(gated="manual")
        if before.gated != "manual":
            raise DeepicdError(f"{hub.repo} did not take the gate: nothing was sent.", "Set it on the Hub, then again.")
    policy.require_guarded(contents, before, hub.repo)
    if contents.protected:
        journal.add("responsible", sentence=wish.responsible, account=account.name, repository=before.visibility)
    wanted = upload.find_changes(contents, before.files)
    commit = upload.commit(hub, contents, before, f"{MESSAGES[contents.what]} by deepicd")
    journal.add(
        "committed", commit=commit, what=contents.what, protected=contents.protected, files=len(contents.files),
        readme=storage.digest_path(contents.files[README]), account=account.name,
        **({"shown": dict(contents.shown)} if contents.shown else {}),
    )  # fmt: skip
    now = _check_committed(hub, contents, commit)
    compared = compare(hub, contents, commit)
    journal.add("verified", commit=commit, compared=compared)
    if wish.public and now.private:
        now = hub.settle(private=False)
        journal.add("opened", commit=commit, repository=now.visibility)
        if now.private:
            raise DeepicdError(
                f"{hub.repo} stayed private.", "Make it public on the Hub; an organisation may forbid it."
            )
    _write_record(journal, contents, hub, commit, now, wish, compared)
    return Published(hub.url, commit, wanted, now, compared)


def _check_committed(hub: HubRepository, contents: Contents, commit: str) -> RepositoryState:
    """The repository after the commit; what turns out to be open that must not be is closed at once."""
    now = hub.look()
    if now is None:
        raise verify.verification_error(hub, commit, ["the repository cannot be seen any more"])
    if contents.protected and not now.guarded:
        hub.settle(private=True)
        raise DeepicdError(
            f"{hub.repo} was made {now.visibility} while rows were sent; it is private again.",
            "Find out who changed its settings, and whether the rows were read.",
        )
    if differing := upload.find_changes(contents, now.files):
        raise verify.verification_error(hub, commit, [f"the Hub lists other files: {differing}"])
    return now


def _validate_name(repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # there, if not listed

    advice = "Name it OWNER/NAME: letters, digits, `-`, `_` and `.`, for instance clinic/mimic-reason."
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        why = " ".join(str(error).replace(f": '{repo}'", "").split()).rstrip(".")
        raise DeepicdError(f"{repo!r} is no name of a repository: {why}.", advice) from error
    if "/" not in repo:
        raise DeepicdError(f"{repo!r} names no owner.", advice)


def _require_write_access(account: Account, repo: str) -> None:
    owner = repo.split("/")[0]
    if account.role == "read":
        raise DeepicdError(
            f"The token of {account.name} may only read.",
            "Make one with the right to write (huggingface.co/settings/tokens): export HF_TOKEN=…",
        )
    if owner not in account.writes_to and account.role != "fineGrained":
        raise DeepicdError(
            f"{account.name} may not write to {owner}.",
            f"Name a repository below {' or '.join(sorted(account.writes_to))}, or use a token of {owner}.",
        )


def _require_unedited_card(
    hub: HubRepository, contents: Contents, before: RepositoryState, journal: Journal, wish: Wish
) -> None:
    """Raise where the card on the Hub is another one than was published from here."""
    last, there = journal.last_readme(), before.files.get(README)
    if wish.overwrite or there is None or upload.is_same(contents.files[README], there):
        return
    if last is None or storage.digest_text(hub.read_text(README, before.commit)) != last:
        told = "was edited on the Hub" if last else "was not published from here"
        raise DeepicdError(
            f"README.md of {hub.repo} {told}: nothing was sent.\n"
            + upload.describe_card_difference(hub, contents, before),
            "Take over what you want to keep, then run the same command again with --overwrite.",
        )


def _require_open_history(hub: HubRepository, journal: Journal, before: RepositoryState) -> None:
    """Raise where the history of a private repository may hold what is not for the public."""
    if unknown := set(hub.commits()) - journal.open_commits():
        raise DeepicdError(
            f"{hub.repo} is private and has {len(unknown):,} commits that were not published from here as open:"
            " with --public their contents would be readable too. Nothing was sent.",
            "Publish to a new repository, or make this one public by hand once you have looked at its history.",
        )


def _write_record(
    journal: Journal,
    contents: Contents,
    hub: HubRepository,
    commit: str,
    now: RepositoryState,
    wish: Wish,
    compared: str,
) -> None:
    """run.json of the publication, beside the journal."""
    options = {
        "what": contents.what,
        "repo": hub.repo,
        "endpoint": hub.endpoint,
        "public": wish.public,
        "gated": wish.gated,
        "responsible": wish.responsible if contents.protected else None,
    }
    with records.resumable_folder(
        journal.folder, records.plan_run("publish", options=options, inputs={}), contents.origin
    ) as run:
        run.counts |= {
            "commit": commit,
            "repository": now.visibility,
            "files": {name: storage.digest_path(path) for name, path in contents.files.items()},
            "compared": compared,
        }
