"""Small copies of MIMIC, written by hand: every id, code and word is made up."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

HEADERS = {
    "hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,"
    "admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,"
    "hospital_expire_flag",
    "hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
    "hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "note/discharge": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
}

NOTE = """ 
Name:  ___                     Unit No:   ___
 
Admission Date:  ___              Discharge Date:   ___
 
Date of Birth:  ___             Sex:   F
 
Service: MEDICINE
 
Allergies: 
Penicillins
 
Attending: ___.
 
Chief Complaint:
{complaint}
 
Major Surgical or Invasive Procedure:
None
 
History of Present Illness:
{illness}
 
Past Medical History:
Hypertension
 
Social History:
___
Family History:
Father with stroke.
 
Physical Exam:
ADMISSION EXAM:
HR 110
DISCHARGE EXAM:
HR 70
 
Pertinent Results:
WBC 9
 
Brief Hospital Course:
LEAK
 
Medications on Admission:
1. Lisinopril 10 mg PO DAILY
 
Discharge Medications:
1. LEAK
 
Discharge Disposition:
Home
 
Discharge Diagnosis:
LEAK
 
Discharge Condition:
LEAK
 
Discharge Instructions:
LEAK
 
Followup Instructions:
___
"""  # noqa: W291, W293 - the lines of one space are the template's


def note(complaint: str = "Cough", illness: str = "___ woman who coughs.") -> str:
    return NOTE.format(complaint=complaint, illness=illness)


def write_table(root: Path, name: str, rows: Sequence[Mapping[str, object]], *, gzipped: bool = True) -> Path:
    """Write one table with its full header; columns not given are empty."""
    path = root / f"{name}.csv{'.gz' if gzipped else ''}"
    path.parent.mkdir(parents=True, exist_ok=True)
    opener = gzip.open if gzipped else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADERS[name].split(","), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def stay(hadm_id: int, codes: Sequence[tuple[int, str]], version: int = 10) -> list[dict[str, object]]:
    """diagnoses_icd rows of a stay from (seq_num, code) pairs; the patient is the stay less ten million."""
    return [
        {
            "subject_id": hadm_id - 10_000_000,
            "hadm_id": hadm_id,
            "seq_num": seq,
            "icd_code": code,
            "icd_version": version,
        }
        for seq, code in codes
    ]


def discharge(hadm_id: int, text: str | None = None, seq: int = 1) -> dict[str, object]:
    subject = hadm_id - 10_000_000
    return {
        "note_id": f"{subject}-DS-{seq}",
        "subject_id": subject,
        "hadm_id": hadm_id,
        "note_type": "DS",
        "note_seq": seq,
        "charttime": "2180-01-01 00:00:00",
        "text": note() if text is None else text,
    }


def write_copy(
    root: Path,
    diagnoses: Sequence[Mapping[str, object]],
    notes: Sequence[Mapping[str, object]],
    titles: Mapping[str, str] | None = None,
    admitted: Sequence[int] | None = None,
) -> Path:
    """A whole copy; admissions are those of the diagnoses unless named."""
    stays = sorted({int(str(row["hadm_id"])) for row in diagnoses}) if admitted is None else admitted
    write_table(root, "hosp/admissions", [{"subject_id": stay - 10_000_000, "hadm_id": stay} for stay in stays])
    write_table(root, "hosp/diagnoses_icd", diagnoses)
    dictionary = [
        {"icd_code": c, "icd_version": 10, "long_title": t} for c, t in (titles or {"I214": "NSTEMI"}).items()
    ]
    write_table(root, "hosp/d_icd_diagnoses", dictionary)
    write_table(root, "note/discharge", notes)
    return root
