"""The shape of the repository: stages stand on the floor and never on each other, in imports, strings and paths."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import Deepicd

from deepicd.cli import COMMANDS

REPOSITORY = Path(__file__).parent.parent.parent
FLOOR = "deepicd"
STAGES = ("scrapers", "guidelines", "builders", "distill", "train", "cards")
# The modules that may name the stages.
ROOF = ("deepicd.api", "deepicd.chain", "deepicd.cli", "deepicd.demo", "deepicd.own_packages")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "datasets", "tokenizers", "evaluate", "types", "queue", "statistics"}
IMPORTERS = {"import_module", "__import__", "files", "find_spec", "run_module", "import_string"}
PATH_MAKERS = {"Path", "PurePath", "joinpath", "join"}

_STAGE = "|".join(STAGES)
DOTTED = re.compile(rf"(?<![\w./])({_STAGE})((?:\.\w+)+)")
SLASHED = re.compile(rf"(?<![\w./-])({_STAGE})/[a-z_]+")
DANGLING = re.compile(rf"(?:^|['\"\s:])({_STAGE})\.$")  # f"distill.{{name}}"


@cache
def product() -> dict[str, Path]:
    """Module → file, of all packages."""
    modules = {}
    for package in (FLOOR, *STAGES):
        for file in sorted((REPOSITORY / package).rglob("*.py")):
            modules[name_module(file)] = file
    return modules


def name_module(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def list_imports(tree: ast.AST) -> Iterator[str]:
    """Modules that a file imports, at its top or within a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in product() else node.module


def list_named_stages(tree: ast.AST, depth: int) -> Iterator[tuple[str, str]]:
    """Stages that a file names in strings and paths, and how; `depth` is the number of parts of the file's path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from list_stages_in_text(node.value)
        elif isinstance(node, ast.JoinedStr):
            for part, following in zip(node.values, node.values[1:], strict=False):
                text = str(part.value) if isinstance(part, ast.Constant) else ""
                if isinstance(following, ast.FormattedValue) and (match := DANGLING.search(text)):
                    yield match[1], f"{match[0]}{{…}}"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield from ((name, "/ …") for name in constants([node.left, node.right]) if is_stage_path(name))
        elif isinstance(node, ast.Call) and (called := name_callee(node)) in IMPORTERS | PATH_MAKERS:
            yield from ((name.split(".")[0], f"{called}(…)") for name in constants(node.args) if is_stage_path(name))
        elif isinstance(node, ast.Attribute | ast.Subscript) and climbs(node) >= depth:
            yield "the repository", "a path above its own package"


def list_stages_in_text(text: str) -> Iterator[tuple[str, str]]:
    """Stages whose modules or files a text names: 'distill.rehearsal:open_engine', 'train/recipes/sft-7b.yaml'."""
    for match in DOTTED.finditer(text):
        if is_in_product(match[0]):
            yield match[1], match[0]
    for match in SLASHED.finditer(text):
        if (REPOSITORY / match[0]).exists() or list(REPOSITORY.glob(f"{match[0]}.*")):
            yield match[1], match[0]


def is_in_product(dotted: str) -> bool:
    """Whether a dotted name begins with a module of ours: 'train.sft.run' does, 'train.parquet' does not."""
    return ".".join(dotted.split(".")[:2]) in product()


def is_stage_path(text: str) -> bool:
    return re.split(r"[./]", text)[0] in STAGES and not re.fullmatch(r"train(\.(parquet|jsonl?|npy|txt))?", text)


def constants(nodes: Iterable[ast.AST]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def name_callee(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def climbs(node: ast.AST) -> int:
    """How many folders an expression like `Path(__file__).parent.parent` or `.parents[1]` goes up from its file."""
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        below = climbs(node.value)
        return below + 1 if below or is_own_file(node.value) else 0
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "parents":
        below = climbs(node.value.value)
        number = ast.literal_eval(node.slice) if isinstance(node.slice, ast.Constant) else 0
        return below + number + 1 if below or is_own_file(node.value.value) else 0
    return 0


def is_own_file(node: ast.AST) -> bool:
    return "__file__" in ast.unparse(node)


def find_circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                circles.append(sorted(component))

    for node in edges:
        if node not in index:
            visit(node)
    return circles


@pytest.mark.parametrize("package", [FLOOR, *STAGES])
def test_a_stage_names_the_floor_and_no_other_stage_and_the_floor_names_none(package: str) -> None:
    modules = {name: file for name, file in product().items() if name.split(".")[0] == package and name not in ROOF}
    assert len(modules) > 1
    strays = {}
    for name, file in modules.items():
        tree, depth = parse(file), len(file.relative_to(REPOSITORY).parts)
        named = {(imported.split(".")[0], "import") for imported in list_imports(tree)}
        named |= set(list_named_stages(tree, depth))
        if others := {(stage, how) for stage, how in named if stage in {*STAGES, "the repository"} - {package}}:
            strays[name] = sorted(others)
    assert strays == {}


@pytest.mark.parametrize(
    "code",
    [
        'import_module(f"distill.{name}")',
        'load("distill.rehearsal:open_engine")',
        'files("distill")',
        'ROOT / "distill" / "tiny_teacher"',
        'ROOT.joinpath("distill", "recipes")',
        'open("distill/tiny_teacher")',
        "Path(__file__).parent.parent",
        "Path(__file__).resolve().parents[1]",
    ],
)
def test_a_stage_named_in_a_string_or_a_path_is_noticed(code: str) -> None:
    assert list(list_named_stages(ast.parse(code), depth=2)) != []


@pytest.mark.parametrize(
    "code", ['folder / "train.parquet"', 'print("deepicd train sft")', 'Path(__file__).parent / "recipes"']
)
def test_a_split_or_a_command_of_that_name_is_not(code: str) -> None:
    assert list(list_named_stages(ast.parse(code), depth=2)) == []


def test_no_imports_go_round_in_a_circle() -> None:
    edges = {
        name: {imported for imported in list_imports(parse(file)) if imported in product()} - {name}
        for name, file in product().items()
    }
    assert find_circles(edges) == []


def test_product_code_asserts_nothing() -> None:
    """Assertions vanish under `python -O`."""
    asserting = {
        name for name, file in product().items() for node in ast.walk(parse(file)) if isinstance(node, ast.Assert)
    }
    assert asserting == set()


def test_no_module_is_called_by_a_name_that_says_nothing_or_hides_a_real_package() -> None:
    assert [name for name in product() if name.split(".")[-1] in FORBIDDEN_NAMES] == []


def test_our_programs_are_started_by_name_and_never_by_path() -> None:
    """Python puts the folder of a file that it runs first in sys.path, where our ray.py would stand before Ray."""
    strays = [
        f"{name}:{node.lineno}"
        for name, file in product().items()
        for node in ast.walk(parse(file))
        if isinstance(node, ast.List)
        and [ast.unparse(element) for element in node.elts[:1]] == ["sys.executable"]
        and ast.unparse(node.elts[1]) not in {"'-m'", "'-P'", "'-c'"}
    ]
    assert strays == []


@pytest.mark.parametrize("package", [FLOOR, *STAGES])
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file()


def test_help_loads_no_stage_and_no_heavy_library() -> None:
    heavy = [*STAGES, "pyarrow", "duckdb", "scrapy", "pdfplumber", "matplotlib", "datasets", "simple_icd_10_cm", "rich"]
    script = f"""
import sys
from deepicd.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
loaded = set({heavy!r}) & set(sys.modules)
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_commands_help_ends_in_a_line_to_paste(command: str, deepicd: Deepicd) -> None:
    done = deepicd(command, "--help")
    assert f"deepicd {command} " in done.out.split("Options:")[0], done.out + done.err


def test_every_command_stands_in_the_table_of_commands() -> None:
    table = (REPOSITORY / "docs" / "_commands.md").read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"deepicd {command}" not in table] == []


def test_what_the_readme_links_to_is_there_and_nothing_is_left_to_fill_in() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link and link[0] != "#"]
    assert len(links) >= 4
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []
    assert not re.search(r"@[A-Z]+@|TODO|FIXME", readme)
