"""Train the tiny teacher on a made-up cohort: `make teacher`, or by hand

    deepicd demo out/lessons --admissions 16000 --seed 11
    python -m distill.tiny_teacher.train out/lessons/cohort out/tiny-teacher \
        --descriptions out/lessons/descriptions/descriptions.parquet

A plain PyTorch loop over pairs of prompt and lesson (see lessons.py and curriculum.py) from weights that can copy (see
start.py); loss on the answers alone. One seed, one order of lessons, one start; the same weights again on the same kind
of machine with the same number of threads. No GPU is asked for.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from deepicd.answer_form import DIAGNOSIS
from distill import prompt
from distill.tiny_teacher import NAME, RECIPE, curriculum
from distill.tiny_teacher.curriculum import Pair
from distill.tiny_teacher.initial_weights import Shape, fresh_model, with_copying
from distill.tiny_teacher.lessons import lesson
from distill.tiny_teacher.tokenizer import SPACE, learn, spaced

BEFORE_CODE = "as"  # the word after which the prompt has the code that the answer has after its tag
REPORT = 20  # steps between two lines
SAVE = 50  # steps between two copies of the weights as far as they are


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the weights; recipe.yaml beside this file."""

    seed: int
    shape: Shape
    batch: int  # tokens a step, about
    answers: int  # lessons of each prompt
    short_lines: int  # of each section in the short prompts, which come first
    short_prompts: int
    whole_prompts: int  # with whole notes, after that
    peak_rate: float
    warm_up: int  # steps
    scrambled: float  # share of the prompts whose notes make no sense
    described: float  # share of the whole prompts that show a description, where there is one


def settings(path: Path = RECIPE) -> Settings:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Settings(**values | {"shape": Shape(**values["shape"])})


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--descriptions", type=click.Path(path_type=Path), help="descriptions.parquet of `deepicd scrape`.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="Others, other last digits.")
@click.option("--recipe", type=click.Path(path_type=Path), default=RECIPE, show_default=True)
def main(cohort: Path, out: Path, descriptions: Path | None, threads: int, recipe: Path) -> None:
    """Train the tiny teacher on a made-up COHORT and write it to OUT as transformers and vLLM read it."""
    import torch

    torch.set_num_threads(threads)
    chosen = settings(recipe)
    tokenizer, short, whole = lessons(cohort, descriptions, chosen)
    alike = [tuple(tokenizer.convert_tokens_to_ids([f"{SPACE}{BEFORE_CODE}", DIAGNOSIS]))]
    model = with_copying(fresh_model(chosen.shape, tokenizer, chosen.seed), spaced(tokenizer), alike)
    size = sum(weight.numel() for weight in model.parameters())
    click.echo(f"{size:,} parameters; {len(short):,} short prompts, {len(whole):,} with whole notes", err=True)
    recent: list[dict[str, float]] = []
    for line in train(model, short, whole, chosen):
        recent.append(line)
        if line["step"] % REPORT == 0 or line["step"] == line["of"]:
            loss, right = (sum(one[key] for one in recent) / len(recent) for key in ("loss", "right"))
            rate = sum(one["tokens"] for one in recent) / sum(one["seconds"] for one in recent)
            click.echo(
                f"step {line['step']} of {line['of']}, loss {loss:.3f}, {right:.1%} of tokens right,"
                f" {rate:,.0f} tokens/s",
                err=True,
            )
            recent.clear()
        if line["step"] % SAVE == 0:
            write(model, tokenizer, out)
    write(model, tokenizer, out)
    click.echo(f"{NAME} → {out}")


def lessons(cohort: Path, descriptions: Path | None, chosen: Settings) -> tuple[Any, list[Pair], list[Pair]]:
    """The tokenizer, the short pairs, and those of whole notes."""
    chance = random.Random(chosen.seed)
    known = curriculum.materials(cohort, descriptions, chosen.described, chosen.seed)
    tokenizer = learn(
        (
            text
            for number, one in enumerate(known)
            for text in (
                prompt.build_messages(one, curriculum.LAYOUT)[1]["content"],
                lesson(one, str(number)),
                one.note.replace(" ", "\n"),  # so that a word with a space before it and without are both entries
            )
        ),
        chosen.shape.vocabulary,
        chosen.shape.context,
    )
    words = curriculum.vocabulary_of(known)

    def drawn(number: int, name: str, lines: int | None) -> list[Pair]:
        some = [chance.choice(known) for _ in range(number)]
        some = [curriculum.shortened(one, lines) if lines else one for one in some]
        some = [curriculum.scrambled(one, words, chance) if chance.random() < chosen.scrambled else one for one in some]
        return curriculum.pairs(tokenizer, some, chosen.answers, chosen.shape.context, f"{chosen.seed}:{name}")

    return (
        tokenizer,
        drawn(chosen.short_prompts, "short", chosen.short_lines),
        drawn(chosen.whole_prompts, "whole", None),
    )


def train(model: Any, short: Sequence[Pair], whole: Sequence[Pair], chosen: Settings) -> Iterator[dict[str, float]]:
    """One line a step: loss of the answers, share of their tokens that were the likeliest, tokens, seconds."""
    import torch

    chance = random.Random(chosen.seed)
    plan = curriculum.batches(short, chosen.batch, chance) + curriculum.batches(whole, chosen.batch, chance)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=chosen.peak_rate,
        betas=(0.9, 0.95),
    )
    model.train()
    for step, batch in enumerate(plan, start=1):
        began = time.perf_counter()
        rate = chosen.peak_rate * min(step / chosen.warm_up, 1 - 0.97 * step / len(plan))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, right = _loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield {
            "step": step,
            "of": len(plan),
            "loss": float(loss.detach()),
            "right": right,
            "tokens": sum(pair.length for pair in batch),
            "seconds": time.perf_counter() - began,
        }


def _loss(model: Any, batch: Sequence[Pair]) -> tuple[Any, float]:
    """Mean over the tokens of the answers, and how many of them were the likeliest. A prompt is read once for all."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    prompts = [torch.tensor(pair.prompt) for pair in batch]
    answers = [torch.tensor(answer) for pair in batch for answer in pair.answers]
    ids = pad_sequence(prompts, batch_first=True)  # padded at the right, where causal attention never looks
    written = pad_sequence(answers, batch_first=True)
    each = len(answers) // len(batch)
    lengths = torch.tensor([len(pair.prompt) for pair in batch]).repeat_interleave(each)[:, None]
    read = model.model(ids, use_cache=True).past_key_values
    read.batch_repeat_interleave(each)
    asked, places = written[:, :-1], torch.arange(written.shape[1] - 1)
    seen = torch.cat(
        [
            (torch.arange(ids.shape[1]) < lengths)[:, None].expand(-1, asked.shape[1], -1),
            torch.ones(len(answers), asked.shape[1], asked.shape[1], dtype=torch.bool).tril(),
        ],
        dim=-1,
    )
    hidden = model.model(
        asked, position_ids=lengths + places, attention_mask=seen[:, None], past_key_values=read, use_cache=True
    ).last_hidden_state
    wanted = written[:, 1:]
    learned = wanted > 0  # 0 is the padding
    logits = model.lm_head(hidden[learned])
    right = (logits.detach().argmax(-1) == wanted[learned]).float().mean()
    return cross_entropy(logits, wanted[learned]), float(right)


def write(model: Any, tokenizer: Any, out: Path) -> None:
    """The model in bfloat16, and its tokenizer."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
