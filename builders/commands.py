"""Commands of the builders: synthesize, build, audit, assemble and rehydrate."""

import logging
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, Unpack

import click

from deepicd.changed_inputs import accept_changes_option

logger = logging.getLogger(__name__)

FOLDER = click.Path(path_type=Path)
mimic_folder = click.option(
    "--mimic", type=FOLDER, envvar="DEEPICD_MIMIC", required=True, help="Folder above hosp/, or a DuckDB file."
)
notes_folder = click.option(
    "--notes", type=FOLDER, envvar="DEEPICD_NOTES", required=True, help="Folder above note/, or a DuckDB file."
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace the output of another run of this stage in OUT.")


class CriteriaOptions(TypedDict):
    """Options of `build` that change fields of Criteria; None leaves the preset's value."""

    split: Literal["patient", "stratified"] | None
    seed: int | None
    without_icu: bool | None
    admission_labs: bool | None
    strict: bool | None
    min_words: int | None
    max_words: int | None
    max_tokens: int | None
    tokenizer: str | None


class BuildOptions(CriteriaOptions):
    split_file: NotRequired[Path | None]


class AssembleCommandOptions(TypedDict):
    scores: Path | None
    select: str
    verified: Path | None
    prompt: Path | None
    config: Literal["multi"] | None
    overwrite: bool


class SynthesizeOptions(TypedDict):
    seed: int
    length: int
    style: Literal["mimic", "foreign", "mixed"]
    processes: int | None
    overwrite: bool


@click.command()
@click.argument("out", type=FOLDER)
@click.option(
    "--admissions", type=click.IntRange(min=1), default=1000, show_default=True, help="Admissions to make up."
)
@click.option("--seed", type=int, default=42, show_default=True, help="Same seed, same bytes.")
@click.option(
    "--hosp", type=FOLDER, help="Only write notes, for the admissions of this copy, for instance MIMIC-IV's open demo."
)
@click.option("--note-length", "length", type=click.IntRange(4000, 30_000), default=4000, show_default=True,
              help="Mean characters per note; 10,500 in MIMIC.")  # fmt: skip
@click.option("--icd9-share", type=click.FloatRange(0, 1, max_open=True), default=0.45, show_default=True,
              help="Share of stays with ICD-9 codes; 0.63 of those with a note in MIMIC.")  # fmt: skip
@click.option("--style", type=click.Choice(["mimic", "foreign", "mixed"]), default="mimic", show_default=True,
              help="Whose notes they look like: MIMIC's template, other hospitals', or half of each.")  # fmt: skip
@click.option(
    "--processes", type=click.IntRange(min=1), help="Default: one per core for large copies. Changes no byte."
)
@overwrite
def synthesize(
    out: Path, hosp: Path | None, admissions: int, icd9_share: float, **options: Unpack[SynthesizeOptions]
) -> None:
    """Make up a copy of MIMIC-IV 3.1 and MIMIC-IV-Note 2.2 under OUT/hosp and OUT/note.

    Layout, columns and quirks are those of the real tables; every patient is invented. SYNTHETIC.json in OUT proves it,
    and a copy without that proof is treated as credentialed.

    \b
    deepicd synthesize out/mimic --admissions 1000
    deepicd build --mimic out/mimic --notes out/mimic out/cohort
    """
    from builders.synthetic.synthesize import synthesize as make_copy
    from builders.synthetic.synthesize import synthesize_notes

    record = (
        synthesize_notes(out, hosp, **options) if hosp else make_copy(out, admissions, icd9_share=icd9_share, **options)
    )
    counts = record.counts.dump()
    parts = [f"{counts[name]:,} {name}" for name in ("patients", "admissions", "diagnoses", "notes") if name in counts]
    click.echo(", ".join(parts) + f" → {out}")
    for note in record.notes:
        logger.info("Note: %s", note)


@click.command()
@mimic_folder
@notes_folder
@click.argument("out", type=FOLDER)
@click.option("--preset", type=click.Choice(["default", "paper"]), default="default", show_default=True,
              help="paper: sections and split as published, for comparison; its physical exam leaks.")  # fmt: skip
@click.option(
    "--split", type=click.Choice(["patient", "stratified"]), help="Keep each patient in one split, or split by code."
)
@click.option("--seed", type=int, help="Seed of the split. Default: 42.")
@click.option("--splits", "split_file", type=FOLDER, metavar="FILE",
              help="Somebody's split: note_id, hadm_id or subject_id, and split. CSV, parquet, feather.")  # fmt: skip
@click.option("--without-icu", is_flag=True, default=None, help="Exclude stays in an ICU (reads icu/icustays).")
@click.option("--admission-labs/--no-admission-labs", default=None, help="Keep results marked as admission labs.")
@click.option("--strict", is_flag=True, default=None,
              help="Remove sentences that name the diagnosis, the outcome or later events.")  # fmt: skip
@click.option("--header", "own_headers", multiple=True, metavar="HEADER=SECTION",
              help="What an unknown header opens, or 'text' for a line of the section above. Repeatable.")  # fmt: skip
@click.option("--headers", "headers_file", type=FOLDER, metavar="FILE", help="YAML file with lines HEADER: SECTION.")
@click.option("--min-words", type=click.IntRange(min=0), help="Shortest admission note to keep.")
@click.option("--max-words", type=click.IntRange(min=1), help="Longest admission note to keep.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest admission note in tokens of --tokenizer.")
@click.option("--tokenizer", metavar="MODEL", help="A folder, or a model on the Hub.")
@overwrite
def build(
    mimic: Path,
    notes: Path,
    out: Path,
    preset: str,
    own_headers: tuple[str, ...],
    headers_file: Path | None,
    overwrite: bool,
    **options: Unpack[BuildOptions],
) -> None:
    """Join notes and first ICD-10 diagnoses into OUT/{train,validation,test}.parquet.

    Keeps what each note says about the time of admission. excluded.parquet lists every other note with its reason,
    funnel.json counts them, splits.csv can be shared. Sections under unknown headers are cut; headers.parquet lists
    them, and --header says what they are. outcome/ holds what became of each stay, sealed for checks of traces.
    DEEPICD_MIMIC and DEEPICD_NOTES may also name the folders.

    \b
    deepicd build --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2 out/cohort
    """
    from builders.cohort import funnel
    from builders.cohort.build import build as build_cohort
    from builders.cohort.criteria import PRESETS
    from builders.cohort.headers import read_headers
    from builders.cohort.stays import format_code_flags
    from deepicd.storage import expand_home

    headers = read_headers(own_headers, headers_file and expand_home(headers_file))
    split_file = options.pop("split_file", None)
    criteria = PRESETS[preset].replace(**options, headers=headers)
    if split_file and (options["split"] or options["seed"] is not None):
        raise click.UsageError("--splits FILE leaves nothing to --split and --seed: give one or the other.")
    record = build_cohort(mimic, notes, out, criteria, split_file=split_file, overwrite=overwrite)
    for line in funnel.format_funnel(record.counts.funnel):
        click.echo(line)
    click.echo(format_code_flags(record.counts.flags))
    unknown = record.counts.unknown_headers
    click.echo(
        f"Unknown headers: {unknown.cut:,} with their text cut ({unknown.times_cut:,} times), {unknown.kept:,} kept as "
        f"part of a section ({unknown.times_kept:,} times). They are in {out / 'headers.parquet'}; to change: --header"
    )
    split = record.counts.split
    click.echo(f"{split.patients:,} patients, {split.patients_on_several_sides:,} of them in several splits")
    for note in record.notes:
        logger.info("Note: %s", note)
    click.echo(f"Cohort ({record.origin}) → {out}")


@click.command()
@click.option("--cohort", type=FOLDER, required=True, help="Output of `deepicd build`.")
@click.option("--traces", type=FOLDER, required=True, help="Output of `deepicd distill`, or one recipe's folder in it.")
@click.option("--scores", type=FOLDER, help="Output of `deepicd judge`: mean scores become the column judge_score.")
@click.option(
    "--select",
    type=click.Choice(["best", "checks", "first", "strongest", "verified"]),
    default="best",
    show_default=True,
    help="Which trace of a row with several rollouts: the judges' favourite and then the checks'; that of the checks"
    " alone; the first that was kept; that which the stay bears out best (strongest); or the same, and no trace for a"
    " row where all fail (verified). The last two need --verified.",
)
@click.option("--verified", type=FOLDER, help="Output of `deepicd verify`: adds the config verified.")
@click.option("--prompt", type=FOLDER, help="YAML file with another prompt for the student; see `deepicd prompt`.")
@click.option("--config", type=click.Choice(["multi"]),
              help="Also write the config multi: the first diagnosis and those that the note supports.")  # fmt: skip
@click.argument("out", type=FOLDER)
@accept_changes_option
@overwrite
def assemble(cohort: Path, traces: Path, out: Path, **options: Unpack[AssembleCommandOptions]) -> None:
    """Join a cohort and its traces into the dataset folder OUT: configs traces, sft and grpo.

    With --verified also the config verified: the same traces with their evidence, scores and points. Which criterion
    chose a row's trace stands in its column chosen_by, and counted in run.json. With --config multi also the config
    multi: prompts that ask for several diagnoses, with the stay's codes that the admission note supports as the answer.

    \b
    deepicd assemble --cohort out/cohort --traces out/traces out/dataset
    """
    from builders.dataset.assemble import AssembleOptions
    from builders.dataset.assemble import assemble as assemble_dataset
    from deepicd.stage_records import describe_rehearsal

    record = assemble_dataset(cohort, traces, out, AssembleOptions(**options))
    if rehearsal := describe_rehearsal(record):
        click.echo(rehearsal)
    for config, rows in record.counts.rows.items():
        click.echo(f"{config:<8} " + "  ".join(f"{split} {number:,}" for split, number in rows.items()))
    if chosen := record.counts.chosen_by:
        click.echo("chosen by " + ", ".join(f"{criterion} {rows:,}" for criterion, rows in chosen.items()))
    if listed := record.counts.listed:
        click.echo("other diagnoses: " + ", ".join(f"{number:,} {how}" for how, number in listed.items()))
    click.echo(f"Dataset ({record.origin}) → {out}")


@click.command()
@mimic_folder
@notes_folder
@click.argument("out", type=FOLDER)
@overwrite
def audit(mimic: Path, notes: Path, out: Path, overwrite: bool) -> None:
    """Count the admission notes that give their diagnosis away, by section and signal, into OUT/leakage.json.

    Compares three extractions: ours, ours with the paper's choice of sections, and the published one. Shows
    counts only, never a note. `deepicd build --strict` removes such sentences.

    \b
    deepicd audit --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2 out/audit
    """
    from builders.cohort.leakage_audit import audit_copy, format_leakage

    record = audit_copy(mimic, notes, out, overwrite=overwrite)
    for line in format_leakage(record.counts.leakage):
        click.echo(line)
    click.echo(f"\n{out / 'leakage.png'}")


@click.command()
@click.argument("bundle", type=FOLDER)
@click.argument("out", type=FOLDER)
@mimic_folder
@notes_folder
@click.option("--partial", is_flag=True, help="Leave out rows that cannot be restored, instead of refusing.")
@overwrite
def rehydrate(bundle: Path, out: Path, mimic: Path, notes: Path, partial: bool, overwrite: bool) -> None:
    """Rebuild the dataset folder OUT from BUNDLE and the notes of a copy of MIMIC.

    Files are byte-identical to the original ones, and compared with their digests. Rows whose note or diagnosis differs
    in this copy are listed with the reason in a file beside OUT.

    \b
    deepicd rehydrate out/submission out/dataset2 --mimic ~/mimiciv/3.1 --notes ~/mimic-iv-note/2.2
    """
    from builders.dataset.rehydrate import rehydrate as rebuild

    record = rebuild(bundle, out, mimic, notes, partial=partial, overwrite=overwrite)
    for note in record.notes:
        click.echo(note)
    click.echo(f"Dataset ({record.origin}) → {out}")
