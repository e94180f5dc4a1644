"""`deepicd publish` and `deepicd retract`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import click

FOLDER = click.Path(path_type=Path)
endpoint_option = click.option(
    "--endpoint", help="Address of the Hub; HF_ENDPOINT or https://huggingface.co unless given."
)
timeout = click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True,
                       help="Seconds without a byte after which a request has failed.")  # fmt: skip
tries = click.option("--tries", type=click.IntRange(min=1), default=5, show_default=True, help="Of each request.")
first_wait = click.option("--wait", type=click.FloatRange(min=0), default=1.0, show_default=True,
                          help="Seconds before the second try; doubled for each further one.")  # fmt: skip
records = click.option(
    "--records", type=FOLDER, help="Where the journal is kept; `publications` beside OUT unless given."
)


@click.command()
@click.argument("out", type=FOLDER)
@click.argument("repo")
@click.option("--what", type=click.Choice(["card", "recipe", "rows", "resources"]), default="card", show_default=True,
              help="recipe: card, prompts, split, statistics. rows: the dataset. resources: guidelines.")  # fmt: skip
@click.option(
    "--public/--private", default=False, help="Who may see it; private unless said, and always until verified."
)
@click.option("--gated", is_flag=True, help="Let the owner admit each reader by hand.")
@click.option("--responsible", metavar="SENTENCE", help="For credentialed rows: the sentence that the refusal names.")
@click.option("--permission", metavar="SENTENCE", help="For descriptions: who permitted to pass them on, and when.")
@click.option("--notes-from", type=click.Path(path_type=Path, exists=True),
              help="For a model that read credentialed notes: where they are, if not where they were.")  # fmt: skip
@click.option(
    "--overwrite", is_flag=True, help="Also replace a card that was edited there, and files of another --what."
)
@click.option("--despite-differences", is_flag=True,
              help="Also publish openly what tells small counts beside an earlier card.")  # fmt: skip
@click.option(
    "--full-reload", is_flag=True, help="Verify by downloading everything, not by counts, digests and samples."
)
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@endpoint_option
@records
@timeout
@tries
@first_wait
def publish(
    out: Path,
    repo: str,
    what: str,
    public: bool,
    gated: bool,
    responsible: str | None,
    permission: str | None,
    notes_from: Path | None,
    overwrite: bool,
    despite_differences: bool,
    full_reload: bool,
    dry_run: bool,
    endpoint: str | None,
    records: Path | None,
    timeout: float,
    tries: int,
    wait: float,
) -> None:
    """Publish OUT to the repository REPO (OWNER/NAME) of the Hugging Face Hub; the card alone unless --what says more.

    OUT is a dataset folder, one of guidelines or descriptions, or a run of `deepicd train`: of that the card, never the
    weights, to a repository of models.

    Private unless --public is said. Everything passes the firewall first (deepicd check-disclosure); rows that descend
    from credentialed records go nowhere by default. One commit or none; what arrived is read again by a fresh process
    and compared. Running it again sends nothing twice. The token is that of HF_TOKEN or `hf auth login`.

    \b
    deepicd publish out/dataset clinic/mimic-reason --what recipe --dry-run
    deepicd publish out/sft-7b clinic/deepicd-sft-7b
    """
    from cards.hub.environment import prepare_environment

    address = prepare_environment(endpoint)
    from cards.hub import verify
    from deepicd import storage

    fresh = verify.start_readers(address, timeout, out, what, full=full_reload, dry_run=dry_run)
    with fresh as compare, storage.digest_ahead(sorted(out.glob("*/*.parquet"))):
        from cards.hub.errors import Patience
        from cards.hub.policy import Wish
        from cards.hub.publication import publish as send  # while the fresh process imports, and files are read

        done = send(
            out,
            repo,
            what,  # type: ignore[arg-type]  # one of the choices
            address,
            wish=Wish(public, gated, responsible, overwrite, despite_differences),
            patience=Patience(timeout, tries, wait),
            permission=permission,
            notes_from=notes_from,
            journals=records,
            dry_run=dry_run,
            reread=nullcontext(compare),
            say=click.echo,
        )
    if done is None:
        click.echo("Nothing was changed: this was a dry run.")
        return
    sent = "sent in one commit" if done.changes else "nothing to send, it holds all of it already"
    click.echo(f"{done.changes}: {sent}")
    click.echo(f"Verified at {done.commit[:12]}: {done.compared}")
    click.echo(f"{done.url} is {done.remote.visibility}")


@click.command()
@click.argument("repo")
@endpoint_option
@records
@timeout
@tries
@first_wait
@click.option("--kind", type=click.Choice(["dataset", "model"]),
              help="Needed where a dataset and a model have the same name.")  # fmt: skip
def retract(
    repo: str,
    endpoint: str | None,
    records: Path | None,
    timeout: float,
    tries: int,
    wait: float,
    kind: Literal["dataset", "model"] | None,
) -> None:
    """Make the repository REPO private, of a dataset or of a model, and say what that does not undo.

    \b
    deepicd retract clinic/mimic-reason
    """
    from cards.hub.environment import prepare_environment

    address = prepare_environment(endpoint)
    from cards.hub.errors import Patience
    from cards.hub.retract import REMAINS, find_repository
    from cards.hub.retract import retract as close

    before, now = close(find_repository(repo, address, Patience(timeout, tries, wait), kind), records)
    click.echo(f"{repo} was {before.visibility} and is {now.visibility}.")
    for line in REMAINS:
        click.echo(f"- {line}")
