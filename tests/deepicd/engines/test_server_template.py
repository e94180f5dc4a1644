"""What a server's chat template writes, asked through /tokenize: how chats are sent then, and what is stored."""

from typing import Any

import pytest
from engine_requests import answers, request
from openai_server import MODEL, openai_server

from deepicd.engines.base import Completion
from deepicd.engines.registry import open_engine
from deepicd.errors import DeepicdError
from distill.recipe import Recipe

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
