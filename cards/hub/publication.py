"""Run a publication: contents, firewall, rules, repository, one commit, verification.

    1  gather     copy the contents to a private folder, run the firewall on the copies, check whether they may be
                  published at all
    2  inspect    look up the token's account and the state of the repository; a dry run ends here, with the plan, and
                  says so where there is no token or the Hub does not answer
    3  prepare    create a missing repository, private; set the gate; read both back before anything is sent
    4  send       one commit, or nothing: the copies, and only if they are still what was checked
    5  verify     compare the list of files; a fresh process loads that revision and compares it with the local files
    6  open       last, and only with --public and a history that holds nothing else

After a failure before step 4 the repository is as it was, or private and empty; the same command continues from there.

    with open_publication(options) as publication:  # steps 1 and 2
        print("\\n".join(publication.describe_plan()))
        outcome = publication.send()                # steps 3 to 6
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from urllib.parse import urlsplit

from cards.hub import policy, upload, verify
from cards.hub.client import Account, HubRepository, RepositoryState
from cards.hub.contents import README, Contents, gather_contents
from cards.hub.errors import NoAnswerError
from cards.hub.journal import Journal, open_scratch
from cards.hub.settings import PublicationOptions, What
from cards.hub.verify import Verifier
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.stage_records import PublishCounts, PublishRecord, describe_rehearsal

logger = logging.getLogger(__name__)

MESSAGES: dict[What, str] = {
    "card": "Card",
    "recipe": "Card and recipe",
    "rows": "Rows and card",
    "resources": "Resources",
}
MAX_LISTED = 40  # names of files, per kind of change


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished publication."""

    url: str
    commit: str
    changes: upload.Changes
    state: RepositoryState
    compared: str
    """What was verified, in words."""


def publish(options: PublicationOptions, *, verifier: Verifier | None = None) -> Outcome | None:
    """Publish a folder; return None for a dry run. After a DeepicdError nothing is public that was not before."""
    with open_publication(options, verifier=verifier) as publication:
        return None if options.dry_run else publication.send()


@contextmanager
def open_publication(options: PublicationOptions, *, verifier: Verifier | None = None) -> Iterator["Publication"]:
    """Yield a publication that every rule permits and of which nothing is sent yet. Raises DeepicdError.

    `verifier` replaces the verification in a fresh process.
    """
    policy.require_valid_name(options.repo)
    verification = nullcontext(verifier) if verifier else verify.start_verifier(options)
    journals = options.journal_folder
    with open_scratch(journals) as staging, verification as verifier:
        contents = gather_contents(options, staging)
        policy.require_responsibility(contents=contents, options=options)
        contents.check_disclosure()
        journal = Journal(journals, options.repo, options.endpoint, contents.kind)
        remote: Remote | NoAnswerError
        try:
            remote = _inspect(options, contents, journal)
        except NoAnswerError as error:
            if not options.dry_run:
                raise
            remote = error
        differences = policy.describe_small_differences(journals, contents.shown)
        before = remote.before if isinstance(remote, Remote) else None
        is_readable = options.public or (before is not None and not before.private)  # a gate does not hide README.md
        if is_readable and not options.despite_differences:
            policy.refuse_small_differences(differences)
        yield Publication(
            options=options,
            contents=contents,
            remote=remote,
            journal=journal,
            differences=differences,
            verifier=verifier,
        )


def _inspect(options: PublicationOptions, contents: Contents, journal: Journal) -> "Remote":
    """Return account and repository. Raises DeepicdError where the rules do not permit the publication there."""
    hub = HubRepository(options.repo, options.endpoint, retry=options.retry, token=options.token, kind=contents.kind)
    account = hub.fetch_account()
    policy.require_write_access(account=account, repo=options.repo)
    before = hub.fetch_state()
    if before:
        policy.require_suitable_repository(contents=contents, options=options, state=before)
        if not options.overwrite:
            policy.require_unedited_card(hub=hub, contents=contents, state=before, journal=journal)
        if options.public and before.private:
            policy.require_open_history(hub=hub, journal=journal)
    return Remote(hub, account, before)


@dataclass(frozen=True)
class Remote:
    """A repository on the Hub as it is before a publication, and the account that asks."""

    hub: HubRepository
    account: Account
    before: RepositoryState | None
    """None for a repository that does not exist yet."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Contents that may go to a repository, and the state of the repository."""

    options: PublicationOptions
    contents: Contents
    remote: Remote | NoAnswerError
    """Why the Hub could not be asked, in a dry run."""
    journal: Journal
    differences: list[str]
    """Small counts that the card reveals next to earlier ones, in words."""
    verifier: Verifier

    def describe_plan(self) -> list[str]:
        """Return the plan as lines: files, sizes, visibility, gate.

        out/dataset → clinic/mimic-reason at huggingface.co
          what        card (synthetic)
          repository  new, private
        """
        options, contents, remote = self.options, self.contents, self.remote
        before = remote.before if isinstance(remote, Remote) else None
        changes = upload.find_changes(contents, before.files if before else {})
        opening = "; public, once verified" if options.public and (before is None or before.private) else ""
        gate = "opened by hand" if options.gated or (before and before.gated == "manual") else "none"
        repository = before.visibility if before else "new, private"
        if isinstance(remote, NoAnswerError):
            repository, gate = "unknown, the Hub was not asked", gate if options.gated else "unknown"
        record = records.read(options.folder)
        rehearsal = describe_rehearsal(record) if record else None
        lines = [
            *([rehearsal] if rehearsal else []),
            f"{options.folder} → {options.repo} at {urlsplit(options.endpoint).netloc}",
            f"  what        {contents.what}{' of a model' if contents.kind == 'model' else ''} ({contents.origin})",
            f"  repository  {repository}{opening}",
            f"  gate        {gate}",
            f"  files       {len(contents.files):,}, {contents.size / 1e6:,.1f} MB: {changes}",
        ]
        for word, names in (("new", changes.new), ("changed", changes.changed), ("removed", changes.removed)):
            for name in names[:MAX_LISTED]:
                size = f"{contents.files[name].stat().st_size / 1e3:>12,.1f} kB" if name in contents.files else " " * 15
                lines.append(f"    {word:<8}{size}  {name}")
            if len(names) > MAX_LISTED:
                lines.append(f"    {word:<8}{' ' * 15}  and {len(names) - MAX_LISTED:,} more")
        if contents.not_sent:
            lines.append(f"  not sent    {', '.join(contents.not_sent)}")
        if isinstance(remote, NoAnswerError):
            lines.append(f"  not asked   whose token it is, whether it may write to {options.repo}, and what is there")
            lines.append(f"              {remote.what} {remote.advice}")
        return [*lines, *(f"  beware      {line}" for line in self.differences)]

    def send(self) -> Outcome:
        """Prepare the repository, commit, verify, and open the repository with --public. Raises DeepicdError."""
        contents, options = self.contents, self.options
        if options.dry_run or isinstance(self.remote, NoAnswerError):
            raise RuntimeError("A dry run sends nothing.")
        hub, account = self.remote.hub, self.remote.account
        before = self._prepare_repository(self.remote)
        changes = upload.find_changes(contents, before.files)
        if changes:
            logger.info("Sending %s files to %s.", f"{len(changes.new) + len(changes.changed):,}", hub.repo)
        commit = upload.commit(hub, contents, before, f"{MESSAGES[contents.what]} by deepicd")
        self.journal.add(
            "committed", commit=commit, what=contents.what, protected=contents.is_protected, files=len(contents.files),
            readme=storage.digest_path(contents.files[README]), account=account.name,
            **({"shown": dict(contents.shown)} if contents.shown else {}),
        )  # fmt: skip
        state = self._check_committed(hub, commit)
        logger.info("Reading %s back to compare it.", hub.repo)
        compared = self.verifier(hub, contents, commit)
        self.journal.add("verified", commit=commit, compared=compared)
        if options.public and state.private:
            state = hub.update_settings(private=False)
            self.journal.add("opened", commit=commit, repository=state.visibility)
            if state.private:
                raise DeepicdError(
                    f"{hub.repo} stayed private.", "Make it public on the Hub; an organisation may forbid that."
                )
        outcome = Outcome(url=hub.url, commit=commit, changes=changes, state=state, compared=compared)
        self._write_record(hub, outcome)
        return outcome

    def _prepare_repository(self, remote: Remote) -> RepositoryState:
        """Create a missing repository, private, and set the gate; return the state as read back."""
        hub, options, state = remote.hub, self.options, remote.before
        if state is None:
            state = hub.create()
            self.journal.add("created", commit=state.commit)
            if not state.private:
                raise DeepicdError(
                    f"{hub.repo} was created as a public repository although a private one was requested: nothing was"
                    " sent.",
                    "Check its settings on the Hub; an organisation may force a visibility.",
                )
        if options.gated and state.gated != "manual":
            state = hub.update_settings(gated="manual")
            if state.gated != "manual":
                raise DeepicdError(
                    f"{hub.repo} did not accept the gate: nothing was sent.",
                    "Set it on the Hub, then rerun the command.",
                )
        policy.require_guarded(contents=self.contents, state=state, repo=hub.repo)
        if self.contents.is_protected:
            self.journal.add(
                "responsible", sentence=options.responsible, account=remote.account.name, repository=state.visibility
            )
        return state

    def _check_committed(self, hub: HubRepository, commit: str) -> RepositoryState:
        """Return the repository after the commit; make it private at once if it must not be public."""
        contents = self.contents
        state = hub.fetch_state()
        if state is None:
            raise verify.build_error(hub, commit, ["the repository can no longer be seen"])
        if contents.is_protected and not state.is_guarded:
            hub.update_settings(private=True)
            raise DeepicdError(
                f"{hub.repo} was made {state.visibility} while rows were being sent; it is private again.",
                "Find out who changed its settings, and whether the rows were read.",
            )
        if changes := upload.find_changes(contents, state.files):
            raise verify.build_error(hub, commit, [f"the Hub lists other files: {changes}"])
        return state

    def _write_record(self, hub: HubRepository, outcome: Outcome) -> None:
        """Write run.json of the publication, beside the journal."""
        contents = self.contents
        options = {
            "what": contents.what,
            "repo": hub.repo,
            "endpoint": hub.endpoint,
            "public": self.options.public,
            "gated": self.options.gated,
            "responsible": self.options.responsible if contents.is_protected else None,
        }
        plan = records.plan_run(PublishRecord, options=options, inputs={})
        with records.open_resumable_folder(self.journal.folder, plan, contents.origin) as run:
            run.counts = PublishCounts(
                commit=outcome.commit,
                repository=outcome.state.visibility,
                files={name: storage.digest_path(path) for name, path in contents.files.items()},
                compared=outcome.compared,
            )
