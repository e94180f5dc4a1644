"""Ratings for other programs, and from them: CSV and JSONL, and the records of Argilla and Label Studio.

    export_ratings(out, Path("ratings.csv"), "csv", texts)
    import_ratings(out, Path("tasks.json"), "label-studio", "ana")

CSV and JSONL have ids, codes and answers, no text. The files for Argilla and Label Studio have the texts, since people
annotate there: one record per trace with what reviewers answered so far. They are readable by their owner alone.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from cards.reading_room.review.assignment import Review, read_review
from cards.reading_room.review.ratings import Rating, Ratings, read_known_ratings
from cards.reading_room.review.rubric import Question, Rubric
from deepicd import storage
from deepicd.errors import DeepicdError

Texts = Callable[[int], tuple[str, str]]
"""Row → note and trace."""


def export_ratings(out: Path, file: Path, format_name: str, texts: Texts) -> int:
    """Write the ratings of a review to a file; return the number of records."""
    review, record = read_review(out)
    ratings = read_known_ratings(out, review)
    if not ratings and format_name in ("csv", "jsonl"):
        raise DeepicdError(f"Nobody has rated anything in {out}.", f"Rate first: deepicd review rate {out} …")
    if format_name == "csv":
        lines = list(_flatten(review, ratings))
        text = _format_csv(lines, review.rubric)
    elif format_name == "jsonl":
        lines = [{"origin": record.origin, **line} for line in _flatten(review, ratings)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    else:
        build = _build_argilla if format_name == "argilla" else _build_task
        lines = list(_list_records(review, ratings, texts, build))
        text = json.dumps(lines, ensure_ascii=False, indent=1) + "\n"
    storage.write_text(file, text)
    file.chmod(0o600)
    if format_name == "label-studio":
        storage.write_text(file.with_suffix(".xml"), build_label_config(review.rubric))
    return len(lines)


def _flatten(review: Review, ratings: list[Rating]) -> Iterator[dict[str, object]]:
    for rating in ratings:
        item = review.items[rating.item]
        recipe = item.traces[rating.trace].recipe_digest
        preferred = rating.preferred
        yield {
            "reviewer": rating.reviewer, "item": rating.item, "note_id": item.note_id, "icd_code": item.icd_code,
            "recipe_digest": recipe, "trace_sha256": rating.sha256, "at": rating.at,
            "preferred": item.traces[preferred].recipe_digest if isinstance(preferred, int) else preferred,
            **{question.name: rating.answers.get(question.name) for question in review.rubric.questions},
        }  # fmt: skip


def _format_csv(lines: list[dict[str, object]], rubric: Rubric) -> str:
    """Return a table; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    names = ["reviewer", "item", "note_id", "icd_code", "recipe_digest", "trace_sha256", "at", "preferred"]
    names += [question.name for question in rubric.questions]
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {name: f"'{value}" if str(value or "")[:1] in tuple("=+-@\t") else value for name, value in line.items()}
        )
    return file.getvalue()


Answered = Mapping[str, Rating]
"""Reviewer → rating of one trace."""


def _list_records(
    review: Review,
    ratings: list[Rating],
    texts: Texts,
    build: Callable[[dict[str, str], dict[str, Any], Answered, Rubric], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(review.items):
        for place, trace in enumerate(item.traces):
            note, text = texts(trace.row)
            own = {rating.reviewer: rating for rating in ratings if (rating.item, rating.trace) == (number, place)}
            fields = {"note": note, "trace": text, "diagnosis": item.icd_code}
            yield build(fields, {"item": number, "trace": place, "sha256": trace.sha256}, own, review.rubric)


def _name_record(metadata: Mapping[str, Any]) -> str:
    return f"item-{metadata['item']}-{metadata['trace']}"


def _build_argilla(fields: dict[str, str], metadata: dict[str, Any], own: Answered, rubric: Rubric) -> dict[str, Any]:
    """Return a record as Argilla 2 writes it with `records.to_json`."""
    responses: dict[str, list[dict[str, Any]]] = {}
    for reviewer, rating in own.items():
        for name, value in rating.answers.items():
            responses.setdefault(name, []).append({"value": value, "user_id": reviewer})
    return {
        "id": _name_record(metadata), "fields": fields, "metadata": metadata, "suggestions": {}, "responses": responses,
        "vectors": {}, "status": "completed" if own else "pending",
    }  # fmt: skip


def _build_task(fields: dict[str, str], metadata: dict[str, Any], own: Answered, rubric: Rubric) -> dict[str, Any]:
    """Return a task as Label Studio imports it, with one annotation per reviewer."""
    questions = {question.name: question for question in rubric.questions}
    return {
        "data": fields | {"id": _name_record(metadata)},
        "meta": metadata,
        "annotations": [
            {
                "completed_by": {"email": f"{reviewer}@localhost", "first_name": reviewer, "last_name": ""},
                "result": [_build_result(questions[name], value) for name, value in rating.answers.items()],
            }
            for reviewer, rating in own.items()
        ],
    }


_TAGS = {"scale": ("rating", "Rating"), "yes or no": ("choices", "Choices"), "text": ("textarea", "TextArea")}


def _build_result(question: Question, value: str | int) -> dict[str, Any]:
    kind = _TAGS[question.kind][0]
    content = {"rating": value, "choices": [value], "textarea": [value]}[kind]
    key = {"rating": "rating", "choices": "choices", "textarea": "text"}[kind]
    return {"from_name": question.name, "to_name": "trace", "type": kind, "value": {key: content}}


def build_label_config(rubric: Rubric) -> str:
    """Return Label Studio's labeling configuration of a rubric."""
    lines = ["<View>", '  <Text name="note" value="$note"/>', '  <Text name="trace" value="$trace"/>']
    for question in rubric.questions:
        name, ask = quoteattr(question.name), quoteattr(question.ask)
        lines.append(f"  <Header value={ask}/>")
        tag = _TAGS[question.kind][1]
        if question.kind == "yes or no":
            choices = "".join(f'<Choice value="{choice}"/>' for choice in question.choices)
            lines.append(f'  <{tag} name={name} toName="trace" choice="single" required="true">{choices}</{tag}>')
        elif question.kind == "scale":
            lines.append(f'  <{tag} name={name} toName="trace" maxRating="5" required="true"/>')
        else:
            lines.append(f'  <{tag} name={name} toName="trace"/>')
    return "\n".join([*lines, "</View>", ""])


def import_ratings(out: Path, file: Path, format_name: str) -> dict[str, int]:
    """Add ratings that were made in Argilla or Label Studio; return reviewer → ratings read.

    Raises DeepicdError for a record that is none of this review's, and for an answer that its rubric does not offer.
    """
    review, record = read_review(out)
    found: dict[str, list[Rating]] = {}
    for name, reviewer, answers in _read_answers(file, format_name):
        item, trace = _find_trace(review, name)
        if reviewer not in review.steps:
            raise DeepicdError(
                f"{file.name} has ratings of a reviewer who has no part in {out}.",
                f"Its reviewers are: {', '.join(sorted(review.steps))}. In Argilla, write user names for ids first.",
            )
        found.setdefault(reviewer, []).append(
            Rating(
                origin=record.origin, reviewer=reviewer, item=item, trace=trace,
                sha256=review.items[item].traces[trace].sha256,
                answers=review.rubric.parse_answers({key: str(value) for key, value in answers.items()}),
            )
        )  # fmt: skip
    for reviewer, ratings in found.items():
        own = Ratings(out, reviewer)
        for rating in ratings:
            own.save(rating)
    return {reviewer: len(ratings) for reviewer, ratings in found.items()}


def _find_trace(review: Review, name: str) -> tuple[int, int]:
    known = {
        _name_record({"item": number, "trace": place}): (number, place)
        for number, item in enumerate(review.items)
        for place in range(len(item.traces))
    }
    if name not in known:
        raise DeepicdError(
            "The file has a record that does not belong to this review.", "Import what `deepicd review export` wrote."
        )
    return known[name]


Answer = tuple[str, str, dict[str, object]]
"""Name of the record, reviewer, answers."""


def _read_answers(file: Path, format_name: str) -> list[Answer]:
    """Return what people answered. Raises DeepicdError for a file of another form, and for one without answers."""
    read = _read_argilla if format_name == "argilla" else _read_tasks
    entries = storage.read_json(file)
    try:
        answers = [(str(name), reviewer, given) for name, reviewer, given in read(entries)]
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise DeepicdError(
            f"{file.name} is not in the form of {format_name}.",
            f"Import what `deepicd review export --format {format_name}` wrote, or what that program exports as JSON.",
        ) from error
    if not answers:
        raise DeepicdError(f"{file.name} has no ratings.", "Export from the program after people have rated there.")
    return answers


def _read_argilla(entries: list[dict[str, Any]]) -> Iterator[Answer]:
    for entry in entries:
        by_user: dict[str, dict[str, object]] = {}
        for name, responses in entry["responses"].items():
            for response in responses:
                by_user.setdefault(str(response["user_id"]), {})[name] = response["value"]
        yield from ((entry["id"], user, answers) for user, answers in by_user.items())


def _read_tasks(tasks: list[dict[str, Any]]) -> Iterator[Answer]:
    for task in tasks:
        for annotation in task["annotations"]:
            by = annotation["completed_by"]
            email = by["email"] if isinstance(by, dict) else str(by)
            answers = {result["from_name"]: _read_value(result["value"]) for result in annotation["result"]}
            yield task["data"]["id"], email.partition("@")[0], answers


def _read_value(value: Mapping[str, Any]) -> object:
    content, *_ = value.values()
    return content[0] if isinstance(content, list) else content
