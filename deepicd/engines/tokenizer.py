"""Load a model's tokenizer, and refuse one that loses text.

    tokenizer = load_tokenizer("Qwen/Qwen2.5-7B-Instruct")    # transformers.PreTrainedTokenizer

transformers chooses a tokenizer by class and model type and may ignore what the model's own tokenizer.json says: loaded
as `LlamaTokenizerFast`, the byte-level tokenizers of DeepSeek and its Llama distills drop every space and line break
(transformers 5.10). So a text goes through every tokenizer and has to come back, and its ids have to be those of
tokenizer.json. Where they are not, tokenizer.json itself is loaded; if that loses text as well, the model is refused.

A chat template that writes today's date would make another prompt every day: the date is pinned to the recipe's.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from deepicd.errors import DeepicdError

PROBE = "Pt is a 62 yo M w/ CHF.\n\n  HR 104, ___ BP 118/70;\n\t- Na 1234567, 3.5 mg [**x**]\n"
"""What notes are made of: runs of spaces, line breaks, digits, and the blanks of their de-identification."""
DIRECTIVES = ("%-d", "%-m", "%d", "%e", "%b", "%B", "%m", "%y", "%Y", "%A", "%a", "%j", "%F", "%H", "%M", "%S")
CLOCK = "strftime_now"  # the function by which templates read the clock
_REPLACED = "_deepicd_replaced"

logger = logging.getLogger(__name__)


class Tokenizer(Protocol):
    """What is used of transformers.PreTrainedTokenizer, which has no types."""

    chat_template: Any
    all_special_ids: list[int]
    added_tokens_decoder: dict[int, Any]

    def apply_chat_template(
        self, conversation: Sequence[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool = False
    ) -> Any: ...
    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...
    def decode(self, token_ids: Sequence[int]) -> str: ...
    def save_pretrained(self, save_directory: Path) -> object: ...


def load_tokenizer(
    path: str, revision: str | None = None, *, template_date: str = "", local_files_only: bool = False
) -> Any:
    """Return the tokenizer of a model, checked. Raises OSError or ValueError for none, DeepicdError for a lossy one.

    `template_date`: what its chat template takes for today; '' to leave it the clock.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    where = {"revision": revision, "local_files_only": local_files_only}
    own = _find_own_file(path, **where)
    tokenizer = AutoTokenizer.from_pretrained(path, **where)
    if problem := find_loss(tokenizer, own):
        if own is not None:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(path, **where)
        if own is None or find_loss(tokenizer, own):
            raise DeepicdError(
                f"The tokenizer of {path} {problem}.",
                "Notes would reach the model damaged. Check its tokenizer.json and tokenizer_config.json, or choose"
                " another model.",
            )
        logger.info(
            "transformers' class for the tokenizer of %s %s: its tokenizer.json is used instead.", path, problem
        )
        setattr(tokenizer, _REPLACED, True)
    tokenizer.clean_up_tokenization_spaces = False  # else decoding removes spaces before punctuation
    if template_date:
        tokenizer.chat_template = pin_date(tokenizer.chat_template, date.fromisoformat(template_date))
    return tokenizer


def is_replaced(tokenizer: Any) -> bool:
    """Return whether other programs, which load a model's tokenizer by its class, would read it wrongly."""
    return bool(getattr(tokenizer, _REPLACED, False))


def find_loss(tokenizer: Any, own: Path | None) -> str | None:
    """Return what a tokenizer does wrong with a text; None if the text comes back, with the ids of tokenizer.json."""
    ids: list[int] = tokenizer.encode(PROBE, add_special_tokens=False)
    decoded: str = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    if decoded != PROBE:
        return describe_loss(PROBE, decoded)
    if own is None:
        return None
    from tokenizers import Tokenizer as OwnTokenizer

    reference = OwnTokenizer.from_file(str(own))
    reference.no_truncation()
    reference.no_padding()
    return None if reference.encode(PROBE, add_special_tokens=False).ids == ids else "disagrees with its tokenizer.json"


def describe_loss(text: str, decoded: str) -> str:
    """Return in words how a text differs from what came back.

    >>> describe_loss("HR 104, ___", "HR104,___"), describe_loss("HR 104", "hr 104"), describe_loss("104", "1 0 4")
    ('loses spaces or line breaks', 'changes upper and lower case', 'adds spaces or line breaks')
    """
    if decoded.split() != text.split() and "".join(decoded.split()) == "".join(text.split()):
        return "adds spaces or line breaks" if len(decoded) > len(text) else "loses spaces or line breaks"
    if decoded.split() == text.split():
        return "loses spaces or line breaks"
    return "changes upper and lower case" if decoded.lower() == text.lower() else "loses characters"


def pin_date(template: Any, day: date) -> Any:
    """Return a chat template (or several, by name) that takes a day for today; others are returned as they are."""
    if isinstance(template, dict):
        return {name: pin_date(text, day) for name, text in template.items()}
    if not isinstance(template, str) or CLOCK not in template or f"macro {CLOCK}" in template:
        return template
    replacements = "".join(f"|replace({directive!r}, {day.strftime(directive)!r})" for directive in DIRECTIVES)
    return f"{{% macro {CLOCK}(format) %}}{{{{ format{replacements} }}}}{{% endmacro %}}{template}"


def writes_date(templates: Iterable[str] | str | None) -> bool:
    """Return whether a chat template reads the clock."""
    texts = [templates] if isinstance(templates, str) else list(templates or [])
    return any(CLOCK in text for text in texts)


def _find_own_file(path: str, **where: Any) -> Path | None:
    """Return the model's tokenizer.json; None where it has none."""
    from transformers.utils import cached_file

    file = cached_file(
        path,
        "tokenizer.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **where,
    )
    return None if file is None else Path(file)
