"""`deepicd publish` and `deepicd retract`."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import click

from deepicd import json_output

FOLDER = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., None])


def connection_options(command: Command) -> Command:
    """Add the options for the Hub's address, timeout and retries."""
    options = [
        click.option("--endpoint", help="Address of the Hub. Default: HF_ENDPOINT or https://huggingface.co."),
        click.option("--records", "journals", type=FOLDER,
                     help="Folder of the journal. Default: `publications` beside OUT."),
        click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True,
                     help="Seconds without a byte after which a request has failed."),
        click.option("--tries", type=click.IntRange(min=1), default=5, show_default=True, help="Attempts per request."),
        click.option("--wait", type=click.FloatRange(min=0), default=1.0, show_default=True,
                     help="Seconds before the second attempt; doubled for each further one."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("folder", metavar="OUT", type=FOLDER)
@click.argument("repo")
@click.option("--what", type=click.Choice(["card", "recipe", "rows", "resources"]), default="card", show_default=True,
              help="recipe: card, prompts, split, statistics. rows: the dataset. resources: guidelines.")  # fmt: skip
@click.option(
    "--public/--private", default=False, help="Who may see it. Default: private, as it is in any case until verified."
)
@click.option("--gated", is_flag=True, help="Let the owner admit each reader by hand.")
@click.option("--responsible", metavar="SENTENCE", help="For credentialed rows: the sentence quoted by the refusal.")
@click.option("--permission", metavar="SENTENCE",
              help="For descriptions: who permitted passing them on, and when.")  # fmt: skip
@click.option("--notes-from", type=click.Path(path_type=Path, exists=True),
              help="For a model that read credentialed notes: where they are now, if they were moved.")  # fmt: skip
@click.option(
    "--overwrite", is_flag=True, help="Also replace a card that was edited on the Hub, and files of another --what."
)
@click.option("--despite-differences", is_flag=True,
              help="Also publish a card that reveals small counts together with an earlier one.")  # fmt: skip
@click.option(
    "--full-reload", is_flag=True, help="Verify by downloading everything, not by counts, digests and samples."
)
@click.option("--dry-run", is_flag=True,
              help="Show the plan and change nothing. Without token or network, say what was not asked.")  # fmt: skip
@connection_options
def publish(endpoint: str | None, timeout: float, tries: int, wait: float, **options: object) -> None:
    """Publish OUT to the repository REPO (OWNER/NAME) of the Hugging Face Hub; the card alone unless --what says more.

    OUT is a dataset folder, a folder of guidelines or descriptions, or a run of `deepicd train`: of a run the card is
    published, never the weights, to a model repository.

    The repository is private unless you add --public. Everything passes the firewall first (deepicd check-disclosure);
    rows that descend from credentialed records go nowhere by default. There is one commit or none; a fresh process
    reads back what arrived and compares it. Running the command again sends nothing twice. The token is that of
    HF_TOKEN or `hf auth login`.

    \b
    deepicd publish out/dataset clinic/mimic-reason --what recipe --dry-run
    deepicd publish out/sft-7b clinic/deepicd-sft-7b
    """
    from cards.hub.settings import PublicationOptions, prepare_environment
    from deepicd.http import RetryPolicy

    retry = RetryPolicy(attempts=tries, timeout=timeout, first_wait=wait)
    settings = PublicationOptions.model_validate({**options, "endpoint": prepare_environment(endpoint), "retry": retry})

    from cards.hub.verify import start_verifier
    from deepicd import storage

    with start_verifier(settings) as verifier, storage.digest_ahead(sorted(settings.folder.glob("*/*.parquet"))):
        from cards.hub.publication import open_publication  # while the fresh process imports, and files are read

        with open_publication(settings, verifier=verifier) as publication:
            plan = publication.describe_plan()
            json_output.offer({"plan": plan, "sent": False})
            click.echo("\n".join(plan))
            if settings.dry_run:
                click.echo("Nothing was changed: this was a dry run.")
                return
            outcome = publication.send()
    json_output.offer({"plan": plan, "sent": bool(outcome.changes), "url": outcome.url, "commit": outcome.commit,
                       "visibility": outcome.state.visibility, "compared": outcome.compared})  # fmt: skip
    action = "sent in one commit" if outcome.changes else "nothing to send, the repository holds all of it already"
    click.echo(f"{outcome.changes}: {action}")
    click.echo(f"Verified at {outcome.commit[:12]}: {outcome.compared}")
    click.echo(f"{outcome.url} is {outcome.state.visibility}")


@click.command()
@click.argument("repo")
@connection_options
@click.option("--kind", type=click.Choice(["dataset", "model"]),
              help="Needed where a dataset and a model have the same name.")  # fmt: skip
def retract(
    repo: str,
    endpoint: str | None,
    journals: Path | None,
    timeout: float,
    tries: int,
    wait: float,
    kind: Literal["dataset", "model"] | None,
) -> None:
    """Make the repository REPO of a dataset or a model private, and say what that does not undo.

    \b
    deepicd retract clinic/mimic-reason
    """
    from cards.hub.settings import prepare_environment

    address = prepare_environment(endpoint)
    from cards.hub import retract as retraction
    from deepicd.http import RetryPolicy

    retry = RetryPolicy(attempts=tries, timeout=timeout, first_wait=wait)
    hub = retraction.find_repository(repo, address, retry=retry, kind=kind)
    before, after = retraction.retract(hub, journals=journals)
    json_output.offer({"repository": repo, "before": before.visibility, "after": after.visibility})
    click.echo(f"{repo} was {before.visibility} and is {after.visibility}.")
    for line in retraction.REMAINS:
        click.echo(f"- {line}")
