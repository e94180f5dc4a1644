"""Every chat template that TRL ships, asked what it writes around an answer; and tokenizers that lose text."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deepicd.answer_form import parse_answer, write_answer
from deepicd.engines.chat_template import ChatTemplate, join
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code

pytestmark = pytest.mark.engines

CHAT = [{"role": "system", "content": "Reason."}, {"role": "user", "content": "Fever, cough."}]
ANSWER = write_answer("Crackles on the right.", Code("J189"))
OPENING = "<think>\n"

# template → the end of an answer, where it is none of the tiny tokenizer's own tokens
ENDS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "cohere2": "<|END_RESPONSE|>",
    "deepseek": "<｜end▁of▁sentence｜>",
    "diffusion_gemma": "<turn|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "gemma4": "<turn|>",
    "glm4moe": "<|user|>",
    "llama3": "<|eot_id|>",
    "phi3": "<|end|>",
}
OPENS_ITSELF = ("deepseek", "nemotron", "qwen3_5_think", "qwen3_6", "qwen3_8")
REFUSED = {
    "gptoss": "writes '<|channel|>final<|message|>' between",
    "muse_glimmer": "writes 'to=user<|message|>' between",
    "idefics3": "leaves out the question",
    "smolvlm": "leaves out the question",
    "llava_next": "rejects a question and its answer",
    "qwen3_5_nothink": "closes the think block before the answer",
    "glm4moe": "writes nothing after an answer",
}
TURNS = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def list_templates() -> list[Path]:
    trl = pytest.importorskip("trl")
    return sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


def find(stem: str, table: dict[str, str]) -> str | None:
    """The entry of the longest name that a template's name begins with."""
    names = [name for name in table if stem.startswith(name)]
    return table[max(names, key=len)] if names else None


def load_tiny(template: str, *tokens: str) -> Any:
    from deepicd.engines.model import resolve_path
    from deepicd.engines.tokenizer import load_tokenizer, pin_date

    tokenizer = load_tokenizer(resolve_path("deepicd-tiny-teacher"))
    tokenizer.chat_template = pin_date(template, date(2024, 7, 26))
    tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": list(tokens)})
    return tokenizer


def load_template(stem: str) -> ChatTemplate:
    [path] = [path for path in list_templates() if path.stem == stem]
    return ChatTemplate.from_tokenizer(load_tiny(path.read_text()), "M")


def test_every_template_is_refused_in_words_or_opens_think_once_for_teacher_and_training() -> None:
    refused = {}
    for path in list_templates():
        end = find(path.stem, ENDS)
        try:
            template = ChatTemplate.from_tokenizer(load_tiny(path.read_text(), *([end] if end else [])), "M")
            prompt = template.render(CHAT, OPENING)
            turn = prompt[prompt.index("Fever, cough.") :]
            assert turn.endswith(OPENING), path.stem
            assert turn.count("<think>") == 1, path.stem
            assert "</think>" not in turn, path.stem
            assert "Reason." in prompt, path.stem

            template.check_training()
        except DeepicdError as error:
            refused[path.stem] = str(error)
            continue
        prompt, answer = template.render_prompt(CHAT), template.render_answer(ANSWER)
        assert (prompt[prompt.index("Fever, cough.") :] + answer).count("<think>") == 1, path.stem
        ids = template.encode(answer)
        assert template.tokenizer.decode([template.end_token or 0]) == (end or "<|im_end|>"), path.stem
        assert template.end_token in ids, path.stem
        written = template.tokenizer.decode(ids[: ids.index(template.end_token)])
        assert bool(template.opening) == path.stem.startswith(OPENS_ITSELF), path.stem
        stored = join(template.find_start(""), written)
        assert stored.lstrip().startswith("<think>"), path.stem
        assert parse_answer(stored) == parse_answer(ANSWER), path.stem
    for stem, message in refused.items():
        assert (find(stem, REFUSED) or "?") in message, (stem, message)
    assert {stem.removesuffix("_training") for stem in refused} == {*REFUSED}
    assert "glm4moe_training" not in refused


@pytest.mark.parametrize(
    ("stem", "ending"),
    [
        ("qwen3_6", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),  # a schema leaves no room for reasoning
        ("qwen3_5_nothink", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ("qwen2_5", "<|im_start|>assistant\n"),
    ],
)
def test_a_prompt_whose_answer_has_a_schema_leaves_no_block_open(stem: str, ending: str) -> None:
    template = load_template(stem)
    prompt = template.render(CHAT, "", is_free=False)
    assert prompt[prompt.rindex("<|im_start|>") :] == ending


def test_a_template_without_reasoning_is_refused_where_the_answer_has_to_reason() -> None:
    template = load_template("qwen3_5_nothink")
    with pytest.raises(DeepicdError, match="closes the think block"):
        template.render(CHAT, "")


def test_a_template_without_a_system_turn_has_its_text_before_the_users() -> None:
    text = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TURNS
    template = ChatTemplate.from_tokenizer(load_tiny(text), "M")
    assert template.merges_system
    assert template.render(CHAT, OPENING) == "[user]Reason.\n\nFever, cough.<|im_end|>[assistant]<think>\n"
    dropping = ChatTemplate.from_tokenizer(load_tiny(TURNS.replace(" %}[{{", " if m.role != 'system' %}[{{", 1)), "M")
    assert dropping.render(CHAT, OPENING) == "[user]Fever, cough.<|im_end|>[assistant]<think>\n"
    assert dropping.describe("") == ["The chat template of M: it leaves out the system turn."]


def test_a_template_that_reads_the_clock_is_given_the_recipes_day() -> None:
    clock = (
        "{% if strftime_now is defined %}{% set d = strftime_now('%d %b %Y') %}{% else %}{% set d = '?' %}{% endif %}"
    )
    text = clock + "{{ d }} {{ strftime_now('%Y-%m-%d') }}" + TURNS
    template = ChatTemplate.from_tokenizer(load_tiny(text), "M")
    assert template.writes_date
    assert template.render_prompt(CHAT).startswith("26 Jul 2024 2024-07-26[system]")


def test_an_end_that_is_not_one_token_is_refused_before_training() -> None:
    template = load_template("llama3_1")
    with pytest.raises(DeepicdError, match=r"ends an answer with '<\|eot_id\|>', which is not one token"):
        template.check_training()


def test_a_tokenizer_that_its_class_would_misread_is_loaded_from_its_own_file(real_data: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from deepicd.engines.tokenizer import PROBE, is_replaced, load_tokenizer

    folder = real_data / "tokenizers" / "deepseek_v3"
    if not folder.is_dir():
        pytest.skip("needs a real tokenizer of DeepSeek")
    by_class = AutoTokenizer.from_pretrained(folder)
    assert by_class.decode(by_class.encode(PROBE, add_special_tokens=False)) != PROBE  # else this test is out of date
    tokenizer = load_tokenizer(str(folder))
    assert is_replaced(tokenizer)
    assert tokenizer.decode(tokenizer.encode(PROBE, add_special_tokens=False)) == PROBE
    template = ChatTemplate.from_tokenizer(tokenizer, "DeepSeek-V3").check_training()
    assert tokenizer.convert_ids_to_tokens(template.end_token) == "<｜end▁of▁sentence｜>"
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).encode(PROBE) == tokenizer.encode(PROBE)
    assert not is_replaced(load_tokenizer(str(real_data / "tokenizers" / "qwen2_5")))


def test_a_tokenizer_that_loses_text_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from deepicd.engines.tokenizer import load_tokenizer

    unknown = {"unk_token": "<unk>"}
    inner = Tokenizer(models.WordLevel({"<unk>": 0, "fever": 1}, **unknown))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, **unknown).save_pretrained(tmp_path)
    with pytest.raises(DeepicdError, match="loses characters"):
        load_tokenizer(str(tmp_path))
