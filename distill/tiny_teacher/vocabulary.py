"""The tiny teacher's own tokenizer: byte-level BPE over made-up records, single digits, and the tags as one token each.

    tokenizer = learn(texts, size=3000, context=2048)
    tokenizer.apply_chat_template(messages, add_generation_prompt=True)

A word is the same token behind a space, at the beginning of a line and behind an opening quotation mark, so that to
quote is to repeat tokens: a space is put before the last two while encoding and taken out while decoding.

Its chat template leaves out the system turn: the wording is the same for every row, the model was trained without it,
and a fifth of its context is saved. A real teacher's template keeps it.
"""

from collections.abc import Iterable
from typing import Any

from deepicd.completion import TAGS

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

# Qwen's turns. The generation prompt ends where the opening of the answer follows.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_BEFORE_WORDS = ("\n", "“")  # what a word may follow without a space


def learn(texts: Iterable[str], size: int, context: int) -> Any:
    """A tokenizer of `size` entries for a model of `context` positions, as transformers reads and saves it."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Replace(Regex(f"(?<=[{''.join(_BEFORE_WORDS)}])(?=[A-Za-z])"), " ")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.Sequence(
        [decoders.ByteLevel(), *(decoders.Replace(f"{before} ", before) for before in _BEFORE_WORDS)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(TAGS),
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])  # decoding keeps them
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
