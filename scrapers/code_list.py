"""Which codes to ask the site for: those of a file or of a MIMIC copy's dictionary, each with its parents.

    >>> [str(code) for code in with_parents([Code.parse("E11.65"), Code.parse("T38.3X6A")])]
    ['E11', 'E11.6', 'E11.65', 'T38', 'T38.3', 'T38.3X']

ICD-10-GM has no code of more than five characters, so of a longer one only its first three, four and five are asked.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code

DICTIONARY = "d_icd_diagnoses.csv"
LONGEST = 5  # characters of an ICD-10-GM code, the dot not counted
MARKS = "!*+†-."  # secondary code, manifestation, aetiology, 'subdivided further' (E10.-): no part of the code

# As much of a text as may open a code; where it ends stands the first character that is wrong.
_OPENING = re.compile(r"(?:[A-Z](?:[0-9](?:[0-9AB](?:\.?[0-9A-Z]{0,4})?)?)?)?", re.ASCII | re.IGNORECASE)


def read(path: Path) -> list[Code]:
    """The codes of a file, in its order: one a line, dotted or not; blank lines and `# comments` are passed over.

    Raises DeepicdError that names line and column of the first thing that is no code.
    """
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Name a text file with one ICD-10 code a line: --codes FILE")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DeepicdError(
            f"{path} is not UTF-8 text (byte {error.start}).", "Save it as plain text, one ICD-10 code a line."
        ) from error
    codes = [
        _code(entry, path, number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if (entry := line.partition("#")[0].strip())
    ]
    if not codes:
        raise DeepicdError(f"{path} names no code.", "Write one ICD-10 code a line, for instance I50.21.")
    return codes


def _code(entry: str, path: Path, number: int, line: str) -> Code:
    bare = entry.rstrip(MARKS)
    if code := Code.find(bare):
        return code
    opening = _OPENING.match(bare)
    column = line.index(entry) + (opening.end() if opening else 0) + 1
    shown = entry if len(entry) <= 20 else f"{entry[:20]}…"
    raise DeepicdError(
        f"{path}, line {number}, column {column}: {shown!r} is not an ICD-10 code.",
        "One code a line, with its dot or without: I10, I50.21, E10.-; text after # is passed over.",
    )


def of_dictionary(mimic: Path) -> list[Code]:
    """The ICD-10 codes of a MIMIC-IV copy's own dictionary, hosp/d_icd_diagnoses.csv(.gz), in its order.

    Raises DeepicdError where there is none below the folder, or it has other columns, or breaks off.
    """
    files = sorted(mimic.rglob(f"{DICTIONARY}*"), key=lambda path: len(path.parts)) if mimic.is_dir() else []
    file = next((path for path in files if path.name in (DICTIONARY, f"{DICTIONARY}.gz")), None)
    if file is None:
        raise DeepicdError(
            f"{mimic} holds no {DICTIONARY}(.gz).", "Point at the version folder, for instance --mimic ~/mimiciv/3.1"
        )
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as text:
            rows = csv.DictReader(text)
            if missing := {"icd_code", "icd_version"}.difference(rows.fieldnames or ()):
                raise DeepicdError(f"{file} has no column {' and '.join(sorted(missing))}.", "Is it MIMIC-IV's own?")
            found = [Code.find(row["icd_code"]) for row in rows if row["icd_version"] == "10"]
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
        raise DeepicdError(f"{file} cannot be read to its end: {error}.", "Fetch it again.") from error
    if codes := [code for code in found if code]:
        return codes
    raise DeepicdError(f"{file} names no ICD-10 code.", "ICD-10 codes came with MIMIC-IV; is it a copy of MIMIC-III?")


def with_parents(codes: Iterable[Code]) -> list[Code]:
    """The codes cut to five characters and their parents down to the category, sorted, each once."""
    return sorted({Code(prefix) for code in codes for prefix in code.prefixes if len(prefix) <= LONGEST})
