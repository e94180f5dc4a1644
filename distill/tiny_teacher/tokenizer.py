"""The tiny teacher's own tokenizer: byte-level BPE over made-up records, single digits, and the tags as one token each.

    tokenizer = learn(texts, size=3000, context=2048)
    tokenizer.apply_chat_template(messages, add_generation_prompt=True)

It is Qwen2's tokenizer but for its entries: transformers gives that to every model of Qwen2's kind, whatever its files
ask for, and one that splits text in another way would read otherwise than it was taught.

Its chat template leaves out the system turn: the wording is the same for every row, the model was trained without it,
and a fifth of its context is saved. A real teacher's template keeps it.
"""

import json
from collections.abc import Iterable
from typing import Any

from deepicd.answer_form import TAGS

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

# Qwen's turns. The generation prompt ends where the opening of the answer follows.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SPACE = "Ġ"  # how byte-level BPE writes a space in an entry


def learn(texts: Iterable[str], size: int, context: int) -> Any:
    """A tokenizer of `size` entries for a model of `context` positions, as transformers reads and saves it."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    form = Qwen2Tokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE())
    bpe.normalizer, bpe.pre_tokenizer = form.normalizer, form.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(TAGS),
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    learned = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        unk_token=PAD,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([AddedToken(START, special=True)])
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])  # decoding keeps them
    return tokenizer


def spaced(tokenizer: Any) -> list[tuple[int, int]]:
    """Pairs of entries that are one word, without a space before it and with one."""
    vocabulary = tokenizer.get_vocab()
    found = ((token, vocabulary.get(SPACE + text)) for text, token in vocabulary.items())
    return sorted((token, other) for token, other in found if other is not None)
