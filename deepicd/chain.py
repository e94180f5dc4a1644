"""The whole chain from one file, deepicd.yaml: its settings, the steps that follow, and what is there of each.

steps = list_steps(read_settings(Path("deepicd.yaml")), base=Path())
steps[1].command                # 'deepicd build --mimic …'
check_steps(steps)[1].state     # 'done', 'running', 'changed', 'out of date', 'unfinished' or 'waiting'
"""

import json
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from deepicd import records, storage
from deepicd.config import Config, ConfigError
from deepicd.errors import DeepicdError
from deepicd.lease import LOCK, is_held
from deepicd.log import format_duration
from deepicd.parsing import ParseError, parse_yaml
from deepicd.record_model import Record, compare_files

FILE = Path("deepicd.yaml")

Name = Annotated[str, Field(min_length=1)]


class ChainSettings(Config):
    """deepicd.yaml. Relative paths start at the file's folder."""

    mimic: Annotated[Name, Field(description="The version folder of MIMIC-IV, a parquet copy of it or a DuckDB file.")]
    notes: Annotated[Name, Field(description="The version folder of MIMIC-IV-Note, or the same DuckDB file.")]
    out: Annotated[Name, Field(description="Where all stages write. What is made of MIMIC stays there.")] = "out"
    fiscal_year: Annotated[
        int, Field(ge=2016, le=2100, description="Of the ICD-10-CM guidelines, which CMS publishes for each year.")
    ] = 2025
    guidelines_pdf: Annotated[
        str, Field(description="A PDF of the guidelines that you have; '' to download that of the fiscal year.")
    ] = ""
    contact: Annotated[
        str,
        Field(
            description="Your address, which the crawl of gesund.bund.de sends with each request. '' leaves the"
            " descriptions out: the teacher then sees title and guidelines of a code, not what patients are told of it."
        ),
    ] = ""
    recipe: Annotated[
        Name, Field(description="The teacher's: a name (deepicd distill --help lists them), or your own YAML file.")
    ]
    base_url: Annotated[
        str, Field(description="A server that has the model, such as http://127.0.0.1:8000/v1; '' to run it here.")
    ] = ""
    traces: Annotated[
        str,
        Field(
            description="Where several recipes have run: the folder below OUT/traces to assemble; '' for the only one."
        ),
    ] = ""
    publish: Annotated[
        str,
        Field(
            description="OWNER/NAME on the Hugging Face Hub. `run` publishes nothing: it prints the command at its end."
        ),
    ] = ""
    extra: Annotated[
        dict[str, list[str]],
        Field(
            default_factory=dict,
            description="More options by stage, as on its command line: {build: [--strict], distill: [--limit, 100]}.",
        ),
    ]

    @field_validator("extra", mode="before")
    @classmethod
    def _check_extra(cls, value: object) -> object:
        if not isinstance(value, dict) or not all(isinstance(options, list) for options in value.values()):
            raise ConfigError(
                "extra is not a list of options for each stage.", "Write it as extra: {build: [--strict, --seed, 5]}."
            )
        return {str(stage): [str(option) for option in options] for stage, options in value.items()}

    @field_validator("mimic", "notes", "out", "guidelines_pdf")
    @classmethod
    def _refuse_urls(cls, value: str) -> str:
        if "://" in value:
            raise ConfigError(
                f"{value} is not a folder of this machine.",
                "`deepicd run` works on local folders; stages that take URLs do so alone (docs/scaling.md).",
            )
        return value


EXAMPLE = {"mimic": "~/mimiciv/3.1", "notes": "~/mimic-iv-note/2.2", "recipe": "qwen2.5-32b"}


@dataclass(frozen=True)
class Step:
    """One stage of the chain."""

    name: str
    folder: Path
    """Of its run.json, or the folder above it."""
    arguments: Sequence[str]

    @property
    def command(self) -> str:
        return shlex.join(["deepicd", *self.arguments])


def write_settings(values: Mapping[str, object]) -> str:
    """Return deepicd.yaml: every field with its explanation above it."""
    lines = ["# What `deepicd run` does, and with what. Relative paths start at this file's folder."]
    for name, field in ChainSettings.model_fields.items():
        value = values.get(name, None if field.is_required() else field.get_default(call_default_factory=True))
        lines += ["", *(f"# {line}" for line in textwrap.wrap(field.description or "", 100))]
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def read_settings(path: Path) -> ChainSettings:
    """Read deepicd.yaml. Raises DeepicdError, which names the wrong field."""
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Write one: deepicd init")
    try:
        values = parse_yaml(storage.read_bounded(path))
    except ParseError as error:
        raise DeepicdError(f"{path} is not YAML: {error}.", "Write one to start from: deepicd init") from error
    if not isinstance(values, dict):
        raise DeepicdError(f"{path} has no fields.", "Write one with all of them: deepicd init")
    settings = ChainSettings.parse(values, str(path))
    names = [step.name for step in list_steps(settings, path.parent)]
    if unknown := sorted(settings.extra.keys() - set(names)):
        raise DeepicdError(f"{path}: extra has no stage {unknown[0]!r}.", f"Stages are {', '.join(names)}.")
    if settings.traces != Path(settings.traces).name:
        raise DeepicdError(f"{path}: traces is {settings.traces!r}.", "Name a folder directly below OUT/traces.")
    return settings


def list_steps(settings: ChainSettings, base: Path) -> list[Step]:
    """Return the steps in order; those that the settings leave out are absent."""

    def locate(path: str) -> Path:
        return base / storage.expand_home(path)

    out, more = locate(settings.out), settings.extra
    guidelines, cohort, scraped = out / "guidelines", out / "cohort", out / "descriptions"
    traces, verified, dataset = out / "traces", out / "verified", out / "dataset"
    chosen = str(traces / settings.traces)
    copy = ["--mimic", str(locate(settings.mimic)), "--notes", str(locate(settings.notes))]
    pdf = locate(settings.guidelines_pdf) if settings.guidelines_pdf else out / f"guidelines-{settings.fiscal_year}.pdf"
    fetch = [] if settings.guidelines_pdf else ["--fetch", str(settings.fiscal_year)]
    descriptions = ["--descriptions", str(scraped / "descriptions.parquet")] if settings.contact else []
    teacher = ["--recipe", str(_locate_recipe(settings.recipe, base))]
    teacher += ["--base-url", settings.base_url] if settings.base_url else []
    steps = [
        Step("guidelines", guidelines, ["guidelines", *fetch, str(pdf), str(guidelines)]),
        Step("build", cohort, ["build", *copy, str(cohort)]),
        Step("scrape", scraped, ["scrape", str(scraped), "--cohort", str(cohort), "--contact", settings.contact]),
        Step(
            "distill",
            traces,
            ["distill", str(cohort), str(traces), *teacher, "--guidelines", str(guidelines), *descriptions],
        ),
        Step("verify", verified, ["verify", chosen, str(verified), "--recipe", "rules"]),
        Step(
            "assemble",
            dataset,
            ["assemble", "--cohort", str(cohort), "--traces", chosen, "--verified", str(verified), str(dataset)],
        ),
        Step("card", dataset / "card", ["card", str(dataset)]),
    ]
    return [
        Step(step.name, step.folder, [*step.arguments, *more.get(step.name, ())])
        for step in steps
        if step.name != "scrape" or settings.contact
    ]


def _locate_recipe(recipe: str, base: Path) -> Path:
    """Return a recipe's file, or its bare name, which distill resolves."""
    return base / storage.expand_home(recipe) if "/" in recipe or recipe.endswith((".yaml", ".yml")) else Path(recipe)


State = Literal["done", "running", "changed", "out of date", "unfinished", "waiting"]


@dataclass(frozen=True)
class StepStatus:
    """What is there of a step."""

    step: str
    state: State
    finished: str | None
    """ISO 8601, UTC."""
    seconds: float | None
    origin: str | None
    folder: str


def check_steps(steps: Sequence[Step]) -> list[StepStatus]:
    """Return what is there of each step. Sizes of files are compared, their content is left to the stages."""
    found: dict[str, Record] = {}
    statuses = []
    for step in steps:
        folder, record = _find_record(step.folder)
        state: State = "waiting"
        if any(is_held(lock) for lock in _list_locks(step.folder)):
            state = "running"
        elif record is None:
            state = "unfinished" if step.folder.is_dir() and any(step.folder.iterdir()) else "waiting"
        elif compare_files(folder, record.outputs, content=False):
            state = "changed"
        elif _is_out_of_date(record, found):
            state = "out of date"
        else:
            state = "done"
        if record is not None:
            found[record.command] = record
        finished = _compute_end(record) if record else None
        seconds, origin = (record.seconds, record.origin) if record else (None, None)
        statuses.append(StepStatus(step.name, state, finished, seconds, origin, str(step.folder)))
    return statuses


def _list_locks(folder: Path) -> Iterator[Path]:
    """Yield the lock files of a step: beside its folder or in it, and those of a ledger, one per shard."""
    yield folder.with_name(f".{folder.name}{LOCK}")
    yield from folder.glob(f"*{LOCK}")
    yield from folder.glob(f"ledger/{LOCK}*")


def _find_record(folder: Path) -> tuple[Path, Record | None]:
    """Return the folder of the newest run.json in a folder or directly below it, and the record; None without one."""
    runs = [(path.parent, record) for path in _list_records(folder) if (record := records.read(path.parent))]
    return max(runs, key=lambda run: run[1].started, default=(folder, None))


def _list_records(folder: Path) -> Iterator[Path]:
    yield from folder.glob(records.RECORD)
    yield from (path for path in folder.glob(f"*/{records.RECORD}") if path.parent.name != "card")


def _is_out_of_date(record: Record, found: Mapping[str, Record]) -> bool:
    """Return whether a run before this one has been made anew since."""
    return any(command in found and found[command].key != upstream.key for command, upstream in record.lineage.items())


def _compute_end(record: Record) -> str | None:
    if not record.started:
        return None
    end = datetime.fromisoformat(record.started) + timedelta(seconds=record.seconds)
    return end.astimezone(UTC).isoformat(timespec="seconds")


def render_board(statuses: Sequence[StepStatus]) -> str:
    """Return the table of `status`."""
    rows = [("stage", "state", "finished (UTC)", "took", "origin", "folder")]
    rows += [
        (
            status.step,
            status.state,
            (status.finished or "").replace("T", " ")[:16],
            format_duration(status.seconds) if status.seconds is not None else "",
            status.origin or "",
            status.folder,
        )
        for status in statuses
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
