"""BfArM's list of codes: semicolons between fields, the title after the codes. Titles are shortened."""

import pytest

from deepicd.errors import DeepicdError
from deepicd.knowledge.icd10gm import read_gm_list

ROWS = """\
3;N;X;01;A00;A00.-;A00;A00;Cholera;Cholera;;;V;V;1-002
4;T;X;01;A00;A00.0;A00.0;A000;"Cholera; klassisch";Cholera;klassisch;;P;P;1-002
4;T;X;02;C15;C22.9;C22.9;C229;Leber, nicht näher bezeichnet;;;;P;P;1-026
5;T;S;19;S40;S42.00;S42.00;S4200;Fraktur der Klavikula: Teil nicht näher bezeichnet;;;;P;P;1-001
4;T;X;06;G00;G01*;G01;G01;Meningitis bei bakteriellen Krankheiten;;;;P;P;1-001
"""
TITLES = {
    "A00": "Cholera",
    "A00.0": "Cholera; klassisch",
    "C22.9": "Leber, nicht näher bezeichnet",
    "S42.00": "Fraktur der Klavikula: Teil nicht näher bezeichnet",
    "G01": "Meningitis bei bakteriellen Krankheiten",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "iso-8859-1"])
def test_codes_and_titles_are_read_in_every_encoding(tmp_path, encoding):
    (tmp_path / "kodes.txt").write_bytes(ROWS.encode(encoding))
    assert read_gm_list(tmp_path / "kodes.txt") == TITLES


def test_any_other_file_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("A00 Cholera\nno semicolons")
    with pytest.raises(DeepicdError, match="names no ICD-10-GM code"):
        read_gm_list(tmp_path / "notes.txt")
    with pytest.raises(DeepicdError, match="There is no file"):
        read_gm_list(tmp_path / "absent.txt")
