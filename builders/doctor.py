"""`deepicd doctor`: what is here, what is missing, what to do about it.

    deepicd 0.1.0
      ok       Python       3.11.7
      absent   extra pdf    not installed: pypdfium2
                            pip install -e '.[pdf]'

Reads package metadata and asks the driver; imports no stage and no heavy library. With --mimic and --notes it also
checks a copy, as `deepicd physionet verify` does.
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

from builders.mimic.check_report import Check, Section, print_report
from deepicd import __version__

FOLDER = click.Path(path_type=Path)
GB = 10**9
ROOM = 10  # GB: the download is 1.2, DuckDB may spill as much as the notes hold (3.5), cohort and traces come on top
EXTRA = re.compile(r"""extra == ['"]([\w-]+)['"]""")
DRIVER = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


@click.command()
@click.option("--mimic", type=FOLDER, envvar="DEEPICD_MIMIC", help="Check this copy too: the folder above hosp/.")
@click.option("--notes", type=FOLDER, envvar="DEEPICD_NOTES", help="Check these notes too: the folder above note/.")
def doctor(mimic: Path | None, notes: Path | None) -> None:
    """Say what this machine has and lacks for deepicd, and whether a copy of MIMIC is what it should be.

    Changes nothing and sends nothing. Exits with 1 if something is wrong; what is merely absent is needed by some
    stages only.

    \b
    deepicd doctor
    deepicd doctor --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2
    """
    sections = [Section(f"deepicd {__version__}", [*check_machine(), *check_packages()])]
    if mimic or notes:
        from builders.mimic.physionet.copy_parts import find_only_part
        from builders.mimic.physionet.releases import MIMIC, NOTE
        from builders.mimic.physionet.verify import check_parts

        named = ((mimic, MIMIC, "--mimic"), (notes, NOTE, "--notes"))
        sections += check_parts([find_only_part(path, project, option) for path, project, option in named if path])
    print_report(sections)


def check_machine() -> Iterator[Check]:
    """Python, cores, memory, disk, GPU."""
    yield Check("ok" if sys.version_info >= (3, 11) else "differs", "Python", platform.python_version())
    yield Check("ok", "machine", f"{os.cpu_count()} cores, {_memory()}, {platform.system()} {platform.machine()}")
    free = shutil.disk_usage(Path.cwd()).free / GB
    if free >= ROOM:
        yield Check("ok", "disk", f"{free:,.0f} GB free here")
    else:
        meaning = f"A copy, a cohort and what lies between need some {ROOM} GB at real size."
        yield Check("unknown", "disk", f"{free:,.1f} GB free here", meaning)
    yield check_gpu()


def check_gpu() -> Check:
    """The NVIDIA GPUs, as the driver names them."""
    needed = "Only distilling with a local model and training need one."
    if (program := shutil.which(DRIVER[0])) is None:
        return Check("absent", "GPU", "no NVIDIA driver", needed)
    asked = subprocess.run([program, *DRIVER[1:]], capture_output=True, text=True, timeout=60, check=False)
    if asked.returncode or not asked.stdout.strip():
        return Check("unknown", "GPU", f"nvidia-smi ended with {asked.returncode} and named none", needed)
    return Check("ok", "GPU", "; ".join(asked.stdout.strip().splitlines()))


def check_packages() -> Iterator[Check]:
    """The packages of the floor and of each extra, against what pyproject.toml asks for."""
    try:
        wanted = metadata.requires("deepicd") or []
    except metadata.PackageNotFoundError:
        how = "Install it, so that its packages are known: pip install -e '.[all]'"
        yield Check("unknown", "packages", "deepicd runs from a folder and is not installed", how)
        return
    by_extra: dict[str, list[str]] = {"": []}
    for requirement in wanted:
        text, _, marker = requirement.partition(";")
        of = EXTRA.search(marker)
        by_extra.setdefault(of[1] if of else "", []).append(text.strip())
    by_extra.pop("all", None)
    for extra, requirements in by_extra.items():
        yield _installed(extra, requirements)


def _installed(extra: str, requirements: list[str]) -> Check:
    """Whether what an extra (or the floor, '') asks for is installed, in a version that will do."""
    from packaging.requirements import Requirement

    has: list[str] = []
    lacks: list[str] = []
    unfit: list[str] = []
    for requirement in map(Requirement, requirements):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            lacks.append(requirement.name)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            has.append(f"{requirement.name} {version}")
        else:
            unfit.append(f"{requirement.name} {version} ({requirement.specifier})")
    what = f"extra {extra}" if extra else "packages"
    how = f"pip install -e '.[{extra}]'" if extra else "pip install -e ."
    if unfit:
        return Check("differs", what, f"not as asked for: {', '.join(unfit)}", how)
    if lacks:
        return Check("absent" if extra else "differs", what, f"not installed: {', '.join(lacks)}", how)
    return Check("ok", what, ", ".join(has))


def _memory() -> str:
    """'126 GB' of this machine; 'memory unknown' where the system does not say."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GB:,.0f} GB"
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
