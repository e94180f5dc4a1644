"""Texts in pieces: joined they are the text, and each claim leads to its place."""

from reading_room_example import read_examples

from cards.reading_room.marking import mark_note, mark_texts
from deepicd.evidence import Kind

NOTE = "Physical Exam:\nBP 92/60, left leg swelling.\nLives alone. Takes Lasix."
TRACE = "BP 120/60 with left leg swelling; on furosemide and vancomycin."


def test_the_pieces_joined_are_the_texts() -> None:
    for example in read_examples():
        marked = mark_texts(example["trace"], example["note"])
        assert "".join(piece.text for piece in marked.trace) == example["trace"]
        assert "".join(piece.text for piece in marked.note) == example["note"]


def test_each_claim_is_linked_to_its_place() -> None:
    marked = mark_texts(TRACE, NOTE)
    assert [(claim.text, claim.kind, claim.in_note) for claim in marked.claims] == [
        ("BP 120/60", Kind.CONTRADICTED, "BP 92/60"),
        ("left leg swelling", Kind.SUPPORTED, "left leg swelling"),
        ("furosemide", Kind.SUPPORTED, "Lasix"),
        ("vancomycin", Kind.ABSENT, None),
    ]
    assert [(piece.text, piece.claims, piece.kind) for piece in marked.note if piece.claims] == [
        ("BP 92/60", (1,), Kind.CONTRADICTED),
        ("left leg swelling", (2,), Kind.SUPPORTED),
        ("Lasix", (3,), Kind.SUPPORTED),
    ]


def test_sentences_that_the_trace_never_used_and_headings_are_told_apart() -> None:
    marked = mark_texts(TRACE, NOTE)
    assert [piece.text for piece in marked.note if piece.is_unused and not piece.is_heading] == ["Lives alone."]
    assert [piece.text for piece in marked.note if piece.is_heading] == ["Physical Exam:"]


def test_a_note_without_a_trace_has_no_claims_and_nothing_unused() -> None:
    pieces = mark_note(NOTE)
    assert {piece.claims for piece in pieces} == {()}
    assert not any(piece.is_unused for piece in pieces)


def test_headings_of_both_forms_of_notes_are_found() -> None:
    pieces = mark_note("## Chief Complaint\nCough\n\nFamily History:\nNone. Note: none.")
    assert [piece.text for piece in pieces if piece.is_heading] == ["## Chief Complaint", "Family History:"]
