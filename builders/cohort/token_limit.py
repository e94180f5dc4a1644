"""How many tokens of a model an admission note is, for `deepicd build --max-tokens N --tokenizer MODEL`.

    count = load_token_counter("Qwen/Qwen2.5-7B-Instruct")
    count("Chief Complaint:\\nChest pain")

A limit in tokens is a limit for one tokenizer, so there is no default. Hugging Face's `tokenizers` alone is needed, no
PyTorch; the file comes from a folder, or from the Hub and then from this machine's cache.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from deepicd.errors import DeepicdError

FILE = "tokenizer.json"


@cache  # once a process
def load_token_counter(tokenizer: str) -> Callable[[str], int]:
    """A count by a model's tokenizer: a folder or file, or a name on the Hub. Raises DeepicdError for none."""
    from tokenizers import Tokenizer

    path = Path(tokenizer).expanduser()
    path = path / FILE if path.is_dir() else path
    try:
        read = Tokenizer.from_file(str(path)) if path.is_file() else Tokenizer.from_pretrained(tokenizer)
    except Exception as error:  # the library raises nothing more precise, for whatever reason
        raise DeepicdError(
            f"There is no tokenizer {tokenizer!r} here, and none could be fetched.",
            f"Give a folder with {FILE}, or a model's name on the Hugging Face Hub.",
        ) from error
    return lambda text: len(read.encode(text, add_special_tokens=False))


def exceeds_tokens(text: str, limit: int, tokenizer: str) -> bool:
    """Whether a text has more than `limit` tokens. No token is shorter than a byte, so most need no counting."""
    return len(text.encode()) > limit and load_token_counter(tokenizer)(text) > limit
