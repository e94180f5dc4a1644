"""What a publication consists of: names in the repository, and the files that they are here.

    card        README.md without configs, card/*.png; likewise of a trained model (cards.hub.model_files)
    recipe      the same and recipe/… (cards.hub.recipe_files)
    rows        README.md, card/*.png, {traces,sft,grpo}/*.parquet, run.json without paths
    resources   README.md, guidelines/fy2025/…, descriptions/descriptions.parquet

`card` and `recipe` hold no row and are for anybody. `rows` are for whom their origin allows. The texts of
`descriptions` belong to gesund.bund.de and go only with a permission that is stated in words.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cards.dataset_card import write_card
from cards.firewall.check import check_files
from cards.firewall.content_origin import OutgoingFile, describe_outgoing
from cards.hub import card_trimming, model_files, recipe_files, resource_files
from cards.hub.client import RepoKind
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import DATASET
from deepicd.storage import Origin

What = Literal["card", "recipe", "rows", "resources"]

README, RECORD = "README.md", records.RECORD
FOLDERS: Mapping[What, tuple[str, ...]] = {
    "card": (),
    "recipe": ("recipe/",),
    "rows": tuple(f"{config}/" for config in DATASET),
    "resources": ("guidelines/", "descriptions/"),
}
"""What a publication has of its own, besides README.md, card/ and run.json: what it no longer has is removed."""
SHARED = ("card/",)


@dataclass(frozen=True)
class Contents:
    """All that is to be in the repository, and whether it may be public."""

    what: What
    files: Mapping[str, Path]
    configs: Mapping[str, Mapping[str, Sequence[Path]]] = field(default_factory=dict)
    """Config → split → files here, of what `datasets` is to load."""
    origin: Origin = "mimic"
    notes_from: Sequence[Path] = ()
    """Where the notes are that no text may repeat."""
    not_sent: Sequence[str] = ()
    """Files of the folder that are none of it."""
    kind: RepoKind = "dataset"
    shown: Mapping[str, int | None] = field(default_factory=dict)
    """Of a credentialed dataset the counts that the card shows, by name."""

    @property
    def protected(self) -> bool:
        """Whether it holds credentialed rows."""
        return self.what == "rows" and self.origin == "mimic"

    def owns(self, name: str) -> bool:
        """Whether a file of the repository is a publication's, by its name: what a publication no longer has goes."""
        if self.kind == "model":
            return name == README or name.startswith(SHARED)
        folders = (folder for folders in FOLDERS.values() for folder in folders)
        return name in (README, RECORD) or name.startswith((*SHARED, *folders))

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())

    def check(self) -> None:
        """The firewall: raises DeepicdError for anything that may not leave; `protected` rows are judged elsewhere."""
        rows = {path for by_split in self.configs.values() for paths in by_split.values() for path in paths}
        looked_at = []
        for name, path in self.files.items():
            if self.protected and path in rows:
                continue
            if path in rows or self.what == "resources":
                looked_at.append(
                    describe_outgoing(path, name) if name != README else OutgoingFile(name, path, "public")
                )
            else:
                looked_at.append(OutgoingFile(name, path, self.origin))
        check_files(looked_at, self.notes_from).refuse()


def gather_contents(
    out: Path,
    what: What,
    repo: str,
    staging: Path,
    permission: str | None = None,
    notes_from: Path | None = None,
) -> Contents:
    """The contents of a publication of OUT; what is made for it is written to `staging`. Raises DeepicdError."""
    found = records.read(out)
    if found and model_files.is_training(found):
        files, origin, notes, others = model_files.gather_model_card(out, found, what, staging, notes_from)
        return Contents("card", files, {}, origin, notes, others, "model")
    if what == "resources":
        return Contents("resources", *resource_files.gather_resources(out, staging, permission))
    record = records.require(out, "assemble")
    _whole(out, record)
    write_card(out)
    origin = record["origin"]
    readme = (out / README).read_text(encoding="utf-8")
    pictures = card_trimming.list_figures(readme, out)
    notes = (out,) if origin == "mimic" else ()
    outputs = {name: out / name for name in record["outputs"] if name.endswith(".parquet")}
    if what == "rows":
        storage.write_text(staging / README, card_trimming.insert_repository(readme, repo))
        storage.write_json(staging / "record.json", recipe_files.make_portable(record))
        made = {README: staging / README, RECORD: staging / "record.json"}
        configs = _group_by_config(outputs)
    else:
        holds = "only the card" if what == "card" else "only the card and the recipe (`recipe/`)"
        credentialed = origin == "mimic"
        text = card_trimming.remove_rows(readme, holds=holds, credentialed=credentialed, version=record["version"])
        storage.write_text(staging / README, text)
        if what == "recipe":
            recipe_files.write_recipe(out, record, staging)
        made = {path.relative_to(staging).as_posix(): path for path in sorted(staging.rglob("*")) if path.is_file()}
        outputs, configs = {}, {}
    files = {**made, **pictures, **outputs}
    shown = storage.read_json(out / "card" / "statistics.json")["counts"] if origin == "mimic" else {}
    return Contents(
        what, files, configs, origin, notes, _list_other_files(out, record) if what == "rows" else (), shown=shown
    )


def _whole(out: Path, record: records.Record) -> None:
    """Raise unless the folder holds the rows that its record tells of, byte for byte, and no others."""
    rows = {name: entry for name, entry in record["outputs"].items() if name.endswith(".parquet")}
    with ThreadPoolExecutor() as pool:
        list(
            pool.map(storage.digest_path, [out / name for name in rows if (out / name).is_file()])
        )  # kept for what follows
    missing = [name for name in rows if not (out / name).is_file()]
    changed = [
        name
        for name, entry in rows.items()
        if name not in missing and storage.digest_path(out / name) != entry["sha256"]
    ]
    found = {path.relative_to(out).as_posix() for config in DATASET for path in (out / config).rglob("*.parquet")}
    extra = sorted(found - rows.keys())
    troubles = {"missing": missing, "not as they were written": changed, "of another run": extra}
    if told := "; ".join(f"{what}: {', '.join(names)}" for what, names in troubles.items() if names):
        raise DeepicdError(
            f"The rows in {out} are not those of its {RECORD}. {told[0].upper()}{told[1:]}.",
            "Make the folder again: deepicd assemble --cohort DIR --traces DIR OUT --overwrite",
        )


def _group_by_config(files: Mapping[str, Path]) -> dict[str, dict[str, list[Path]]]:
    found: dict[str, dict[str, list[Path]]] = {}
    for name, path in sorted(files.items()):
        config, _, file = name.partition("/")
        found.setdefault(config, {}).setdefault(file.partition("-")[0], []).append(path)
    return found


def _list_other_files(out: Path, record: records.Record) -> list[str]:
    """Files of the folder that are neither rows nor card."""
    every = {path.relative_to(out).as_posix() for path in storage.list_files(out)}
    return sorted(name for name in every - record["outputs"].keys() if name != README and not name.startswith("card/"))
