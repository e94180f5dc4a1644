"""What a publication consists of: names in the repository, and the files here that they stand for.

    card        README.md without configs, card/*.png; the same for a trained model (cards.hub.model_files)
    recipe      the same and recipe/… (cards.hub.recipe_files)
    rows        README.md, card/*.png, {traces,sft,grpo}/*.parquet, run.json without paths
    resources   README.md, guidelines/fy2025/…, descriptions/descriptions.parquet

`card` and `recipe` hold no rows and are for everybody. `rows` are for those whom their origin permits. The texts of
`descriptions` belong to gesund.bund.de and are only published with a permission stated in words.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cards.dataset_card import write_card
from cards.firewall.check import check_files
from cards.firewall.content_origin import OutgoingFile, describe_outgoing
from cards.hub import card_trimming, model_files, recipe_files, resource_files
from cards.hub.client import RepositoryKind
from cards.hub.settings import PublicationOptions, What
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import DATASET
from deepicd.storage import Origin

README, RECORD = "README.md", records.RECORD
FOLDERS: Mapping[What, tuple[str, ...]] = {
    "card": (),
    "recipe": ("recipe/",),
    "rows": tuple(f"{config}/" for config in DATASET),
    "resources": ("guidelines/", "descriptions/"),
}
"""Folders of each publication, besides README.md, card/ and run.json; what it no longer has is removed from them."""
SHARED = ("card/",)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All that the repository should hold, and whether it may be public."""

    what: What
    files: Mapping[str, Path]
    configs: Mapping[str, Mapping[str, Sequence[Path]]] = field(default_factory=dict)
    """Config → split → files here that `datasets` is to load."""
    origin: Origin = "mimic"
    notes_from: Sequence[Path] = ()
    """Where the notes are that no text may repeat."""
    not_sent: Sequence[str] = ()
    """Files of the folder that are not part of it."""
    kind: RepositoryKind = "dataset"
    shown: Mapping[str, int | None] = field(default_factory=dict)
    """For a credentialed dataset: the counts that the card shows, by name."""

    @property
    def is_protected(self) -> bool:
        """Whether it holds credentialed rows."""
        return self.what == "rows" and self.origin == "mimic"

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    def owns(self, name: str) -> bool:
        """Return whether a file of the repository belongs to publications: it is removed once none has it."""
        if self.kind == "model":
            return name == README or name.startswith(SHARED)
        folders = (folder for folders in FOLDERS.values() for folder in folders)
        return name in (README, RECORD) or name.startswith((*SHARED, *folders))

    def check_disclosure(self) -> None:
        """Raise DeepicdError for anything that the firewall does not let out.

        Protected rows are not read here: cards.hub.policy decides on them.
        """
        rows = {path for by_split in self.configs.values() for paths in by_split.values() for path in paths}
        outgoing = []
        for name, path in self.files.items():
            if self.is_protected and path in rows:
                continue
            if path in rows or self.what == "resources":
                outgoing.append(describe_outgoing(path, name) if name != README else OutgoingFile(name, path, "public"))
            else:
                outgoing.append(OutgoingFile(name, path, self.origin))
        check_files(outgoing, notes_from=self.notes_from).refuse()


def gather_contents(options: PublicationOptions, staging: Path) -> Contents:
    """Return the contents of a publication; files made for it are written to `staging`. Raises DeepicdError."""
    out, what = options.folder, options.what
    found = records.read(out)
    if found and model_files.is_training(found):
        files, origin, notes, others = model_files.gather_model_card(out, found, what, staging, options.notes_from)
        return Contents(what="card", files=files, origin=origin, notes_from=notes, not_sent=others, kind="model")
    if what == "resources":
        files, configs, origin = resource_files.gather_resources(out, staging, permission=options.permission)
        return Contents(what="resources", files=files, configs=configs, origin=origin)
    record = records.require(out, "assemble")
    _whole(out, record)
    write_card(out)
    origin = record.origin
    readme = (out / README).read_text(encoding="utf-8")
    figures = card_trimming.list_figures(readme, out)
    notes = (out,) if origin == "mimic" else ()
    outputs = {name: out / name for name in record.outputs if name.endswith(".parquet")}
    if what == "rows":
        storage.write_text(staging / README, card_trimming.insert_repository(readme, options.repo))
        storage.write_json(staging / "record.json", recipe_files.make_portable(record.dump()))
        made = {README: staging / README, RECORD: staging / "record.json"}
        configs = _group_by_config(outputs)
    else:
        holds = "only the card" if what == "card" else "only the card and the recipe (`recipe/`)"
        credentialed = origin == "mimic"
        text = card_trimming.remove_rows(readme, holds=holds, credentialed=credentialed, version=record.version)
        storage.write_text(staging / README, text)
        if what == "recipe":
            recipe_files.write_recipe(out, record, staging)
        made = {path.relative_to(staging).as_posix(): path for path in sorted(staging.rglob("*")) if path.is_file()}
        outputs, configs = {}, {}
    files = {**made, **figures, **outputs}
    shown = storage.read_json(out / "card" / "statistics.json")["counts"] if origin == "mimic" else {}
    return Contents(
        what=what,
        files=files,
        configs=configs,
        origin=origin,
        notes_from=notes,
        not_sent=_list_other_files(out, record) if what == "rows" else (),
        shown=shown,
    )


def _whole(out: Path, record: records.Record) -> None:
    """Raise unless the folder holds the rows that its record tells of, byte for byte, and no others."""
    rows = {name: entry for name, entry in record.outputs.items() if name.endswith(".parquet")}
    with ThreadPoolExecutor() as pool:
        list(
            pool.map(storage.digest_path, [out / name for name in rows if (out / name).is_file()])
        )  # kept for what follows
    missing = [name for name in rows if not (out / name).is_file()]
    changed = [
        name for name, entry in rows.items() if name not in missing and storage.digest_path(out / name) != entry.sha256
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
    """Return config → split → files, from their names."""
    configs: dict[str, dict[str, list[Path]]] = {}
    for name, path in sorted(files.items()):
        config, _, file = name.partition("/")
        configs.setdefault(config, {}).setdefault(file.partition("-")[0], []).append(path)
    return configs


def _list_other_files(out: Path, record: records.Record) -> list[str]:
    """Return the files of the folder that are neither rows nor card."""
    every = {path.relative_to(out).as_posix() for path in storage.list_files(out)}
    return sorted(name for name in every - record.outputs.keys() if name != README and not name.startswith("card/"))
