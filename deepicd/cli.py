"""The roof: `deepicd STAGE …`. Each stage's command lives in its own folder and is imported when it is called.

The first lines of help stand here, so that `deepicd --help` reads no stage at all and answers at once.
"""

import gc
import signal
import sys
from importlib import import_module
from typing import NoReturn

import click

from deepicd import __version__
from deepicd.errors import DeepicdError

# name → (module:function, line of help), in the order in which data flows
COMMANDS = {
    "demo": ("deepicd.demo:demo", "The whole chain on made-up records, one command."),
    "doctor": ("builders.doctor:doctor", "What is here, what is missing, what to do about it."),
    "physionet": ("builders.mimic.physionet.commands:physionet", "Download MIMIC-IV + Notes; check a copy."),
    "synthesize": ("builders.commands:synthesize", "Make up a MIMIC-IV 3.1 + Note 2.2 copy."),
    "guidelines": ("guidelines.commands:guidelines", "Guideline PDF → one JSON file a chapter."),
    "scrape": ("scrapers.commands:scrape", "gesund.bund.de → descriptions.parquet."),
    "build": ("builders.commands:build", "MIMIC-IV + Notes → cohort of admission notes."),
    "coverage": ("scrapers.commands:coverage", "Cohort × descriptions → what share has a text."),
    "audit": ("builders.commands:audit", "How often admission notes give their diagnosis away."),
    "distill": ("distill.commands:distill", "Cohort + knowledge → reasoning traces."),
    "judge": ("distill.commands:judge", "Traces → scores from 1 to 5 by another model."),
    "assemble": ("builders.commands:assemble", "Cohort + traces → dataset folder."),
    "train": ("train.commands:train", "Train on the dataset; see what rewards pay."),
    "evaluate": ("train.evaluation.commands:evaluate", "Answers of a model → the paper's metrics."),
    "card": ("cards.commands:card", "Dataset folder or trained model → README.md with figures."),
    "bundle": ("cards.commands:bundle", "Dataset folder → submission to PhysioNet."),
    "rehydrate": ("builders.commands:rehydrate", "Bundle without notes + MIMIC → dataset folder, as it was."),
    "check-disclosure": ("cards.firewall.commands:check_disclosure", "May these files leave this machine?"),
    "publish": ("cards.hub.commands:publish", "Cards, recipe, rows or resources → Hugging Face Hub."),
    "retract": ("cards.hub.commands:retract", "A published repository → private."),
}
COLLECTED_AFTER = 100_000
"""New objects between two searches for cycles. Rows come by the hundred thousand and are in none: with Python's 700,
a twentieth of a build went into searching."""
OURS = {target.split(".")[0] for target, _ in COMMANDS.values()}


class Stages(click.Group):
    """A click group that imports a command only to run it or to show its own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function = COMMANDS[name][0].split(":")
        try:
            command: click.Command = getattr(import_module(module), function)
        except ModuleNotFoundError as error:
            raise missing_library(error) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Stages"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Stages, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="deepicd")
def cli() -> None:
    """Regenerate MIMIC-Reason: from MIMIC-IV, gesund.bund.de and the CMS guidelines to a checked reasoning dataset.

    Every stage reads files, writes files and leaves a run.json; it can be stopped and run again. To try it all:

        deepicd demo out/demo
    """


def missing_library(error: ModuleNotFoundError) -> DeepicdError:
    """What to say of an import that failed; a module of ours that is missing is no fault of the user's."""
    if error.name is None or error.name.split(".")[0] in OURS:
        raise error
    return DeepicdError(
        f"This stage needs the Python package {error.name!r}, which is not installed here.",
        "Install all stages' packages: pip install -c requirements/constraints.txt -e '.[all]'",
    )


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 an error that the message explains, 2 wrong usage, 130 stopped."""
    gc.set_threshold(COLLECTED_AFTER)
    signal.signal(signal.SIGTERM, _stop)  # what SLURM and systemd send; cleaned up after like Ctrl-C
    try:
        cli.main(args=args, prog_name="deepicd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DeepicdError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        _fail(str(missing_library(error)))
    except OSError as error:  # a full disk, a folder without permission: the user's to mend, so no traceback
        named = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{named}.\nMend that and run the same command again.")
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped. The same command goes on from what is finished.", err=True)
        sys.exit(130)


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str) -> None:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)
