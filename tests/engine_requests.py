"""Requests to engines, and their completions to the end."""

from collections.abc import Iterable

from deepicd.engines.base import Completion, Engine, Failure, Request


def request(number: int, words: str = "Chest pain since two hours.", **fields: object) -> Request:
    """A request of its own key, with the shape of a real one."""
    chat = [{"role": "system", "content": "Reason."}, {"role": "user", "content": f"# Admission note\n{words}"}]
    return Request(f"key-{number}", chat, seed=number, opening="<think>\n", **fields)  # type: ignore[arg-type]


def answers(writer: Engine, requests: Iterable[Request]) -> dict[str, Completion | Failure]:
    """Key → what came back; fails where something comes twice."""
    writer.submit(list(requests))
    found: dict[str, Completion | Failure] = {}
    while done := writer.collect():
        for one in done:
            assert one.key not in found
            found[one.key] = one
    return found
