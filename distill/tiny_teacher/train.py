"""Train the tiny teacher on a made-up cohort: `make teacher`, or by hand

    deepicd demo out/lessons --admissions 16000 --seed 11
    python -m distill.tiny_teacher.train out/lessons/cohort out/tiny-teacher \
        --descriptions out/lessons/descriptions/descriptions.parquet

A plain PyTorch loop over pairs of prompt and lesson (lessons.py) from weights that can copy (initial_model.py); loss on
the answers alone. The same seed gives the same weights on the same kind of machine with the same number of threads. No
GPU is needed.
"""

import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from deepicd import log
from deepicd.answer_form import DIAGNOSIS
from deepicd.parsing import parse_yaml
from distill import prompt
from distill.tiny_teacher import NAME, RECIPE, lessons
from distill.tiny_teacher.initial_model import (
    SPACE,
    Shape,
    add_copying_heads,
    build_model,
    find_spaced_pairs,
    train_tokenizer,
)
from distill.tiny_teacher.lessons import Pair

logger = logging.getLogger(__name__)

BEFORE_CODE = "as"  # the word after which the prompt has the code that the answer has after its tag
LOG_EVERY = 20  # steps
SAVE_EVERY = 50  # steps


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the weights; recipe.yaml beside this file."""

    seed: int
    shape: Shape
    batch: int  # tokens per step, about
    answers: int  # lessons per prompt
    short_lines: int  # of each section in the short prompts, which come first
    short_prompts: int
    whole_prompts: int  # with whole notes, after that
    peak_rate: float
    warm_up: int  # steps
    scrambled: float  # share of the prompts with other words in the note
    described: float  # share of the whole prompts that show a description, where there is one


def load_settings(path: Path = RECIPE) -> Settings:
    values = parse_yaml(path.read_bytes())
    return Settings(**values | {"shape": Shape(**values["shape"])})


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--descriptions", type=click.Path(path_type=Path), help="descriptions.parquet of `deepicd scrape`.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Another number changes the last digits.",
)
@click.option("--recipe", type=click.Path(path_type=Path), default=RECIPE, show_default=True)
def main(cohort: Path, out: Path, descriptions: Path | None, threads: int, recipe: Path) -> None:
    """Train the tiny teacher on a made-up COHORT and write it to OUT as transformers and vLLM read it."""
    import torch

    log.configure(packages=["distill"])
    torch.set_num_threads(threads)
    settings = load_settings(recipe)
    tokenizer, short, whole = build_curriculum(cohort, descriptions, settings)
    alike = [tuple(tokenizer.convert_tokens_to_ids([f"{SPACE}{BEFORE_CODE}", DIAGNOSIS]))]
    model = build_model(settings.shape, tokenizer, settings.seed)
    model = add_copying_heads(model, find_spaced_pairs(tokenizer), alike)
    size = sum(weight.numel() for weight in model.parameters())
    logger.info("%s parameters; %s short prompts, %s with whole notes.", f"{size:,}", len(short), len(whole))
    recent: list[dict[str, float]] = []
    for step in train_model(model, short, whole, settings):
        recent.append(step)
        if step["step"] % LOG_EVERY == 0 or step["step"] == step["of"]:
            loss, accuracy = (sum(entry[key] for entry in recent) / len(recent) for key in ("loss", "accuracy"))
            rate = sum(entry["tokens"] for entry in recent) / sum(entry["seconds"] for entry in recent)
            progress = f"step {step['step']:.0f} of {step['of']:.0f}"
            logger.info("%s: loss %.3f, %.1f %% of tokens right, %.0f tokens/s", progress, loss, 100 * accuracy, rate)
            recent.clear()
        if step["step"] % SAVE_EVERY == 0:
            save_model(model, tokenizer, out)
    save_model(model, tokenizer, out)
    click.echo(f"{NAME} → {out}")


def build_curriculum(cohort: Path, descriptions: Path | None, settings: Settings) -> tuple[Any, list[Pair], list[Pair]]:
    """Return the tokenizer, the short pairs, and those with whole notes."""
    chance = random.Random(settings.seed)
    materials = lessons.read_materials(cohort, descriptions, settings.described, settings.seed)
    tokenizer = train_tokenizer(
        (
            text
            for number, material in enumerate(materials)
            for text in (
                prompt.build_messages(material, lessons.LAYOUT)[1]["content"],
                lessons.write_lesson(material, str(number)),
                material.note.replace(" ", "\n"),  # so that each word is an entry with a space before it and without
            )
        ),
        settings.shape.vocabulary,
        settings.shape.context,
    )
    words = lessons.list_words(materials)

    def draw_pairs(number: int, name: str, lines: int | None) -> list[Pair]:
        drawn = [chance.choice(materials) for _ in range(number)]
        if lines:
            drawn = [lessons.shorten(material, lines) for material in drawn]
        drawn = [
            lessons.scramble(material, words, chance) if chance.random() < settings.scrambled else material
            for material in drawn
        ]
        seed = f"{settings.seed}:{name}"
        return lessons.build_pairs(tokenizer, drawn, settings.answers, settings.shape.context, seed)

    short = draw_pairs(settings.short_prompts, "short", settings.short_lines)
    return tokenizer, short, draw_pairs(settings.whole_prompts, "whole", None)


def train_model(
    model: Any, short: Sequence[Pair], whole: Sequence[Pair], settings: Settings
) -> Iterator[dict[str, float]]:
    """Train, yielding per step: loss of the answers, share of their tokens that were likeliest, tokens, seconds."""
    import torch

    chance = random.Random(settings.seed)
    plan = lessons.build_batches(short, settings.batch, chance) + lessons.build_batches(whole, settings.batch, chance)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=settings.peak_rate,
        betas=(0.9, 0.95),
    )
    model.train()
    for step, batch in enumerate(plan, start=1):
        started = time.perf_counter()
        rate = settings.peak_rate * min(step / settings.warm_up, 1 - 0.97 * step / len(plan))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, accuracy = _compute_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield {
            "step": step,
            "of": len(plan),
            "loss": float(loss.detach()),
            "accuracy": accuracy,
            "tokens": sum(pair.length for pair in batch),
            "seconds": time.perf_counter() - started,
        }


def _compute_loss(model: Any, batch: Sequence[Pair]) -> tuple[Any, float]:
    """Return the mean loss of the answers' tokens, and the share that were likeliest. Each prompt is read once."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.utils.rnn import pad_sequence

    prompts = [torch.tensor(pair.prompt) for pair in batch]
    answers = [torch.tensor(answer) for pair in batch for answer in pair.answers]
    ids = pad_sequence(prompts, batch_first=True)  # padded at the right, where causal attention never looks
    targets = pad_sequence(answers, batch_first=True)
    per_prompt = len(answers) // len(batch)
    lengths = torch.tensor([len(pair.prompt) for pair in batch]).repeat_interleave(per_prompt)[:, None]
    cache = model.model(ids, use_cache=True).past_key_values
    cache.batch_repeat_interleave(per_prompt)
    inputs, positions = targets[:, :-1], torch.arange(targets.shape[1] - 1)
    mask = torch.cat(
        [
            (torch.arange(ids.shape[1]) < lengths)[:, None].expand(-1, inputs.shape[1], -1),
            torch.ones(len(answers), inputs.shape[1], inputs.shape[1], dtype=torch.bool).tril(),
        ],
        dim=-1,
    )
    hidden = model.model(
        inputs, position_ids=lengths + positions, attention_mask=mask[:, None], past_key_values=cache, use_cache=True
    ).last_hidden_state
    labels = targets[:, 1:]
    is_text = labels > 0  # 0 is the padding
    logits = model.lm_head(hidden[is_text])
    accuracy = (logits.detach().argmax(-1) == labels[is_text]).float().mean()
    return cross_entropy(logits, labels[is_text]), float(accuracy)


def save_model(model: Any, tokenizer: Any, out: Path) -> None:
    """Write the model in bfloat16, and its tokenizer."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
