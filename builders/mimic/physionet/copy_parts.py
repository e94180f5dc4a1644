"""The parts of a copy on disk, hosp/ and note/, whole or not, under whatever names they were unpacked.

    find_parts_below(Path("~/mimic"))    # mimiciv/3.1 with hosp/, mimic-iv-note/2.2 with note/

`builders.mimic.local_copy.find_copy` asks for the tables that a build needs; here a part may lack any of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.mimic.local_copy import ENDINGS
from builders.mimic.physionet.releases import PROJECTS, Project
from builders.mimic.tables import DATABASES, has_table
from deepicd.errors import DeepicdError

DEPTH = 3
"""Folders between the one that was named and hosp/ or note/: DIR/mimiciv/3.1/hosp has two."""


@dataclass(frozen=True, slots=True)
class Part:
    """One project's tables on disk."""

    root: Path
    """The folder above hosp/ or note/, or a DuckDB file."""
    project: Project
    files: dict[str, Path]
    """Table → file, for those that are there."""


def find_parts(paths: Iterable[Path]) -> list[Part]:
    """The parts below several paths, each once."""
    found = [part for path in paths for part in find_parts_below(path)]
    return list({(part.root.resolve(), part.project.slug): part for part in found}.values())


def find_parts_below(path: Path) -> list[Part]:
    """The parts at a path or below it, hosp before note. Raises DeepicdError where there is none."""
    path = path.expanduser()
    if not path.exists():
        raise DeepicdError(
            f"There is no {path}.", "Fetch a copy first: deepicd physionet fetch --user NAME DIR, or check the path."
        )
    parts = [part for project in PROJECTS for part in _parts(path, project)]
    if not parts:
        raise DeepicdError(
            f"{path} holds no table of MIMIC-IV: no hosp/ and no note/ folder with one.",
            "Point at the version folder, for instance ~/mimiciv/3.1, or the folder above it.",
        )
    return parts


def find_only_part(path: Path, project: Project, option: str) -> Part:
    """The one part of a project at a path or below it. Raises DeepicdError for none and for several."""
    found = [part for part in find_parts_below(path) if part.project is project]
    if len(found) != 1:
        places = ", ".join(str(part.root) for part in found) or "none"
        raise DeepicdError(
            f"{path} holds {len(found)} copies of {project.title}: {places}.",
            f"Point {option} at the folder above {project.folder}/ of one.",
        )
    return found[0]


def _parts(path: Path, project: Project) -> Iterator[Part]:
    if path.is_file():
        roots = [path] if path.suffix in DATABASES else []
    elif path.name == project.folder:
        roots = [path.parent]
    else:
        patterns = ["*/" * depth + project.folder for depth in range(DEPTH + 1)]
        roots = sorted(found.parent for pattern in patterns for found in path.glob(pattern) if found.is_dir())
    for root in roots:
        files = {table: file for table in project.tables if (file := _file(root, project, table)) is not None}
        if files:
            yield Part(root, project, files)


def _file(root: Path, project: Project, table: str) -> Path | None:
    if root.is_file():
        return root if has_table(root, table) else None
    return next((file for end in ENDINGS if (file := root / project.folder / f"{table}{end}").is_file()), None)
