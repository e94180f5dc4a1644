"""The command line, `deepicd COMMAND …`. Each command is defined in its stage's folder and imported when it is called.

The summary line of each is written here, so that `deepicd --help` imports no stage and answers at once.
"""

import gc
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NoReturn

import click

from deepicd import __version__, log
from deepicd.errors import DeepicdError, advise_install
from deepicd.json_output import add_json_option
from deepicd.remote.paths import accept_urls

logger = logging.getLogger(__name__)

# name → (module:function, summary), in the order in which data flows
COMMANDS = {
    "demo": ("deepicd.demo:demo", "Run every stage on made-up records."),
    "init": ("deepicd.commands:init", "Write deepicd.yaml: the whole chain in one file."),
    "run": ("deepicd.commands:run", "Run what is missing of the chain in deepicd.yaml."),
    "status": ("deepicd.commands:status", "Show what is done of the chain in deepicd.yaml."),
    "doctor": ("builders.doctor:doctor", "Check this machine and a copy of MIMIC."),
    "physionet": ("builders.physionet.commands:physionet", "Download MIMIC-IV and its notes, or verify a copy."),
    "synthesize": ("builders.commands:synthesize", "Make up a copy of MIMIC-IV 3.1 and Note 2.2."),
    "guidelines": ("guidelines.commands:guidelines", "Parse the guideline PDF into one JSON file per chapter."),
    "scrape": ("scrapers.commands:scrape", "Scrape descriptions of codes from gesund.bund.de."),
    "build": ("builders.commands:build", "Build the cohort: admission notes and first diagnoses."),
    "coverage": ("scrapers.commands:coverage", "Count how much of a cohort the descriptions cover."),
    "audit": ("builders.commands:audit", "Measure how often admission notes disclose their diagnosis."),
    "plan": ("distill.plan_command:plan", "Plan a run: tokens, GPU-hours, disk and memory."),
    "distill": ("distill.commands:distill", "Write reasoning traces with a teacher model."),
    "prompt": ("distill.prompt_commands:prompt", "Show prompts, or import the authors'."),
    "judge": ("distill.commands:judge", "Score traces from 1 to 5 with another model."),
    "verify": ("distill.verification.commands:verify", "Compare traces with what became of their stays."),
    "assemble": ("builders.commands:assemble", "Assemble cohort and traces into a dataset folder."),
    "view": ("cards.reading_room.commands:view", "Read traces beside their notes in a browser."),
    "report": ("cards.reading_room.commands:report", "Write the same pages, for a sample, into a folder."),
    "review": ("cards.reading_room.commands:review", "Let people rate traces; measure their agreement."),
    "train": ("train.commands:train", "Train on the dataset (SFT, GRPO); compare rewards."),
    "evaluate": ("train.evaluation.commands:evaluate", "Evaluate a model by the paper's metrics."),
    "table": ("train.evaluation.commands:table", "Print the paper's tables with your evaluations beside them."),
    "card": ("cards.commands:card", "Write README.md and figures for a dataset or a model."),
    "bundle": ("cards.commands:bundle", "Bundle a dataset for submission to PhysioNet."),
    "rehydrate": ("builders.commands:rehydrate", "Restore a dataset from a bundle without notes and a copy of MIMIC."),
    "check-disclosure": ("cards.commands:check_disclosure", "Check whether files may leave this machine."),
    "publish": ("cards.hub.commands:publish", "Publish cards, recipes, rows or resources on the Hugging Face Hub."),
    "retract": ("cards.hub.commands:retract", "Make a published repository private."),
}
GC_THRESHOLD = 100_000
"""Allocations between two garbage collections. Rows are part of no reference cycle, and with Python's default of 700 a
build spent a twentieth of its time searching for cycles."""
ON_WINDOWS = """deepicd does not run on Windows itself: vLLM, Ray and verl do not, and open files are replaced.
Run it in WSL 2 (wsl --install), with the data on its own disk (~/…, not /mnt/c). That has not been tried."""
IN_PLACE = ("card",)
"""Commands whose OUT is a folder that they read: `--out` would promise another."""
PACKAGES = {target.split(".")[0] for target, _ in COMMANDS.values()}


class LazyGroup(click.Group):
    """A group that imports a command only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, function = COMMANDS[name][0].split(":")
        try:
            command: click.Command = getattr(import_module(module), function)
        except ModuleNotFoundError as error:
            raise explain_missing_library(error) from error
        for full_name, leaf in walk_commands(name, command):
            if not any(param.name == "log_level" for param in leaf.params):  # else it was asked for before
                leaf.params += make_log_options()
                accept_urls(full_name, leaf)
                add_json_option(full_name, leaf)
                accept_out_option(leaf)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def walk_commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command with its full name; of a group, each command in it."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for subcommand in command.commands.values():
        yield from walk_commands(f"{name} {subcommand.name}", subcommand)


def accept_out_option(command: click.Command) -> None:
    """Have a command whose last argument is OUT also take `--out OUT`, with a note: it is the name elsewhere."""
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    if (
        command.name in IN_PLACE
        or not arguments
        or arguments[-1].name != "out"
        or any("--out" in param.opts for param in command.params)
    ):
        return
    argument, is_required = arguments[-1], arguments[-1].required

    def take_argument(ctx: click.Context, param: click.Parameter, value: object) -> object:
        given = ctx.meta.get("deepicd.out")
        if value is None and given is None and is_required:
            raise click.MissingParameter(ctx=ctx, param=param)
        if value is not None and given is not None:
            raise click.UsageError(f"OUT is named twice: {value} and --out {given}.", ctx)
        return given if value is None else value

    def remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value is not None:
            ctx.meta["deepicd.out"] = value
            logger.info("--out %s is taken for the argument OUT, which comes last.", value)

    argument.required, argument.metavar = False, argument.metavar or "OUT"
    argument.callback = take_argument
    command.params.append(
        click.Option(
            ["--out", "out_option"],
            type=argument.type,
            hidden=True,
            is_eager=True,
            expose_value=False,
            callback=remember,
        )
    )


def make_log_options() -> list[click.Parameter]:
    """Return `-v`, `-q` and `--log-level`; the last one on a command line wins."""

    def build_callback(level: str | None) -> Callable[[click.Context, click.Parameter, object], None]:
        def callback(ctx: click.Context, param: click.Parameter, value: object) -> None:
            if value:
                log.configure(level or str(value), PACKAGES)

        return callback

    return [
        click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=build_callback("DEBUG"),
                     help="Also log details."),
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=build_callback("WARNING"),
                     help="Log warnings and errors only."),
        click.Option(["--log-level"], type=click.Choice(log.LEVELS, case_sensitive=False), metavar="LEVEL",
                     expose_value=False, callback=build_callback(None),
                     help=f"{', '.join(log.LEVELS[:-1])} or {log.LEVELS[-1]}; INFO unless given."),
    ]  # fmt: skip


@click.group(
    cls=LazyGroup,
    params=make_log_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="deepicd")
def cli() -> None:
    """Regenerate MIMIC-Reason: from MIMIC-IV, gesund.bund.de and the CMS guidelines to a checked reasoning dataset.

    Every stage reads files, writes files and leaves a run.json. You can stop it at any time and run it again. To try
    all of them:

    \b
    deepicd demo out/demo
    """


def explain_missing_library(error: ModuleNotFoundError) -> DeepicdError:
    """Return the error to show for a package that is not installed. Raises `error` if the module is part of deepicd."""
    from deepicd.engines.registry import INSTALL

    package = (error.name or "").split(".")[0]
    if not package or package in PACKAGES:
        raise error
    return DeepicdError(
        f"This command needs the Python package {error.name!r}, which is not installed.",
        INSTALL.get(package) or f"Install the packages of all stages: {advise_install('all')}",
    )


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 an error that the message explains, 2 wrong usage, 130 stopped."""
    if sys.platform == "win32":
        _exit_with_error(ON_WINDOWS)
    gc.set_threshold(GC_THRESHOLD)
    log.configure(logging.INFO, PACKAGES)
    signal.signal(signal.SIGTERM, _stop)  # SLURM and systemd send it; handle it like Ctrl-C
    try:
        cli.main(args=args, prog_name="deepicd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DeepicdError as error:
        _exit_with_error(str(error))
    except ModuleNotFoundError as error:
        _exit_with_error(str(explain_missing_library(error)))
    except OSError as error:  # a full disk, a folder without permission: for the user to fix, so no traceback
        path = f": {error.filename}" if error.filename else ""
        _exit_with_error(f"{error.strerror or error}{path}.\nFix this, then rerun the command.")
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped. Rerun the command to continue from what is finished.", err=True)
        sys.exit(130)


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _exit_with_error(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)
