"""Decide who may read a publication, from its contents, the user's options and the state of the repository.

Each rule is a function that raises DeepicdError before anything is sent. Credentialed rows are not published by
default. The user may take responsibility in one exact sentence that names server and repository; even then only readers
admitted by the owner may see them: in a private repository, or behind a gate opened by hand.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cards.firewall.content_origin import WEIGHTS
from cards.hub import upload
from cards.hub.client import Account, HubRepository, RepositoryState
from cards.hub.contents import FOLDERS, README, Contents
from cards.hub.differences import ShownCounts, find_small_differences
from cards.hub.journal import Journal, read_entries
from cards.hub.settings import PublicationOptions
from deepicd import storage
from deepicd.errors import DeepicdError

SENTENCE = (
    "I take responsibility for publishing rows that descend from credentialed MIMIC records to {repo} at {host}, "
    "which their data use agreement allows me."
)
MAX_NAMED = 5  # counts in a message


def build_sentence(repo: str, endpoint: str) -> str:
    """Return the sentence by which a user takes responsibility for credentialed rows."""
    return SENTENCE.format(repo=repo, host=urlsplit(endpoint).netloc)


def require_valid_name(repo: str) -> None:
    """Raise unless a repository's name is a valid OWNER/NAME."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # exists, though not in __all__

    advice = "Name it OWNER/NAME: letters, digits, `-`, `_` and `.`, for instance clinic/mimic-reason."
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        why = " ".join(str(error).replace(f": '{repo}'", "").split()).rstrip(".")
        raise DeepicdError(f"{repo!r} is not a valid repository name: {why}.", advice) from error
    if "/" not in repo:
        raise DeepicdError(f"{repo!r} names no owner.", advice)


def require_responsibility(*, contents: Contents, options: PublicationOptions) -> None:
    """Raise if the contents may not go to this repository, whatever its state."""
    if not contents.is_protected:
        return
    sentence = build_sentence(options.repo, options.endpoint)
    if options.responsible != sentence:
        raise DeepicdError(
            "These rows descend from credentialed records, which PhysioNet's terms do not let you publish: nothing was"
            " sent.",
            "Publish the card or the recipe (--what card), prepare a submission to PhysioNet (deepicd bundle), or, if "
            f'your agreement allows it, add: --responsible "{sentence}"',
        )
    if options.public and not options.gated:
        raise DeepicdError(
            "Credentialed rows are never public.",
            "Drop --public, or add --gated: then you admit each reader by hand.",
        )


def require_write_access(*, account: Account, repo: str) -> None:
    """Raise if the token cannot write to the owner of the repository."""
    owner = repo.split("/")[0]
    if account.role == "read":
        raise DeepicdError(
            f"The token of {account.name} may only read.",
            "Create one with write access (huggingface.co/settings/tokens): export HF_TOKEN=…",
        )
    if owner not in account.writes_to and account.role != "fineGrained":
        raise DeepicdError(
            f"{account.name} may not write to {owner}.",
            f"Name a repository below {' or '.join(sorted(account.writes_to))}, or use a token of {owner}.",
        )


def require_suitable_repository(*, contents: Contents, options: PublicationOptions, state: RepositoryState) -> None:
    """Raise if an existing repository may not receive the contents."""
    repo = options.repo
    if contents.is_protected and not state.is_guarded:
        raise DeepicdError(
            f"{repo} is {state.visibility}, and these rows are not for the public: nothing was sent.",
            "Name a new repository, or make this one private first.",
        )
    if not state.is_guarded and not options.public:
        raise DeepicdError(
            f"{repo} is {state.visibility}: nothing was sent.", "Add --public if you mean it, or name another one."
        )
    if contents.kind == "model":
        if weights := sorted(name for name in state.files if Path(name).suffix.lower() in WEIGHTS):
            raise DeepicdError(
                f"{repo} holds weights, {weights[0]} among them, but the card says that there are none.",
                "Name a separate repository for the card.",
            )
        return
    foreign = sorted(
        name
        for name in state.files
        for what, folders in FOLDERS.items()
        if what != contents.what and folders and name.startswith(folders)
    )
    if foreign and not options.overwrite:
        raise DeepicdError(
            f"{repo} holds {len(foreign):,} files of another publication, {foreign[0]} among them, which would be"
            " removed.",
            "Publish the same --what as before, name another repository, or add --overwrite.",
        )


def require_guarded(*, contents: Contents, state: RepositoryState, repo: str) -> None:
    """Raise unless the repository, as just read back, protects what must not be public."""
    if contents.is_protected and not state.is_guarded:
        raise DeepicdError(
            f"{repo} is {state.visibility} although it should be private: nothing was sent.",
            "Check its settings on the Hub; an organisation may force a visibility.",
        )


def require_unedited_card(*, hub: HubRepository, contents: Contents, state: RepositoryState, journal: Journal) -> None:
    """Raise if the card on the Hub is not the one last published from here."""
    last, remote = journal.find_last_readme(), state.files.get(README)
    if remote is None or upload.is_same(contents.files[README], remote):
        return
    if last is None or storage.digest_text(hub.read_text(README, state.commit)) != last:
        reason = "was edited on the Hub" if last else "was not published from here"
        raise DeepicdError(
            f"README.md of {hub.repo} {reason}: nothing was sent.\n"
            + upload.describe_card_difference(hub, contents, state),
            "Copy over what you want to keep, then rerun the command with --overwrite.",
        )


def require_open_history(*, hub: HubRepository, journal: Journal) -> None:
    """Raise if the history of a private repository may hold what must not become public."""
    if unknown := set(hub.list_commits()) - journal.list_open_commits():
        raise DeepicdError(
            f"{hub.repo} is private and has {len(unknown):,} commits that were not published from here as open:"
            " with --public their contents would become readable too. Nothing was sent.",
            "Publish to a new repository, or make this one public by hand after checking its history.",
        )


def describe_small_differences(journals: Path, shown: ShownCounts) -> list[str]:
    """Return a line for each earlier publication that may, together with these counts, reveal one to nine rows.

    A cohort with one more stay gives a card on which every total, and the chapter of that stay, is one higher: together
    the two cards reveal what neither does alone. The journals have the counts of all cards published from here; what
    others have published is unknown.
    """
    return list(dict.fromkeys(_describe_small_differences(journals, shown)))


def _describe_small_differences(journals: Path, shown: ShownCounts) -> Iterator[str]:
    for path in sorted(journals.glob("*/journal.jsonl")):
        repo = path.parent.name.replace("--", "/")
        for number, entry in enumerate(read_entries(path) if shown else (), start=1):
            if entry is None:
                yield f"line {number:,} of the journal of {repo} cannot be read, so what that card shows is unknown"
            elif small := find_small_differences(entry.shown, shown):
                more = f" and {len(small) - MAX_NAMED:,} more" if len(small) > MAX_NAMED else ""
                yield (
                    f"the card of {entry.at[:10]} in {repo} has {len(small):,} counts"
                    f" that differ from this one's by one to nine: {', '.join(small[:MAX_NAMED])}{more}"
                )


def refuse_small_differences(lines: Sequence[str]) -> None:
    """Raise if a public card reveals small counts together with an earlier one."""
    if lines:
        raise DeepicdError(
            "Together with an earlier card this one may reveal groups of fewer than ten rows: nothing was sent.\n"
            + "\n".join(f"  {line}" for line in lines),
            "Publish it privately, or from the earlier data; or, if nobody else could read the earlier card, add"
            " --despite-differences.",
        )
