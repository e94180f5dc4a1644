"""Report what this machine has, what is missing and what to do about it: `deepicd doctor`.

    deepicd 0.2.0
      ok       Python       3.11.7
      absent   extra pdf    not installed: pypdfium2
                            pip install -e '.[pdf]'

Reads package metadata and asks the GPU's driver; imports no heavy library. With --mimic and --notes it also checks a
copy, as `deepicd physionet verify` does.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click

from builders.mimic.physionet.verify import Check, Section, check_parts, format_report, require_no_difference
from deepicd import __version__

FOLDER = click.Path(path_type=Path)
GB = 10**9
DISK_GB = 10  # the download takes 1.2, DuckDB may spill as much as the notes hold (3.5), then cohort and traces
EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")
DRIVER = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


@click.command()
@click.option("--mimic", type=FOLDER, envvar="DEEPICD_MIMIC", help="Check this copy too: the folder above hosp/.")
@click.option("--notes", type=FOLDER, envvar="DEEPICD_NOTES", help="Check these notes too: the folder above note/.")
def doctor(mimic: Path | None, notes: Path | None) -> None:
    """Report what this machine has and lacks for deepicd, and whether a copy of MIMIC is right.

    Changes nothing and sends nothing. Exits with 1 if something is wrong; what is absent is needed by some stages only.

    \b
    deepicd doctor
    deepicd doctor --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2
    """
    sections = [Section(f"deepicd {__version__}", [*check_machine(), *check_packages()])]
    if mimic or notes:
        from builders.mimic.physionet.copy_parts import find_only_part
        from builders.mimic.physionet.releases import MIMIC, NOTE

        targets = ((mimic, MIMIC, "--mimic"), (notes, NOTE, "--notes"))
        sections += check_parts([find_only_part(path, project, option) for path, project, option in targets if path])
    click.echo(format_report(sections))
    require_no_difference(sections)


def check_machine() -> Iterator[Check]:
    """Yield findings about Python, cores, memory, disk and GPU."""
    yield Check("ok" if sys.version_info >= (3, 11) else "differs", "Python", platform.python_version())
    yield Check(
        "ok", "machine", f"{os.cpu_count()} cores, {_describe_memory()}, {platform.system()} {platform.machine()}"
    )
    free = shutil.disk_usage(Path.cwd()).free / GB
    if free >= DISK_GB:
        yield Check("ok", "disk", f"{free:,.0f} GB free here")
    else:
        meaning = f"Copy, cohort and temporary files of full MIMIC need some {DISK_GB} GB."
        yield Check("unknown", "disk", f"{free:,.1f} GB free here", meaning)
    yield check_gpu()


def check_gpu() -> Check:
    """Report the NVIDIA GPUs by the names that the driver gives them."""
    use = "Only distillation with a local model and training need one."
    if (program := shutil.which(DRIVER[0])) is None:
        return Check("absent", "GPU", "no NVIDIA driver", use)
    result = subprocess.run([program, *DRIVER[1:]], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode or not result.stdout.strip():
        return Check("unknown", "GPU", f"nvidia-smi exited with {result.returncode} and listed no GPU", use)
    return Check("ok", "GPU", "; ".join(result.stdout.strip().splitlines()))


def check_packages() -> Iterator[Check]:
    """Compare the installed packages, core and per extra, with the requirements of pyproject.toml."""
    try:
        required = metadata.requires("deepicd") or []
    except metadata.PackageNotFoundError:
        how = "Install it, so that its requirements are known: pip install -e '.[all]'"
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
    from packaging.requirements import Requirement

    installed: list[str] = []
    missing: list[str] = []
    mismatched: list[str] = []
    for requirement in map(Requirement, requirements):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            installed.append(f"{requirement.name} {version}")
        else:
            mismatched.append(f"{requirement.name} {version} ({requirement.specifier})")
    what = f"extra {extra}" if extra else "packages"
    how = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
    if mismatched:
        return Check("differs", what, f"versions that do not fit: {', '.join(mismatched)}", how)
    if missing:
        return Check("absent" if extra else "differs", what, f"not installed: {', '.join(missing)}", how)
    return Check("ok", what, ", ".join(installed))


def _describe_memory() -> str:
    """Return this machine's memory, such as '126 GB', or 'memory unknown'."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GB:,.0f} GB"
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
