"""Train the tiny teacher on a made-up cohort: `make teacher`, or by hand

    deepicd demo out/lessons --admissions 16000 --seed 11
    python -m distill.tiny_teacher.train out/lessons/cohort out/tiny-teacher \
        --descriptions out/lessons/descriptions/descriptions.parquet

A plain PyTorch loop over pairs of prompt and lesson (see lessons.py), loss on both, since most of what has to be
learned is to copy and the note repeats itself. One seed, one order of lessons, one start; the same weights again on the
same kind of machine with the same number of threads. About an hour on two cores; no GPU is asked for.
"""

import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import yaml

from deepicd import store
from deepicd.engines.shipped import NAME
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import Knowledge
from deepicd.schema import COHORT, SPLITS
from distill import prompt
from distill.prompt import Material
from distill.recipe import Layout
from distill.tiny_teacher import RECIPE
from distill.tiny_teacher.lessons import lesson
from distill.tiny_teacher.vocabulary import END, learn

LAYOUT: Layout = "prefix"  # the one it is asked in by default; it has seen no other

WORDS = re.compile(r"[A-Za-z]{2,}")
HEADER = re.compile(r"[A-Z][A-Za-z ]+:\Z")


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the weights; recipe.yaml beside this file."""

    seed: int
    vocabulary: int  # entries of the tokenizer
    layers: int
    width: int
    heads: int
    key_heads: int  # grouped-query attention: heads of keys and values
    feed_forward: int
    context: int  # positions, prompt and answer together
    batch: int  # tokens a step, about
    short_note: int  # characters of a note in the short lessons, which come first: copying is learned sooner there
    short_lessons: int
    whole_lessons: int  # on whole notes, after that
    peak_rate: float
    warm_up: int  # steps
    prompt_weight: float  # of a prompt token's loss, an answer's token counting 1
    scrambled: float  # share of the lessons whose notes make no sense
    described: float  # share of prompts that show a description, where there is one


def settings(path: Path = RECIPE) -> Settings:
    return Settings(**yaml.safe_load(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing to learn, in tokens."""

    prompt: list[int]
    answer: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


def materials(cohort: Path, descriptions: Path | None, chosen: Settings) -> list[Material]:
    """Every row of a cohort of made-up records. Raises DeepicdError for credentialed ones."""
    knowledge = Knowledge(None, descriptions).read()
    found = []
    for split in SPLITS:
        path = cohort / f"{split}.parquet"
        if store.origin_of(path) == "mimic":
            raise DeepicdError(f"{path} holds credentialed records.", "The tiny teacher learns from made-up ones only.")
        for row in store.read_table(path, COHORT).to_pylist():
            code = Code(row["icd_code"])
            shown = random.Random(f"{chosen.seed}:{row['note_id']}").random() < chosen.described
            description = knowledge.description(code) if shown else None
            found.append(
                Material(row["admission_note"], code, row["icd_title"], description, None, with_guidelines=False)
            )
    return found


def shortened(material: Material, characters: int) -> Material:
    """The beginning of the note, up to the end of a line, and nothing else that is known of the code."""
    return replace(material, note=material.note[:characters].rpartition("\n")[0], description=None)


def vocabulary_of(materials: list[Material]) -> list[str]:
    """The words of the notes, each once."""
    return sorted({word for material in materials for word in WORDS.findall(material.note)})


def scrambled(material: Material, words: list[str], chance: random.Random) -> Material:
    """The same note with other words in the same places, headers apart, and such a title.

    Made-up notes are of one mould, and a model would rather learn the mould by heart than look at the note. From words
    that make no sense it can only quote by looking.
    """

    def other(found: re.Match[str]) -> str:
        word = chance.choice(words)
        return word.capitalize() if found[0][0].isupper() else word.lower()

    lines = (line if HEADER.match(line) else WORDS.sub(other, line) for line in material.note.split("\n"))
    return replace(material, note="\n".join(lines), title=WORDS.sub(other, material.title))


def pairs(tokenizer: Any, materials: list[Material], chosen: Settings) -> list[Pair]:
    """Prompts and lessons in tokens; a pair over the context is left out."""
    found = []
    for number, material in enumerate(materials):
        chat, answer = prompt.messages(material, LAYOUT), lesson(material, f"{chosen.seed}:{number}")
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        pair = Pair(*(tokenizer.encode(part, add_special_tokens=False) for part in (text, answer + END)))
        if pair.length <= chosen.context:
            found.append(pair)
    return found


def batches(pairs: list[Pair], tokens: int, chance: random.Random) -> list[list[Pair]]:
    """One epoch in random order, pairs of like length together, so that little is padded."""
    order = chance.sample(pairs, len(pairs))
    found: list[list[Pair]] = []
    for start in range(0, len(order), 256):
        room = 0
        for pair in sorted(order[start : start + 256], key=lambda pair: -pair.length):
            if room < pair.length:
                found.append([])
                room = tokens
            found[-1].append(pair)
            room -= pair.length
    return chance.sample(found, len(found))


def fresh_model(chosen: Settings, tokenizer: Any) -> Any:
    """A Qwen2 of the recipe's size with random weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(chosen.seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=chosen.vocabulary,
            hidden_size=chosen.width,
            intermediate_size=chosen.feed_forward,
            num_hidden_layers=chosen.layers,
            num_attention_heads=chosen.heads,
            num_key_value_heads=chosen.key_heads,
            max_position_embeddings=chosen.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            use_cache=True,
        )
    )


def train(model: Any, short: list[Pair], whole: list[Pair], chosen: Settings) -> Iterator[dict[str, float]]:
    """One line a step: loss of the answers, rate, tokens, seconds."""
    import torch

    chance = random.Random(chosen.seed)
    plan = batches(short, chosen.batch, chance)
    plan += batches(whole, chosen.batch, chance)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=chosen.peak_rate,
        betas=(0.9, 0.95),
    )
    model.train()
    for step, batch in enumerate(plan, start=1):
        began = time.perf_counter()
        rate = chosen.peak_rate * min(step / chosen.warm_up, 1 - 0.95 * step / len(plan))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, answers = _loss(model, batch, chosen.prompt_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield {
            "step": step,
            "of": len(plan),
            "answer_loss": answers,
            "tokens": sum(pair.length for pair in batch),
            "seconds": time.perf_counter() - began,
        }


def _loss(model: Any, batch: list[Pair], prompt_weight: float) -> tuple[Any, float]:
    """Weighted mean over the batch's tokens; the answers' own mean beside it."""
    import torch
    from torch.nn.functional import cross_entropy

    longest = max(pair.length for pair in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)  # padded at the right, where causal attention never looks
    weights = torch.zeros(len(batch), longest)
    for row, pair in enumerate(batch):
        ids[row, : pair.length] = torch.tensor(pair.prompt + pair.answer)
        weights[row, : len(pair.prompt)] = prompt_weight
        weights[row, len(pair.prompt) : pair.length] = 1.0
    logits = model(ids).logits[:, :-1]
    losses = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(batch), -1)
    weights = weights[:, 1:]
    answers = weights == 1.0
    return (losses * weights).sum() / weights.sum(), float(losses.detach()[answers].mean())


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--descriptions", type=click.Path(path_type=Path), help="descriptions.parquet of `deepicd scrape`.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Others, other last digits.")
def main(cohort: Path, out: Path, descriptions: Path | None, threads: int) -> None:
    """Train the tiny teacher on a made-up COHORT and write it to OUT as transformers and vLLM read it."""
    import torch

    torch.set_num_threads(threads)
    chosen = settings()
    chance = random.Random(chosen.seed)
    known = materials(cohort, descriptions, chosen)
    texts = [
        text
        for number, one in enumerate(known)
        for text in (prompt.messages(one, LAYOUT)[1]["content"], lesson(one, str(number)))
    ]
    tokenizer = learn(texts, chosen.vocabulary, chosen.context)
    words = vocabulary_of(known)
    short = [shortened(chance.choice(known), chosen.short_note) for _ in range(chosen.short_lessons)]
    short = [scrambled(one, words, chance) for one in short]
    whole = chance.sample(known, min(chosen.whole_lessons, len(known)))
    whole = [scrambled(one, words, chance) if chance.random() < chosen.scrambled else one for one in whole]
    model = fresh_model(chosen, tokenizer)
    first, then = pairs(tokenizer, short, chosen), pairs(tokenizer, whole, chosen)
    size = sum(weight.numel() for weight in model.parameters())
    click.echo(f"{size:,} parameters; {len(first):,} short lessons, {len(then):,} on whole notes", err=True)
    recent: list[float] = []
    tokens, began = 0, time.perf_counter()
    for line in train(model, first, then, chosen):
        tokens += int(line["tokens"])
        recent.append(line["answer_loss"])
        if line["step"] % 50 == 0 or line["step"] == line["of"]:
            rate = tokens / (time.perf_counter() - began)
            loss = sum(recent) / len(recent)
            click.echo(
                f"step {line['step']} of {line['of']}, loss of answers {loss:.3f}, {rate:,.0f} tokens/s", err=True
            )
            recent.clear()
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    click.echo(f"{NAME} → {out}")


if __name__ == "__main__":
    main()
