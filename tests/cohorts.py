"""Small cohorts, written by hand: every id, note and code is made up."""

import atexit
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow.parquet as pq

from builders.dataset.assemble import assemble
from deepicd import records, storage, synthetic_proof
from deepicd.icd10cm import Code
from deepicd.schema import COHORT, SPLITS
from deepicd.stage_records import BuildCounts, Funnel, FunnelStep, SplitCounts
from deepicd.storage import Origin
from distill.recipe import Recipe
from distill.run import distill

NOTE = (
    "Sex:\nF\n\nChief Complaint:\nChest pain\n\nHistory of Present Illness:\nPressure for two hours. It woke her."
    " She was pale and sweating.\n\nPast Medical History:\n# Diabetes\n\n# Gout\n\nPhysical Exam:\nHR 110, BP 95/60.\n"
    "Lungs with crackles at both bases."
)
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def write_cohort(
    folder: Path,
    rows: int = 300,
    origin: Origin = "synthetic",
    codes: tuple[str, ...] = ("I214",),
    notes: Sequence[str] = (),
) -> Path:
    """A folder as `deepicd build` leaves it; the codes take turns. `notes`: those of the first rows of train."""
    options = {"seed": 42, "split": "patient", "rows": rows, "codes": codes, "notes": storage.digest_json(list(notes))}
    plan = records.plan_run("build", options=options, inputs=list_made_up_inputs(origin))
    with records.open_fresh_folder(folder, plan, origin, overwrite=True) as run:
        for place, split in enumerate(SPLITS):
            table = [_row(1_000_000 * place + n, codes[n % len(codes)]) for n in range(round(rows * SHARES[split]))]
            for row, note in zip(table, notes if split == "train" else (), strict=False):
                row["admission_note"] = note
            storage.write_parquet(run.folder / f"{split}.parquet", table, COHORT, origin)
        steps = [
            FunnelStep(step="discharge notes", rows=rows + 50, lost={}),
            FunnelStep(step="of an ICD-10 stay", rows=rows + 3, lost={"not ICD-10": 47}),
            FunnelStep(step="with admission sections", rows=rows, lost={"no admission section": 3}),
        ]
        run.counts = BuildCounts(
            rows={split: round(rows * share) for split, share in SHARES.items()},
            codes=len(codes),
            chapters={},
            lost_patients={"not ICD-10": 47, "no admission section": 3},
            split=SplitCounts(codes={}, patients=rows, patients_on_several_sides=0, moved={}),
            funnel=Funnel(steps=steps, rows=rows, codes=len(codes)),
        )
    return folder


def list_made_up_inputs(origin: Origin) -> dict[str, Path]:
    """The notes of a copy that proves to be made up, as what a synthetic run has read; nothing for other origins."""
    return {"discharge": _write_made_up_copy() / "note" / "discharge.csv.gz"} if origin == "synthetic" else {}


@cache
def _write_made_up_copy() -> Path:
    copy = Path(mkdtemp(prefix="deepicd-made-up-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    notes = copy / "note" / "discharge.csv.gz"
    notes.parent.mkdir()
    notes.write_bytes(b"made up")
    synthetic_proof.write_mark(copy, [notes], generator="1", seed=42)
    return copy


def _row(number: int, code: str) -> dict[str, Any]:
    return {
        "note_id": f"{10_000_000 + number}-DS-1",
        "subject_id": 10_000_000 + number,
        "hadm_id": 20_000_000 + number,
        "admission_note": NOTE,
        "icd_code": code,
        "icd_title": Code(code).title,
        "category": code[:3],
        "chapter": Code(code).chapter.number,
        "seq_num": 1,
        "flags": [],
    }


def write_dataset(
    folder: Path,
    rows: int = 300,
    origin: Origin = "synthetic",
    codes: tuple[str, ...] = ("I214", "I214", "I5021", "J189", "C7A8"),
    recipe: Recipe | None = None,
) -> Path:
    """A dataset folder as `deepicd assemble` leaves it, of such a cohort and traces that no model wrote."""
    cohort = write_cohort(folder / "cohort", rows, origin, codes)
    distill(cohort, folder / "traces", recipe or Recipe(name="test", engine="rehearsal", model="none"), rehearse=True)
    assemble(cohort, folder / "traces", folder / "dataset")
    return folder / "dataset"


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """Every row of every parquet file below a folder."""
    return [row for path in sorted(folder.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
