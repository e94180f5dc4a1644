"""The official list of ICD-10-GM codes: which codes there are, and their titles.

    titles = read_gm_list(Path("icd10gm2025syst_kodes.txt"))
    titles["A00.0"]   # 'Cholera durch Vibrio cholerae O:1, Biovar cholerae'

BfArM publishes it with the systematic index (https://www.bfarm.de, classifications, downloads, metadata), one code per
line, semicolons between fields: level; place; kind; chapter; group; code as printed ('A00.-'), without marks ('A00'),
without dot ('A00'); title; further titles. The title is the field after the codes, wherever these are.
"""

import csv
import re
from pathlib import Path

from deepicd.errors import DeepicdError

GM_CODE = re.compile(r"([A-Z][0-9]{2})(?:\.?([0-9]{1,2}))?(?:\.?-)?[!*+†]?", re.ASCII)


def read_gm_list(path: Path) -> dict[str, str]:
    """Return GM code (dotted) → title. Raises DeepicdError for a file of another form."""
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Name the list of codes of BfArM's systematic index.")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    titles = dict(entry for row in csv.reader(text.splitlines(), delimiter=";") if (entry := _read_row(row)))
    if not titles:
        raise DeepicdError(
            f"{path} names no ICD-10-GM code with its title.",
            "Expected lines like '4;T;X;01;A00;A00.0;A00.0;A000;Cholera durch …': BfArM's 'syst_kodes.txt'.",
        )
    return titles


def _read_row(row: list[str]) -> tuple[str, str] | None:
    """Return code and title of a row; None without them."""
    fields = [field.strip() for field in row]
    codes = [at for at, field in enumerate(fields) if GM_CODE.fullmatch(field)]
    if not codes or codes[-1] + 1 >= len(fields):
        return None
    # the first codes are those of the group; the last run of codes is the row's own
    match, title = GM_CODE.fullmatch(fields[codes[-1]]), fields[codes[-1] + 1]
    if match is None or not title:
        return None
    return f"{match[1]}.{match[2]}" if match[2] else match[1], title
