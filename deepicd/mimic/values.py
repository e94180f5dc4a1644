"""Turn the columns of a table, however a program wrote them, into the values that deepicd uses.

Numbers: 20000019, '20000019', 20000019.0 and '20000019.0' are one stay. Codes: 'I21.4', ' i214' and 'I214' are one
code. Line ends of Windows and old Macs, once or twice converted, are line feeds. Nothing behind this module strips,
upper-cases or splits again. Any other value is an error with column and row, which does not show it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.mimic.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa

_ABSENT = ("", "null", "none", "na", "n/a", "nan", "<na>", r"\n")
"""How programs write that there is no number, in lower case."""

_Fail = Callable[[int, str], DeepicdError]
"""Makes the error for a place in the block and what is wrong there."""


def get_type(table: Table, name: str) -> "pa.DataType":
    """Return the Arrow type of a table's column."""
    import pyarrow as pa

    return {"bigint": pa.int64(), "varchar": pa.string()}[table.columns[name]]


def convert(block: "pa.RecordBatch", table: Table, names: Sequence[str], rows_before: int) -> "pa.RecordBatch":
    """Return the columns `names` of a block with the table's types and one spelling of every value; null if absent."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for name in names:
        if name in table.absent:
            columns[name] = pa.nulls(block.num_rows, get_type(table, name))
            continue
        fail = partial(bad_row_error, table, rows_before, name)
        column = block.column(name)
        columns[name] = _to_integers(column, fail) if table.columns[name] == "bigint" else _to_text(column)
    if "icd_code" in columns:
        fail = partial(bad_row_error, table, rows_before, "icd_version")
        columns["icd_code"] = _unify_codes(columns["icd_code"], columns["icd_version"], fail)
    if "text" in columns:
        columns["text"] = _unify_line_ends(columns["text"])
    return pa.RecordBatch.from_pydict(columns)


def bad_row_error(table: Table, rows_before: int, column: str, place: int, why: str) -> DeepicdError:
    """Return the error for a value at a place of a block."""
    return DeepicdError(
        f"{table.path}, row {rows_before + place + 1:,}, column {column}: {why}.",
        "Row 1 is the first below the header. Use the file as PhysioNet ships it, or convert it again.",
    )


def _to_text(column: "pa.Array") -> "pa.Array":
    import pyarrow as pa

    return column if column.type == pa.string() else column.cast(pa.string())


def _to_integers(column: "pa.Array", fail: _Fail) -> "pa.Array":
    """Return whole numbers, null where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.int64():
        return column
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)  # so pandas writes an absent id
    try:
        return column.cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    plain = pc.utf8_trim_whitespace(_to_text(column))
    plain = pc.replace_substring_regex(plain, r"^(-?\d+)\.0*$", r"\1")
    is_absent = pc.is_in(pc.utf8_lower(plain), value_set=pa.array(_ABSENT))
    plain = pc.if_else(is_absent, pa.scalar(None, pa.string()), plain)
    is_whole = pc.fill_null(pc.match_substring_regex(plain, r"^-?\d{1,18}$"), True)
    if (place := pc.index(is_whole, False).as_py()) >= 0:
        raise fail(place, "it is not a whole number")
    return plain.cast(pa.int64())


def _unify_codes(codes: "pa.Array", versions: "pa.Array", fail: _Fail) -> "pa.Array":
    """Return ICD-10 codes as Code.value; what is no code, and ICD-9, only without white space around it.

    ICD-9 keeps its dots: they tell codes that were read as decimal numbers (local_copy.check_codes_are_text).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_known = pc.fill_null(pc.or_(pc.equal(versions, 10), pc.equal(versions, 9)), False)
    if pc.all(pc.and_(is_known, pc.fill_null(pc.match_substring_regex(codes, "^[0-9A-Z]+$"), False))).as_py():
        return codes  # as MIMIC writes them: Code would change nothing
    encoded = pc.fill_null(codes, "").dictionary_encode()
    spellings = encoded.dictionary.to_pylist()
    bare = [spelling.strip() for spelling in spellings]
    has_code = pa.array([bool(text) for text in bare], pa.bool_()).take(encoded.indices)
    if (place := pc.index(pc.and_(has_code, pc.invert(is_known)), True).as_py()) >= 0:
        raise fail(place, "it is neither 9 nor 10")
    unified = [code.value if (code := Code.find(text)) else text for text in bare]
    icd9, icd10 = (pa.array(values, pa.string()).take(encoded.indices) for values in (bare, unified))
    return pc.if_else(pc.fill_null(pc.equal(versions, 10), False), icd10, icd9)


def _unify_line_ends(text: "pa.Array") -> "pa.Array":
    """Return texts whose lines end in a line feed, without a byte order mark."""
    import pyarrow.compute as pc

    has_return = pc.match_substring_regex(text, "\r")  # RE2 looks for one byte much faster than a plain search
    if pc.any(has_return).as_py():
        unified = pc.replace_substring_regex(text.filter(has_return), r"\r+\n|\r", "\n")
        text = pc.replace_with_mask(text, has_return, unified)
    if pc.any(pc.starts_with(text, "\ufeff")).as_py():
        text = pc.utf8_ltrim(text, "\ufeff")
    return text
