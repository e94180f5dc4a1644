"""Write docs/data.md, the data dictionary, from deepicd/schema.py: types as they are, words from its comments.

A comment behind a column describes it, one above columns groups them, and the one above a schema says which file it is.
A column without a comment has that of the schema it comes from; one that no schema describes is an error.
Run: make docs
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from deepicd import schema

SOURCE = Path(schema.__file__).read_text(encoding="utf-8")
INTRODUCTION = """\
# Data dictionary

Every column of every table that passes from one stage to the next. This file is generated from `deepicd/schema.py`: run
`make docs` after a change there. Each parquet file has the origin of its rows (`mimic`, `synthetic` or `public`) in its
footer under `deepicd.origin`.

Other files:

| file | holds |
|---|---|
| `run.json`, beside every output | the command, its options, the digests of what it read, the counts of what it wrote |
| `COHORT/splits.csv` | `note_id` and `split`: ids only |
| `COHORT/funnel.json` | the notes left after each step, and those lost there by reason |
| `MIMIC/gold.parquet` of `deepicd synthesize` | each section, and whether it was known at admission |
| `TRACES/ledger/` | every completion as it came; the program's own format |
| `DATASET/card/statistics.json` | every number of the card and of its figures |
| `metrics.json` of `deepicd evaluate` | scores with intervals ([evaluation.md](evaluation.md)) |

"""

# heading → name in deepicd.schema (or of its dataset config), and those it takes columns from
TABLES = {
    "Cohort": ("COHORT",),
    "Cohort: columns for analysis": ("ANALYSIS",),
    "Outcome of a stay": ("OUTCOME",),
    "Excluded notes": ("EXCLUDED",),
    "Unknown headers": ("HEADERS",),
    "Traces": ("TRACES",),
    "Evidence": ("EVIDENCE",),
    "Scores of a judge": ("SCORES",),
    "Verification": ("VERIFIED",),
    "Forecasts": ("FORECAST",),
    "Dataset, config traces": ("traces", "COHORT", "TRACES"),
    "Dataset, config sft": ("sft", "COHORT"),
    "Dataset, config grpo": ("grpo",),
    "Dataset, config verified": ("verified", "traces", "VERIFIED"),
    "Dataset, config multi": ("multi", "grpo", "sft"),
    "Support of a code": ("SUPPORT",),
    "Bundle": ("BUNDLE", "traces"),
    "Predictions": ("PREDICTIONS",),
    "Predicted lists": ("LISTS",),
    "Descriptions": ("DESCRIPTIONS",),
    "Guideline sections": ("SECTIONS",),
}
MISSING = "deepicd/schema.py does not describe {}.{}. Put a comment behind it."
DOCUMENTS = ("ChapterGuidelines", "GuidelinePart", "Section", "Block", "CodeReference", "Mark")


class Part(NamedTuple):
    """A schema in the source: the lines it stands on, and what is said above or behind its name."""

    first: int
    last: int
    words: str


def read_comments() -> dict[int, tuple[bool, str]]:
    """Return line → whether a comment has that line to itself, and its words."""
    tokens = tokenize.generate_tokens(io.StringIO(SOURCE).readline)
    return {
        token.start[0]: (token.line.lstrip().startswith("#"), token.string.lstrip("# "))
        for token in tokens
        if token.type == tokenize.COMMENT
    }


COMMENTS = read_comments()


def find_parts() -> dict[str, Part]:
    """Return name → place of every schema, dataset config and document."""
    parts = {}
    for node in ast.parse(SOURCE).body:
        if isinstance(node, ast.ClassDef):
            parts[node.name] = Part(
                node.lineno, node.end_lineno or 0, " ".join((ast.get_docstring(node) or "").split())
            )
        elif isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            above = node.lineno - 1
            while COMMENTS.get(above, (False, ""))[0]:
                above -= 1
            words = " ".join(COMMENTS[line][1] for line in range(above + 1, node.lineno))
            parts[target.id] = Part(node.lineno, node.end_lineno or 0, words)
            if isinstance(node.value, ast.Dict):
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    if isinstance(key, ast.Constant):
                        said = COMMENTS.get(key.lineno, (False, ""))[1]
                        parts[str(key.value)] = Part(
                            key.lineno, value.end_lineno or 0, "; ".join(filter(None, (words, said)))
                        )
    return parts


PARTS = find_parts()
COLUMN = re.compile(r'^\s*(?:\("(?P<column>\w+)", |(?P<field>\w+): )')


def describe(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return column → its comment and column → the comment of the group that begins with it, of one schema."""
    described, groups, group = {}, {}, ""
    lines = SOURCE.splitlines()
    for number in range(PARTS[name].first, PARTS[name].last + 1):
        is_alone, words = COMMENTS.get(number, (False, ""))
        if is_alone:
            group = words
        elif match := COLUMN.match(lines[number - 1]):
            column = match["column"] or match["field"]
            described[column] = words
            if group:
                groups[column], group = group, ""
    return described, groups


def describe_columns(name: str) -> dict[str, str]:
    """Return column → description, of a schema's own and of those that it takes from others."""
    described = describe(name)[0]
    parents = next((parents for own, *parents in TABLES.values() if own == name), [])
    inherited = [describe_columns(parent) for parent in parents]
    columns = [field.name for field in list_fields(name)]
    return {
        column: next((known[column] for known in (described, *inherited) if known.get(column)), "")
        for column in columns
    }


def name_type(kind: pa.DataType) -> str:
    """Return a type for readers: 'list of text'."""
    if kind.equals(schema.EVIDENCE):
        return "[evidence](#evidence)"
    if kind.equals(schema.FORECAST):
        return "[forecast](#forecasts)"
    if pa.types.is_list(kind):
        return f"list of {name_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "{" + ", ".join(f"{field.name}: {name_type(field.type)}" for field in kind) + "}"
    return "text" if pa.types.is_string(kind) else str(kind)


def list_fields(name: str) -> list[pa.Field]:
    """Return the columns of a schema or the members of a struct, in order."""
    return list(schema.CONFIGS[name] if name in schema.CONFIGS else getattr(schema, name))


def render_table(heading: str, name: str) -> Iterator[str]:
    """Yield the lines of a table's section. Raises SystemExit for a column without a description."""
    described, groups = describe_columns(name), describe(name)[1]
    yield from (
        f"## {heading}",
        "",
        escape(PARTS[name].words.rstrip(".")) + ".",
        "",
        "| column | type | |",
        "|---|---|---|",
    )
    for field in list_fields(name):
        if not described[field.name]:
            raise SystemExit(MISSING.format(name, field.name))
        if field.name in groups:
            yield f"| | | *{escape(groups[field.name])}* |"
        yield f"| `{field.name}` | {name_type(field.type)} | {escape(described[field.name])} |"
    yield ""


def render_document(name: str) -> Iterator[str]:
    """Yield the lines of a JSON document's section. Raises SystemExit for a field without a description."""
    tree = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.ClassDef) and node.name == name)
    words, _ = describe(name)
    yield from (f"### {name}", "", PARTS[name].words, "")
    if tree.bases and (base := ast.unparse(tree.bases[0])) in PARTS:
        yield from (f"All fields of {base}, and:", "")
    yield from ("| field | type | |", "|---|---|---|")
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kind = ast.unparse(node.annotation).replace("'", "")
            text = words[node.target.id] or describe("Section")[0].get(node.target.id, "")
            if not text:
                raise SystemExit(MISSING.format(name, node.target.id))
            yield f"| `{node.target.id}` | `{kind}` | {escape(text)} |"
    yield ""


def escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def render_dictionary() -> str:
    """Return the content of docs/data.md."""
    lines = [line for heading, names in TABLES.items() for line in render_table(heading, names[0])]
    lines += ["## Guidelines as JSON", ""]
    lines += [line for name in DOCUMENTS for line in render_document(name)]
    return INTRODUCTION + "\n".join(lines)


if __name__ == "__main__":
    Path(__file__).with_name("data.md").write_text(render_dictionary(), encoding="utf-8", newline="\n")
