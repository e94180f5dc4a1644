"""The weights that training starts from: random ones, and a few heads that look back for words as they stand.

Copying is what a trace needs most and what a model of this size takes longest to find: a head that sees which words
went before, and one that looks for a place where the same words went before and repeats what followed there (induction
heads; Olsson et al., In-context Learning and Induction Heads, 2022). Here both stand from the start, as the first two
layers' first two heads each, and training only has to find when to copy and from where. Every weight is trained on.

    width    0 ………………… WORDS ……… + BEFORE ……… + BEFORE = width
             the word    the word     the word
             itself      before it    before that
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROPE_BASE = (
    1e7  # so high that the slow half of a head's pairs hardly turns over a note, and words match at any distance
)
BEFORE = 32  # dimensions in which a word before is kept
SHARP = 7.4  # of the heads that look one and two words back: nearly all of their attention goes there
MATCH = 3.0  # of the heads that look for the same words
WORD = 0.1  # standard deviation of a word's dimensions
SPACED = 0.5  # how much the space before a word tells of it, beside the word
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


def fresh_model(shape: Shape, tokenizer: Any, seed: int) -> Any:
    """A Qwen2 of random weights."""
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


def with_copying(model: Any, spaced: Sequence[tuple[int, int]], alike: Sequence[tuple[int, int]] = ()) -> Any:
    """Put the heads that copy into the first two layers of a fresh model of two heads a layer at least.

    Of a pair of tokens in `spaced` the second starts as the first with a space before it: a word that is quoted at the
    beginning of a sentence has none. Of one in `alike` it starts as the first, so that what followed that follows it.
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
            _look_back(first, head, size, head + 1, projection, before)
            _look_for(second, head, size, projection)
    return model


def _look_back(attention: Any, head: int, size: int, words: int, projection: Any, into: slice) -> None:
    """A head that keeps, at each place, the word that stands so many words before it."""
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


def _look_for(attention: Any, head: int, size: int, projection: Any) -> None:
    """A head that looks for places behind the words that stand here, and copies its half of the word there.

    It goes by half of the dimensions that a word is kept in: some for the present word, some for the one before it.
    """
    import torch

    words, part = projection.shape[1], BEFORE // 2
    rows = slice(head * size, (head + 1) * size)
    kept = torch.arange(words, words + BEFORE)[head * part : (head + 1) * part]  # of the word before
    wanted, found = torch.zeros(2, size, words + 2 * BEFORE)
    slow = torch.cat([torch.arange(size // 2 - part, size // 2), torch.arange(size - part, size)])
    wanted[slow[:part], :words] = MATCH * projection[head * part : (head + 1) * part]
    wanted[slow[part:], kept] = MATCH
    found[slow[:part], kept] = MATCH
    found[slow[part:], kept + BEFORE] = MATCH
    copied = torch.zeros(size, words + 2 * BEFORE)
    copied[range(words // 2), range(head * words // 2, (head + 1) * words // 2)] = 1
    for linear, weight in ((attention.q_proj, wanted), (attention.k_proj, found), (attention.v_proj, copied)):
        linear.weight[rows] = weight
        linear.bias[rows] = 0
    attention.o_proj.weight[:, rows] = COPY * copied.T
