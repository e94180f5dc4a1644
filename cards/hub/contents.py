"""Gather the contents of a publication: names in the repository, and the local files behind them.

    card        README.md without configs, card/*.png; the same for a trained model
    recipe      the same and recipe/… (cards.hub.recipe_files)
    rows        README.md, card/*.png, {traces,sft,grpo}/*.parquet, run.json without paths
    resources   README.md, guidelines/fy2025/…, descriptions/descriptions.parquet

`card` and `recipe` hold no rows and are for everybody. `rows` are for those whom their origin permits. The texts of
`descriptions` belong to gesund.bund.de and are only published with a permission stated in words.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cards import model_card
from cards.dataset_card import require_dataset, write_card
from cards.firewall.check import check_files
from cards.firewall.content_origin import OutgoingFile, describe_outgoing, read_own_origin
from cards.firewall.made_up import Prover
from cards.hub import card_trimming, recipe_files
from cards.hub.client import RepositoryKind
from cards.hub.resource_files import gather_resources
from cards.hub.settings import PublicationOptions, What
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import CONFIGS
from deepicd.stage_records import TrainingRecord
from deepicd.storage import Origin

README, RECORD = "README.md", records.RECORD
PORTABLE_RECORD, HELD = "record.json", "held"
FOLDERS: Mapping[What, tuple[str, ...]] = {
    "card": (),
    "recipe": ("recipe/",),
    "rows": tuple(f"{config}/" for config in CONFIGS),
    "resources": ("guidelines/", "descriptions/"),
}
"""Folders of each publication, besides README.md, card/ and run.json; files that it no longer has are removed."""
SHARED = ("card/",)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything that the repository should hold, and whether it may be public."""

    what: What
    files: Mapping[str, Path]
    """Name in the repository → private copy, once they are held (`hold_contents`)."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """Name → the file that was copied."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Name → SHA-256 of what is checked, and what alone may be sent."""
    configs: Mapping[str, Mapping[str, Sequence[Path]]] = field(default_factory=dict)
    """Config → split → local files that `datasets` should load."""
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
        """Return whether a file of the repository belongs to publications, which remove it once it is obsolete."""
        if self.kind == "model":
            return name == README or name.startswith(SHARED)
        folders = (folder for folders in FOLDERS.values() for folder in folders)
        return name in (README, RECORD) or name.startswith((*SHARED, *folders))

    def check_disclosure(self) -> None:
        """Raise DeepicdError for anything that the firewall refuses.

        Protected rows are not read here: cards.hub.policy decides on them.
        """
        prover = Prover()
        rows = {path for by_split in self.configs.values() for paths in by_split.values() for path in paths}
        outgoing = []
        for name, path in self.files.items():
            if self.is_protected and path in rows:
                continue
            if name != README and (path in rows or self.what == "resources"):
                outgoing.append(replace(describe_outgoing(self.sources[name], name, prover), path=path))
            else:
                outgoing.append(OutgoingFile(name, path, "public" if self.what == "resources" else self.origin))
        check_files(outgoing, notes_from=self.notes_from).refuse()
        self.require_unchanged()

    def require_unchanged(self) -> None:
        """Raise DeepicdError if a file is no longer what was copied: the proof of its origin may be another file's."""
        for name, path in self.sources.items():
            if not path.is_file() or storage.digest_path(path) != self.digests[name]:
                raise build_change_error(name)


def gather_contents(options: PublicationOptions, staging: Path) -> Contents:
    """Return the contents of a publication; files made for it are written to `staging`. Raises DeepicdError."""
    record = records.read(options.folder)
    if record is not None and record.command in TrainingRecord.COMMANDS:
        contents = _gather_model_card(options, record, staging)
    elif options.what == "resources":
        files, configs, origin = gather_resources(options.folder, staging, permission=options.permission)
        contents = Contents(what="resources", files=files, configs=configs, origin=origin)
    else:
        contents = _gather_dataset(options, staging)
    return hold_contents(contents, staging)


def hold_contents(contents: Contents, staging: Path) -> Contents:
    """Return the contents with a private copy of each file: what is checked is what is sent."""
    copies = {}
    for name, path in contents.files.items():
        copies[name] = path if staging in path.parents else staging / HELD / name
        if copies[name] != path:
            copies[name].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copies[name])
    of_path = {path: copies[name] for name, path in contents.files.items()}
    return replace(
        contents,
        files=copies,
        sources=contents.files,
        digests={name: storage.digest_path(path) for name, path in contents.files.items()},
        configs={
            config: {split: [of_path[path] for path in paths] for split, paths in by_split.items()}
            for config, by_split in contents.configs.items()
        },
    )


def build_change_error(name: str) -> DeepicdError:
    """Return the error for a file that is not what was checked."""
    return DeepicdError(
        f"{name} changed while it was being checked: nothing was sent.",
        "Let whatever writes to the folder finish, then rerun the command.",
    )


def _gather_dataset(options: PublicationOptions, staging: Path) -> Contents:
    """Return the card of a dataset, with its recipe or its rows if requested."""
    folder, what = options.folder, options.what
    record = require_dataset(folder)
    if record.origin != "mimic":
        _require_proof(folder)
    write_card(folder)
    credentialed = record.origin == "mimic"
    readme = (folder / README).read_text(encoding="utf-8")
    if what == "rows":
        storage.write_text(staging / README, card_trimming.insert_repository(readme, options.repo))
        # under another name, since the firewall refuses run.json unread, and is to read this one, which has no paths
        storage.write_json(staging / PORTABLE_RECORD, records.make_portable(record.dump()))
        outputs = {name: folder / name for name in record.outputs if name.endswith(".parquet")}
    else:
        holds = "only the card" if what == "card" else "only the card and the recipe (`recipe/`)"
        text = card_trimming.remove_rows(readme, holds=holds, credentialed=credentialed, version=record.version)
        storage.write_text(staging / README, text)
        if what == "recipe":
            recipe_files.write_recipe(folder, record, staging)
        outputs = {}
    made = {path.relative_to(staging).as_posix(): path for path in sorted(staging.rglob("*")) if path.is_file()}
    if PORTABLE_RECORD in made:
        made[RECORD] = made.pop(PORTABLE_RECORD)
    return Contents(
        what=what,
        files={**made, **card_trimming.list_figures(readme, folder), **outputs},
        configs=_group_by_config(outputs),
        origin=record.origin,
        notes_from=(folder,) if credentialed else (),
        not_sent=_list_other_files(folder, record) if what == "rows" else (),
        shown=storage.read_json(folder / "card" / "statistics.json")["counts"] if credentialed else {},
    )


def _require_proof(folder: Path) -> None:
    """Raise where the inputs of a run do not prove that it is made up."""
    if not Prover().prove_run(folder, ignored=frozenset({"model"})):
        raise DeepicdError(
            f"{folder / RECORD} says that this run is made up, and does not prove it: the record was edited, or what it"
            " names as input is not there unchanged, down to the made-up copy and its SYNTHETIC.json.",
            "Publish it from where it was made, or run its stages again from the copy: deepicd synthesize, build, …",
        )


def _group_by_config(files: Mapping[str, Path]) -> dict[str, dict[str, list[Path]]]:
    """Return config → split → files, from their names."""
    configs: dict[str, dict[str, list[Path]]] = {}
    for name, path in sorted(files.items()):
        config, _, file = name.partition("/")
        configs.setdefault(config, {}).setdefault(file.partition("-")[0], []).append(path)
    return configs


def _list_other_files(folder: Path, record: records.Record) -> list[str]:
    """Return the files of a dataset folder that are neither rows nor card."""
    names = {path.relative_to(folder).as_posix() for path in storage.list_files(folder)}
    return sorted(name for name in names - record.outputs.keys() if name != README and not name.startswith(SHARED))


def _gather_model_card(options: PublicationOptions, record: records.Record, staging: Path) -> Contents:
    """Return the card of a trained model and its figures, nothing else of the run's folder.

    Weights, checkpoints, logs, predictions and records stay here. Weights that were trained on notes can repeat them,
    so they are shared as notes are (docs/publishing.md); where they are free, any of the Hub's tools uploads them.
    """
    folder = options.folder
    if options.what != "card":
        raise DeepicdError(
            f"{folder} holds a run of `deepicd {record.command}`: of a trained model only the card is published.",
            "Drop --what, or use --what card; publish rows and recipe from the dataset's folder.",
        )
    origin = model_card.resolve_origin(folder, record)
    if origin != "mimic":
        _require_proof(folder)
    write_card(folder)
    readme = (folder / README).read_text(encoding="utf-8")
    text = card_trimming.remove_weights(readme, credentialed=origin == "mimic", version=record.version)
    storage.write_text(staging / README, text)
    metrics = model_card.find_metrics(folder)
    top_level = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    return Contents(
        what="card",
        files={README: staging / README, **card_trimming.list_figures(readme, folder)},
        origin=origin,
        notes_from=_find_notes(folder, record, options.notes_from) if origin == "mimic" else (),
        not_sent=sorted(top_level - {README, "card"}),
        shown=model_card.list_shown_counts(metrics[1], record.key) if metrics and origin == "mimic" else {},
        kind="model",
    )


def _find_notes(folder: Path, record: records.Record, notes_from: Path | None) -> tuple[Path, ...]:
    """Return the folders of the credentialed notes that a model was trained and evaluated on. Raises DeepicdError."""
    if notes_from:
        return (notes_from,)
    metrics = model_card.find_metrics(folder)
    evaluation = records.read(metrics[0].parent) if metrics else None
    credentialed = [run for run in (record, evaluation) if run and run.origin == "mimic"]
    datasets = {_find_dataset(run): run for run in credentialed}
    if not datasets or None in datasets:  # none at all: an evaluation that was copied here without its record
        use = "trained" if record is datasets.get(None) else "evaluated"
        raise DeepicdError(
            f"The notes that this model was {use} on are not where its record says, or the record does not say where."
            " The card has to be compared with them.",
            "Name them, as a dataset, a cohort or a copy of MIMIC-IV-Note: --notes-from DIR",
        )
    return tuple(dataset for dataset in datasets if dataset)


def _find_dataset(record: records.Record) -> Path | None:
    """Return the dataset folder that a record names; None unless it still holds credentialed rows."""
    source = record.inputs.get("dataset")
    if source is None or not source.path:
        return None
    config = Path(source.path)
    rows = sorted(config.glob("*.parquet"))
    credentialed = bool(rows) and all(read_own_origin(path) == "mimic" for path in rows)
    return config.parent if credentialed and records.read(config.parent) else None
