"""Publish guidelines and descriptions on their own: public sources, each with its terms.

The guidelines are a work of the US government. The descriptions are texts of gesund.bund.de, whose terms do not license
redistribution: they are published only with a permission that the user states and the card repeats.
"""

from pathlib import Path
from typing import Any

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

Files = dict[str, Path]
Configs = dict[str, dict[str, list[Path]]]

BODY = """
# {title}

Sources of knowledge for *MIMIC-Reason*, as deepicd {version} read them.
{parts}"""
GUIDELINES = """
## `guidelines`

ICD-10-CM Official Guidelines for Coding and Reporting, fiscal year {year}, as JSON: one file per chapter, and files for
front matter, sections and appendix; `sections.parquet` has one row per section. A work of the US government.

{notes}
"""
DESCRIPTIONS = """
## `descriptions`

What gesund.bund.de tells patients about ICD-10-GM codes, one row per requested page. The texts are not ours. They are
here with this permission, in the words of the person who published them:

> {permission}

{notes}
"""


def gather_resources(out: Path, staging: Path, *, permission: str | None) -> tuple[Files, Configs, Origin]:
    """Return files, configs and origin of the outputs of `guidelines` and `scrape` in or below a folder."""
    runs = {
        folder: record
        for folder in [out, *sorted(path for path in out.glob("*") if path.is_dir()), *sorted(out.glob("*/fy[0-9]*"))]
        if (record := records.read(folder)) and record.command in ("guidelines", "scrape")
    }
    if not runs:
        raise DeepicdError(
            f"{out} holds neither guidelines nor descriptions.",
            "Point at the output of `deepicd guidelines` or `deepicd scrape`.",
        )
    files: Files = {}
    configs: Configs = {}
    parts = []
    for folder, record in runs.items():
        notes = "\n".join(record.notes)
        if record.command == "guidelines":
            year = record.get_option("fiscal_year", int)
            below = f"guidelines/fy{year}"
            configs[f"guidelines_fy{year}"] = {"train": [folder / "sections.parquet"]}
            parts.append(GUIDELINES.format(year=year, notes=notes))
        else:
            _require_permission(permission=permission, origin=record.origin)
            below = "descriptions"
            configs["descriptions"] = {"train": [folder / "descriptions.parquet"]}
            parts.append(DESCRIPTIONS.format(permission=permission or "They are made up.", notes=notes))
        if changes := records.compare_files(folder, record.outputs, content=True):
            raise DeepicdError(
                f"The files of {folder} are not as `deepicd {record.command}` wrote them; {changes}.",
                "Create them again.",
            )
        files |= {f"{below}/{name}": folder / name for name in record.outputs}
    origin = storage.combine_origins(record.origin for record in runs.values())
    storage.write_text(staging / "README.md", _build_readme(list(runs.values()), files, configs, parts))
    return {"README.md": staging / "README.md", **files}, configs, origin


def _require_permission(*, permission: str | None, origin: Origin) -> None:
    if origin != "synthetic" and len((permission or "").split()) < 5:
        raise DeepicdError(
            "Descriptions are texts of gesund.bund.de, which may not be passed on without its permission.",
            "Publish the guidelines alone, or state who permitted it, when and for what: "
            '--permission "The editors of gesund.bund.de permitted on DATE to …"',
        )


def _build_readme(runs: list[records.Record], files: Files, configs: Configs, parts: list[str]) -> str:
    from huggingface_hub import CardData

    title = "Coding guidelines" if all(record.command == "guidelines" for record in runs) else "Knowledge of codes"
    is_made_up = any(record.origin == "synthetic" for record in runs)
    names = {path: name for name, path in files.items()}
    values: dict[str, Any] = {
        "pretty_name": f"{title}, made up for demonstration" if is_made_up else title,
        "license": "other",
        "license_name": "see-below",
        "configs": [
            {"config_name": name, "data_files": [{"split": split, "path": names[path]} for path in paths]}
            for name, by_split in configs.items()
            for split, paths in by_split.items()
        ],
        "viewer": False,
    }
    text = BODY.format(title=values["pretty_name"], version=runs[0].version, parts="".join(parts))
    return f"---\n{CardData(**values).to_yaml()}\n---\n{text}"
