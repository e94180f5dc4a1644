"""What training starts from: a tokenizer, and random weights with a few heads that copy.

The tokenizer is byte-level BPE over made-up records, with single digits and one token per tag. Except for its entries
it is Qwen2's: transformers uses that for every model of Qwen2's kind, whatever its files ask for, and would split text
in another way than the model was taught.

Copying is what a trace needs most and what a model of this size takes longest to learn: a head that sees which words
went before, and one that looks for a place where the same words went before and repeats what followed there (induction
heads; Olsson et al., In-context Learning and Induction Heads, 2022). Here both are set from the start, as the first two
heads of the first two layers, and training only has to learn when to copy and from where. All weights are trained.

    width    0 ………………… WORDS ……… + BEFORE ……… + BEFORE = width
             the word    the word     the word
             itself      before it    before that
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deepicd.answer_form import TAGS
from deepicd.parsing import parse_json

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

# Qwen's turns, without the system turn: its words are the same for every row, the model was trained without them, and a
# fifth of the context is saved. A real teacher's template keeps it. The generation prompt ends before the opening.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SPACE = "Ġ"  # how byte-level BPE writes a space in an entry


def train_tokenizer(texts: Iterable[str], size: int, context: int) -> Any:
    """Return a tokenizer of `size` entries for a model of `context` positions, as transformers reads and saves it."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    base = Qwen2Tokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE())
    bpe.normalizer, bpe.pre_tokenizer = base.normalizer, base.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(TAGS),
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    learned = parse_json(bpe.to_str())["model"]
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


def find_spaced_pairs(tokenizer: Any) -> list[tuple[int, int]]:
    """Return pairs of entries that are one word, without a space before it and with one."""
    vocabulary = tokenizer.get_vocab()
    pairs = ((token, vocabulary.get(SPACE + text)) for text, token in vocabulary.items())
    return sorted((token, other) for token, other in pairs if other is not None)


# The weights

# So high that the slow half of a head's pairs hardly turns over a note, and words match at any distance
ROPE_BASE = 1e7
BEFORE = 32  # dimensions in which a word before is kept
SHARP = 7.4  # of the heads that look one and two words back: nearly all of their attention goes there
MATCH = 3.0  # of the heads that look for the same words
WORD = 0.1  # standard deviation of a word's dimensions
SPACED = 0.5  # weight of the space before a word, relative to the word
COPY = 0.4  # the copied word is four times louder than the present one


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of the model."""

    vocabulary: int  # entries of the tokenizer
    layers: int
    width: int
    heads: int
    feed_forward: int
    context: int  # positions, prompt and answer together


def build_model(shape: Shape, tokenizer: Any, seed: int) -> Any:
    """Return a Qwen2 with random weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=shape.context,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
        )
    )


def add_copying_heads(model: Any, spaced: Sequence[tuple[int, int]], alike: Sequence[tuple[int, int]] = ()) -> Any:
    """Set the heads that copy in the first two layers of a new model with at least two heads per layer.

    In a pair of tokens in `spaced` the second starts as the first with a space before it: a word that is quoted at the
    beginning of a sentence has none. In `alike` the second starts as the first, so that the same words follow both.
    """
    import torch

    config = model.config
    words = config.hidden_size - 2 * BEFORE
    size = config.hidden_size // config.num_attention_heads
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        torch.nn.init.normal_(embedding, std=WORD)
        space = SPACED * embedding[0]
        for bare, token in spaced:
            embedding[token] = embedding[bare] + space
        for word, token in alike:
            embedding[token] = embedding[word]
        embedding[:, words:] = 0
        projection = torch.linalg.qr(torch.randn(words, BEFORE))[0].T  # a word in few dimensions
        first, second = (model.model.layers[number].self_attn for number in range(2))
        for head in range(2):
            before = slice(words + head * BEFORE, words + (head + 1) * BEFORE)
            _set_previous_word_head(first, head, size, head + 1, projection, before)
            _set_matching_head(second, head, size, projection)
    return model


def _set_previous_word_head(attention: Any, head: int, size: int, words: int, projection: Any, into: slice) -> None:
    """Set a head that keeps, at each position, the word that stands `words` words before it."""
    import torch

    rows = slice(head * size, (head + 1) * size)
    turns = ROPE_BASE ** (-torch.arange(size // 2) / (size // 2))  # a word, of each pair
    fast = torch.arange(size // 2) < size // 6
    for part, angle in ((attention.q_proj, torch.zeros(size // 2)), (attention.k_proj, words * turns)):
        part.weight[rows] = 0
        part.bias[rows] = SHARP * torch.cat([angle.cos() * fast, angle.sin() * fast])
    attention.v_proj.weight[rows] = 0
    attention.v_proj.weight[rows][:BEFORE, : projection.shape[1]] = projection
    attention.o_proj.weight[:, rows] = 0
    attention.o_proj.weight[into, rows][:, :BEFORE] = WORD * torch.eye(BEFORE)


def _set_matching_head(attention: Any, head: int, size: int, projection: Any) -> None:
    """Set a head that looks for positions after the same words, and copies its half of the word there.

    It uses half of the dimensions that a word is kept in: some for the present word, some for the one before it.
    """
    import torch

    words, part = projection.shape[1], BEFORE // 2
    rows = slice(head * size, (head + 1) * size)
    kept = torch.arange(words, words + BEFORE)[head * part : (head + 1) * part]  # of the word before
    query, key = torch.zeros(2, size, words + 2 * BEFORE)
    slow = torch.cat([torch.arange(size // 2 - part, size // 2), torch.arange(size - part, size)])
    query[slow[:part], :words] = MATCH * projection[head * part : (head + 1) * part]
    query[slow[part:], kept] = MATCH
    key[slow[:part], kept] = MATCH
    key[slow[part:], kept + BEFORE] = MATCH
    copied = torch.zeros(size, words + 2 * BEFORE)
    copied[range(words // 2), range(head * words // 2, (head + 1) * words // 2)] = 1
    for linear, weight in ((attention.q_proj, query), (attention.k_proj, key), (attention.v_proj, copied)):
        linear.weight[rows] = weight
        linear.bias[rows] = 0
    attention.o_proj.weight[:, rows] = COPY * copied.T
