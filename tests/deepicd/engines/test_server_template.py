"""What a server's chat template writes, asked through /tokenize: how chats are sent then, and what is stored."""

from pathlib import Path
from typing import Any

import pytest
from cohorts import write_cohort
from engine_requests import answers, request
from openai_server import MODEL, openai_server

from deepicd.engines.base import Completion
from deepicd.engines.registry import open_engine
from deepicd.errors import DeepicdError
from distill.recipe import Recipe
from distill.run import distill

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
# Qwen3 and GLM write an empty think block before an answer whose reasoning they do not find
EMPTY = CHATML.replace(
    "{{ m.content }}", "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
)
OPENS = ASKS.replace("{% endif %}", "<think>\n{% endif %}")
CLOSES = ASKS.replace("{% endif %}", "<think>\n{% if not enable_thinking %}\n</think>\n\n{% endif %}{% endif %}")
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"

CASES = {
    # template → roles, whether the opening is sent, arguments of the template
    "leaves it open": (CHATML + ASKS, ["system", "user", "assistant"], None),
    "an empty block before the opening": (EMPTY + ASKS, ["system", "user"], None),
    "opens it itself": (EMPTY + OPENS, ["system", "user"], None),
    "closes it, unless told to reason": (EMPTY + CLOSES, ["system", "user"], {"enable_thinking": True}),
    "no system turn": (REFUSES + CHATML + ASKS, ["user", "assistant"], None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_prompt_opens_the_block_once_and_so_does_what_is_stored(case: str) -> None:
    template, roles, arguments = CASES[case]
    with openai_server(template=template) as stand_in:
        engine = open_engine(Recipe(engine="openai_server", model=MODEL, base_url=stand_in.url))
        [found] = answers(engine, [request(1)]).values()
        engine.close()
    [body] = stand_in.asked
    assert [message["role"] for message in body["messages"]] == roles
    assert body.get("continue_final_message", False) == (roles[-1] == "assistant")
    assert body.get("chat_template_kwargs") == arguments
    if roles[0] == "user":
        assert body["messages"][0]["content"].startswith("Reason.\n\n# Admission note")
    rendered: dict[str, Any] = {"add_generation_prompt": roles[-1] == "user", "chat_template_kwargs": arguments or {}}
    rendered |= {"continue_final_message": roles[-1] == "assistant", "messages": body["messages"]}
    prompt = "".join(map(chr, stand_in.render(rendered)["tokens"]))
    assert prompt.count("<think>") == ("itself" in case or "leaves" in case or "no system" in case or "closes" in case)
    assert isinstance(found, Completion) and found.text.count("<think>") == 1 and found.text.startswith("<think>\n")


def test_a_server_whose_tokenizer_loses_spaces_is_refused() -> None:
    with (
        openai_server(template=CHATML + ASKS, loses=" ") as stand_in,
        pytest.raises(DeepicdError, match="loses spaces or line breaks"),
    ):
        open_engine(Recipe(engine="openai_server", model=MODEL, base_url=stand_in.url))
    assert not stand_in.asked


def test_a_server_that_does_not_list_the_paths_is_sent_no_probe() -> None:
    with openai_server() as stand_in:
        engine = open_engine(Recipe(engine="openai_server", model=MODEL, base_url=stand_in.url))
        answers(engine, [request(1)])
        engine.close()
    assert len(stand_in.asked) == 1


VARIABLE = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"  # Llama 3's


@pytest.mark.parametrize(
    ("template", "arguments", "is_recorded"),
    [
        (VARIABLE + "Today Date: {{ date_string }}\n" + CHATML + ASKS, {"date_string": "01 Feb 2025"}, False),
        ("Current date: {{ strftime_now('%Y-%m-%d') }}\n" + CHATML + ASKS, None, True),  # Mistral's, gpt-oss's
        ("Knowledge cutoff: 2023-12-31\n" + CHATML + ASKS, None, False),
    ],
)
def test_todays_date_is_pinned_where_a_request_can_and_recorded_where_none_can(
    template: str, arguments: dict[str, str] | None, is_recorded: bool
) -> None:
    with openai_server(template=template) as stand_in:
        recipe = Recipe(engine="openai_server", model=MODEL, base_url=stand_in.url, template_date="2025-02-01")
        engine = open_engine(recipe)
        [found] = answers(engine, [request(1)]).values()
        engine.close()
    assert stand_in.asked[0].get("chat_template_kwargs") == arguments
    assert isinstance(found, Completion)
    assert (found.template_date is not None) == is_recorded


def test_a_run_records_the_days_that_a_servers_template_wrote(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 10)
    with openai_server(template="{{ strftime_now('%d %B %Y') }}\n" + CHATML + ASKS) as stand_in:
        recipe = Recipe(engine="openai_server", model=MODEL, base_url=stand_in.url)
        record = distill(cohort, tmp_path / "out", recipe)
    [note] = [note for note in record.notes if "date" in note]
    assert note.startswith("The server's chat template writes today's date into prompts, and no request can pin it: 20")
    assert note.endswith("(10 completions).")
