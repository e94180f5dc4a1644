"""`deepicd init`, `run`, `status`: the real stages, on made-up records, from one file."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import Deepicd

from deepicd import chain
from deepicd.lease import hold_lease


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from builders.synthetic.synthesize import synthesize
    from guidelines.sample.document import write_sample

    folder = tmp_path_factory.mktemp("sources")
    synthesize(folder / "copy", 60, 7)
    write_sample(folder / "guidelines.pdf")
    return folder


def write_file(folder: Path, sources: Path, **changes: object) -> Path:
    values = {"mimic": str(sources / "copy"), "notes": str(sources / "copy"), "recipe": "rehearsal"}
    values |= {"guidelines_pdf": str(sources / "guidelines.pdf")}
    path = folder / "deepicd.yaml"
    path.write_text(chain.write_settings(values | changes), encoding="utf-8")
    return path


def test_init_explains_every_field_and_run_reads_what_it_wrote(tmp_path: Path, deepicd: Deepicd) -> None:
    path = tmp_path / "deepicd.yaml"
    assert deepicd("init", path, "--recipe", "tiny").code == 0
    assert yaml.safe_load(path.read_text())["recipe"] == "tiny"
    assert chain.read_settings(path).mimic == "~/mimiciv/3.1"
    assert all(field.description for field in chain.ChainSettings.model_fields.values())
    again = deepicd("init", path)
    assert again.code == 1 and "exists" in again.err
    lines = deepicd("run", "--settings", path, "--dry-run").out.splitlines()
    assert [line.split()[2] for line in lines] == ["guidelines", "build", "distill", "verify", "assemble", "card"]


def test_one_command_makes_a_dataset_a_second_one_changes_nothing_and_other_settings_stop_the_chain(
    tmp_path: Path, sources: Path, deepicd: Deepicd
) -> None:
    path = write_file(tmp_path, sources, publish="me/mine")
    states = json.loads(deepicd("status", "--settings", path, "--json").out)
    assert {state["state"] for state in states} == {"waiting"}
    first = deepicd("run", "--settings", path, "--until", "build")
    assert first.code == 0, first.err
    done = deepicd("run", "--settings", path)
    assert done.code == 0, done.err
    assert f"deepicd publish {tmp_path / 'out' / 'dataset'} me/mine" in done.out
    states = json.loads(deepicd("status", "--settings", path, "--json").out)
    assert [(state["step"], state["state"]) for state in states] == [
        (name, "done") for name in ("guidelines", "build", "distill", "verify", "assemble", "card")
    ]
    card = (tmp_path / "out" / "dataset" / "README.md").stat().st_mtime_ns
    assert deepicd("run", "--settings", path).code == 0
    assert (tmp_path / "out" / "dataset" / "README.md").stat().st_mtime_ns == card
    write_file(tmp_path, sources, extra={"build": ["--seed", "3"]})
    stopped = deepicd("run", "--settings", path)
    assert stopped.code == 1 and "Stopped at build" in stopped.err
    write_file(tmp_path, sources, extra={"build": ["--seed", "3", "--overwrite"]})
    assert deepicd("run", "--settings", path, "--until", "build").code == 0
    states = json.loads(deepicd("status", "--settings", path, "--json").out)
    now = {state["step"]: state["state"] for state in states}  # a stage made anew shows in what follows
    assert (now["build"], now["distill"], now["assemble"]) == ("done", "out of date", "out of date")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "has no fields"),
        ("mimic: a\nnotes: b\nrecipes: c\n", "Did you mean recipe?"),
        ("mimic: a\nnotes: b\nrecipe: c\nextra: {bild: []}\n", "extra has no stage 'bild'"),
        ("mimic: a\nnotes: b\nrecipe: c\nextra: {build: --strict}\n", "extra is not a list of options"),
        ("mimic: a\nnotes: b\nrecipe: c\nout: s3://b/out\n", "s3://b/out is not a folder of this machine"),
        ("mimic: ''\nnotes: b\nrecipe: c\n", "mimic is ''"),
        ("mimic: [", "is not YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, deepicd: Deepicd, text: str, message: str) -> None:
    path = tmp_path / "deepicd.yaml"
    path.write_text(text)
    done = deepicd("status", "--settings", path)
    assert done.code == 1 and message in done.err


def test_a_stage_at_work_shows_as_running(tmp_path: Path, sources: Path, deepicd: Deepicd) -> None:
    path = write_file(tmp_path, sources)
    (tmp_path / "out" / "traces" / "ledger").mkdir(parents=True)
    with (
        hold_lease(tmp_path / "out" / "traces" / "ledger" / ".lock", "writing"),
        hold_lease(tmp_path / "out" / ".cohort.lock", "writing"),
    ):
        listed = json.loads(deepicd("status", "--settings", path, "--json").out)
    states = {state["step"]: state["state"] for state in listed}
    assert (states["build"], states["distill"], states["card"]) == ("running", "running", "waiting")


def test_a_path_below_a_home_that_nobody_has_is_refused(deepicd: Deepicd, sources: Path, tmp_path: Path) -> None:
    path = write_file(tmp_path, sources, notes="~nobody-here")
    for command in ("run", "status"):
        result = deepicd(command, "--settings", path)
        assert result.code == 1 and "~nobody-here: no home folder is known for it." in result.err
