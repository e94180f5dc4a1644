"""The evidence of a trace: what its note says of each claim."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepicd.evidence import Category, Kind, count_kinds, find_all_evidence, find_evidence, find_unused

NOTE = """## Chief Complaint
Chest pain

## History of Present Illness
Mr. ___ is a ___ year old man with HTN and DM2 who presents with chest pain for 2 hours, worse on the left side. He took
Zantac 150mg without relief. Denies fever, chills, or shortness of breath. No fluctuance, no night driving. His L knee
is swollen. Trop negative for now; Na-128* K-4.5 lactate 2.0, creatinine rose from 1.0 to 2.4.

## Medications on Admission
1. Lisinopril 40 mg PO DAILY
2. MetFORMIN (Glucophage) 500 mg PO BID
3. Not on warfarin

## Family History
Mother with breast cancer

## Physical Exam
VS: 98.4 88 132/76 18 97% RA
Gen: pale and sweating, weighs 80 kg
"""


def judge(trace: str, note: str = NOTE) -> list[tuple[str, str, str, str, str]]:
    """Return claim, category, kind, reason and place of each claim, as texts."""
    return [
        (trace[item.claim_start : item.claim_end], item.category, item.kind, item.why,
         "" if item.note_start is None else note[item.note_start : item.note_end])
        for item in find_evidence(trace, note)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        # numbers: with name, unit or neither
        ("BP of 132/76 today", ("BP of 132/76", "vital", "supported", "exact", "132/76")),
        ("a blood pressure of 90/60", ("blood pressure of 90/60", "vital", "contradicted", "other value", "132/76")),
        ("pulse 88", ("pulse 88", "vital", "supported", "exact", "88")),
        ("heart rate in the 80s", ("heart rate in the 80s", "vital", "supported", "rounded", "88")),
        ("pulse 18", ("pulse 18", "vital", "contradicted", "other value", "88")),
        ("temperature 36.9 C", ("temperature 36.9 C", "vital", "supported", "converted", "98.4")),
        ("SpO2 97% on room air", ("SpO2 97%", "vital", "supported", "exact", "97%")),
        ("Sodium was 128 mEq", ("Sodium was 128 mEq", "lab", "supported", "exact", "Na-128")),
        ("sodium of 182", ("sodium of 182", "lab", "contradicted", "other value", "Na-128")),
        ("lactate 2", ("lactate 2", "lab", "supported", "exact", "lactate 2.0")),
        ("creatinine of 2.4", ("creatinine of 2.4", "lab", "supported", "exact", "2.4")),
        ("lipase 300", ("lipase 300", "lab", "absent", "not mentioned", "")),
        ("for two hours", ("two hours", "number", "supported", "exact", "2 hours")),
        ("for 120 minutes", ("120 minutes", "number", "supported", "converted", "2 hours")),
        ("12 hours after lunch", ("12 hours", "number", "absent", "not mentioned", "")),
        ("she smoked for 12 years", ("12 years", "number", "absent", "not mentioned", "")),
        ("a 67-year-old", ("67-year-old", "number", "absent", "not mentioned", "")),
        ("weight 176 lb", ("weight 176 lb", "vital", "supported", "converted", "weighs 80 kg")),
        ("potassium above 5.5", ("potassium above 5.5", "lab", "inference", "limit", "")),
        ("anion gap of 22", ("anion gap of 22", "lab", "inference", "computed", "")),
        # drugs: by name, brand, class, and their doses
        ("on Prinivil", ("Prinivil", "drug", "supported", "brand", "Lisinopril")),
        ("on ranitidine", ("ranitidine", "drug", "supported", "brand", "Zantac")),
        ("an ACE inhibitor", ("ACE inhibitor", "drug", "supported", "class", "Lisinopril")),
        ("on atorvastatin", ("atorvastatin", "drug", "absent", "not mentioned", "")),
        ("on warfarin", ("warfarin", "drug", "contradicted", "denied", "warfarin")),
        ("not on warfarin", ("warfarin", "drug", "supported", "exact", "warfarin")),
        ("not taking lisinopril", ("lisinopril", "drug", "contradicted", "stated", "Lisinopril")),
        ("one could consider heparin", ("heparin", "drug", "inference", "weighed", "")),
        ("on lisinapril", ("lisinapril", "drug", "supported", "spelling", "Lisinopril")),
        # findings: synonyms, denials, sides, whose they are
        ("pain in the chest", ("pain in the chest", "finding", "supported", "synonym", "Chest pain")),
        ("hypertension", ("hypertension", "finding", "supported", "synonym", "HTN")),
        ("diabetes", ("diabetes", "finding", "supported", "narrower", "DM2")),
        ("no dyspnea", ("dyspnea", "finding", "supported", "synonym", "shortness of breath")),
        ("with dyspnea", ("dyspnea", "finding", "contradicted", "denied", "shortness of breath")),
        ("she was febrile", ("febrile", "finding", "contradicted", "denied", "fever")),
        ("afebrile", ("afebrile", "finding", "supported", "synonym", "fever")),
        ("no chest pain", ("chest pain", "finding", "contradicted", "stated", "Chest pain")),
        ("fluctuance was felt", ("fluctuance", "finding", "contradicted", "denied", "fluctuance")),
        ("night driving", ("night driving", "finding", "contradicted", "denied", "night driving")),
        ("the right knee", ("right knee", "finding", "contradicted", "other side", "L knee")),
        ("left knee swelling", ("left knee swelling", "finding", "supported", "exact", "L knee\nis swollen")),
        ("vertigo", ("vertigo", "finding", "absent", "not mentioned", "")),
        ("possible vertigo", ("vertigo", "finding", "inference", "weighed", "")),
        ("this is an NSTEMI", ("NSTEMI", "finding", "inference", "disease", "")),
        ("a history of gout", ("gout", "finding", "absent", "not mentioned", "")),
        ("has breast cancer", ("breast cancer", "finding", "absent", "family", "")),
        ("her mother had breast cancer", ("breast cancer", "finding", "supported", "exact", "breast cancer")),
        # quotations
        ("“denies FEVER,  chills”", ("“denies FEVER,  chills”", "quotation", "supported", "exact",
                                     "Denies fever, chills")),
        ("'a year old man with HTN'", ("'a year old man with HTN'", "quotation", "supported", "exact",
                                       "a ___ year old man with HTN")),
        ('"presents with … 2 hours"', ('"presents with … 2 hours"', "quotation", "supported", "parts",
                                       "presents with chest pain for 2 hours")),
        ("“with chest pain for 3 hours”", ("“with chest pain for 3 hours”", "quotation", "contradicted", "other value",
                                           "with chest pain for 2 hours")),
        ("“worse on the right side”", ("“worse on the right side”", "quotation", "contradicted", "other side",
                                       "worse on the left side")),
        ("“took Zantac without any relief”", ("“took Zantac without any relief”", "quotation", "absent",
                                              "not mentioned", "")),
        ("“I fell down the stairs”", ("“I fell down the stairs”", "quotation", "absent", "not mentioned", "")),
    ],
)  # fmt: skip
def test_each_claim_is_linked_to_what_decides_it(trace: str, expected: tuple[str, ...]) -> None:
    assert judge(trace) == [expected]


OLD = "71M with asthma. BP 128/76, 89% on room air. Rigors. OxyCODONE (Immediate Release) 5 mg, Sodium Chloride 0.9%."


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("BP 128/76, 89% on room air", ["exact", "exact"]),
        ("saturating 89% on 2 L", ["exact", "not mentioned"]),
        ("BP 128/76, 98% on room air", ["exact", "other value"]),
        ("HR 110, 38.5 C", ["not mentioned", "not mentioned"]),
        ("a man of 71", ["exact"]),
        ("a 71-year-old", ["exact"]),
        ("a man in his 70s", ["rounded"]),
        ("aged 72 years", ["other value"]),
        ("a gentleman of 72", ["other value"]),
        ("T 99F", ["not mentioned"]),
        ("asthma does not usually cause rigors", ["exact", "exact"]),
        ("cannot account for rigors", ["exact"]),
        ("asthma does not cause wheezing", ["exact", "weighed"]),
        ("did not have rigors", ["stated"]),
        ("no reported rigors", ["stated"]),
        ("is not wheezing, has rigors", ["not mentioned", "exact"]),
        ("on oxycodone and normal saline", ["exact", "brand"]),
    ],
)
def test_ages_saturations_and_links_are_read_in_any_wording(trace: str, expected: list[str]) -> None:
    assert [why for *_, why, _ in judge(trace, OLD)] == expected


LISTS = ["", "1) First", "See I.C.9.a.1.", "This is I21.4.", "T3 and H2", "It's the patient's."]


def test_a_number_of_the_same_thing_with_another_value_contradicts() -> None:
    assert judge("chest pain for 12 hours")[-1] == ("12 hours", "number", "contradicted", "other value", "2 hours")
    assert judge("fever, then 12 hours of sleep")[-1][2] == "absent"


@pytest.mark.parametrize("trace", LISTS)
def test_codes_and_entries_of_a_list_claim_nothing(trace: str) -> None:
    assert judge(trace) == []
    assert find_evidence(trace, "") == []


def test_claims_within_a_quotation_are_listed_on_demand() -> None:
    trace = "“chest pain for 2 hours”, BP 132/76"
    inside = [(item.category, item.kind) for item in find_all_evidence(trace, NOTE)]
    assert inside == [
        ("quotation", "supported"), ("finding", "supported"), ("number", "supported"), ("vital", "supported")
    ]  # fmt: skip
    assert [item.category for item in find_evidence(trace, NOTE)] == ["quotation", "vital"]


def test_kinds_are_counted_by_category() -> None:
    counts = count_kinds(find_evidence("BP 90/60, pulse 88, RR 44, temperature 39 C, on heparin.", NOTE))
    assert counts[Category.VITAL] == {
        Kind.SUPPORTED: 1, Kind.INFERENCE: 0, Kind.CONTRADICTED: 3, Kind.ABSENT: 0
    }  # fmt: skip
    assert counts[Category.DRUG][Kind.ABSENT] == 1


def test_parts_of_the_note_without_a_claim_are_unused() -> None:
    note = "Chest pain for 2 hours. Lives alone.\nHas a cat.\n\nNo fever."
    evidence = find_evidence("Chest pain, but with fever.", note)
    assert [note[start:end] for start, end in find_unused(note, evidence)] == ["Lives alone.", "Has a cat."]
    assert [note[start:end] for start, end in find_unused(note, [])] == [
        "Chest pain for 2 hours.", "Lives alone.", "Has a cat.", "No fever."
    ]  # fmt: skip


PIECES = [
    "BP 90/60", "“", "”", "'", '"', "…", " no ", "denies ", "left ", "knee", " pain", "fever", ", ", ". ", "\n",
    "\n\n", "1", "2 hours", "lisinopril", " 40 mg", "___", "\u202e", "İ", "ﬁ", "é", "٣", "²", "心", "\U0001f600",
    "<script>", "98.4 88 ", "97% RA", "“no pain” ", "a b ", "mother ", "- ",
    "Family History:\n", "mother", "-", "/", "()", "\x00", "SpO2 ", "of ", "possible ",
]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


@given(TEXTS, TEXTS)
def test_spans_are_in_range_in_order_and_apart(trace: str, note: str) -> None:
    evidence = find_evidence(trace, note)
    end = 0
    for item in evidence:
        assert end <= item.claim_start < item.claim_end <= len(trace)
        end = item.claim_end
        assert (item.note_start is None) == (item.note_end is None)
        if item.note_start is not None and item.note_end is not None:
            assert 0 <= item.note_start < item.note_end <= len(note)
        assert (
            item.kind in (Kind.SUPPORTED, Kind.CONTRADICTED) or item.kind is Kind.INFERENCE or item.note_start is None
        )
        assert item.kind not in (Kind.SUPPORTED, Kind.CONTRADICTED) or item.note_start is not None
    spans = find_unused(note, evidence)
    assert spans == sorted(spans)
    assert all(note[start:stop].strip() == note[start:stop] != "" for start, stop in spans)


SENTENCES = ["Chest pain for 2 hours.", "BP 95/60, HR 110.", "On lisinopril 40 mg.", "Pale."]


@given(st.lists(st.sampled_from(SENTENCES), min_size=1))
def test_what_a_trace_copies_from_its_note_is_supported(sentences: list[str]) -> None:
    trace = " ".join(sentences)
    assert {item.kind for item in find_evidence(trace, trace)} <= {Kind.SUPPORTED}


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_grows_with_the_text_and_not_faster(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By counting lines of Python that run: eight times the text may take some ten times as many."""
    import sys

    def count(pieces: int) -> int:
        text, lines = piece * pieces, 0

        def trace(frame: object, event: str, _: object) -> object:
            nonlocal lines
            lines += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)  # type: ignore[arg-type]
        try:
            find_unused(text, find_evidence(text, text))
        finally:
            sys.settrace(before)
        return lines

    few = count(40)
    assert count(320) < 11 * few + 2_000


def test_a_megabyte_is_read_in_seconds() -> None:
    import time

    text = "BP 95/60 and no fever. “He fell on the left knee”, on lisinopril 40 mg for 3 days. " * 12_000
    clock = time.process_time()
    assert len(find_evidence(text, NOTE)) == 6 * 12_000
    assert time.process_time() - clock < 60


def test_every_name_in_the_lexicon_is_found_by_itself() -> None:
    from deepicd.evidence.lexicon import load_lexicon

    silent = [
        " ".join(name.words)
        for names in load_lexicon().names.values()
        for name in names
        if name.term.sort in ("finding", "drug", "class")
        and not find_evidence(text := name.cased or re.sub(r" ([/.+']) ", r"\1", " ".join(name.words)), text)
    ]
    assert silent == []


def test_a_number_of_thousands_of_digits_is_no_age() -> None:
    assert find_evidence(f"A man of {'9' * 5000}.", "A 71 year-old man.") is not None
