"""A dataset folder of made-up rows with short notes, and models so small that a step of training takes no time."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

from cohorts import list_made_up_inputs

from deepicd import records, storage
from deepicd.answer_form import write_answer, write_answers
from deepicd.icd10cm import Code
from deepicd.prompts.student import SEVERAL, build_messages
from deepicd.prompts.template import load_own
from deepicd.schema import CONFIGS, VERIFIED
from deepicd.stage_records import VerifyRecord
from deepicd.storage import Origin
from distill.verification.recipe import load_recipe
from distill.verification.run import Tally

COMPLAINTS = {"J189": "Cough and fever", "I2510": "Chest pain", "N390": "Burning urination", "R51": "Headache"}


def small_dataset(
    folder: Path, rows: int = 48, configs: tuple[str, ...] = ("sft", "grpo"), origin: Origin = "synthetic"
) -> Path:
    """OUT of `deepicd assemble` in small; its rows are made up, whatever `origin` says."""
    chance = random.Random(7)
    plan = records.plan_run("assemble", options={}, inputs=list_made_up_inputs(origin))
    numbers = {"train": rows, "validation": 8, "test": 8}
    with records.open_fresh_folder(folder, plan, origin) as run:
        for split, number in numbers.items():
            made = [_row(split, place, chance) for place in range(number)]
            for config in configs:
                path = run.folder / config / f"{split}-00000-of-00001.parquet"
                storage.write_parquet(path, [one[config] for one in made], CONFIGS[config], origin)
        run.counts = records.Counts(rows=dict.fromkeys(configs, numbers))
    return folder


def small_verification(folder: Path, notes: list[str]) -> Path:
    """OUT of `deepicd verify` in small: two points per stay."""
    recipe = load_recipe(Path("rehearsal"))
    row = dict.fromkeys(VERIFIED.names) | {"split": "train"}
    rows = [
        row | {"note_id": note, "points": [{"question": f"Is it {place % 7} {k}?", "is_met": None} for k in "ab"]}
        for place, note in enumerate(notes)
    ]
    plan = records.plan_run(VerifyRecord, options=recipe.options, inputs=list_made_up_inputs("synthetic"))
    with records.open_fresh_folder(folder, plan, "synthetic") as run:
        (run.folder / "verified").mkdir()
        storage.write_parquet(run.folder / "verified" / "train-00000.parquet", rows, VERIFIED, "synthetic")
        run.counts = Tally(recipe).summarize(Counter())
    return folder


def _row(split: str, place: int, chance: random.Random) -> dict[str, dict[str, Any]]:
    code = chance.choice(list(COMPLAINTS))
    note = f"Chief Complaint:\n{COMPLAINTS[code]} for {chance.randint(2, 9)} days\n\nSex:\n{chance.choice('FM')}"
    note_id = f"{place}-DS-{split}"
    answer = write_answer(f"The complaint is {COMPLAINTS[code].lower()}.", Code(code))
    asked = build_messages(note)
    info = {"split": split, "index": place, "note_id": note_id, "note": note}
    several = write_answers(f"The complaint is {COMPLAINTS[code].lower()}.", [Code(code), Code("I10")])
    return {
        "multi": {
            "data_source": "deepicd/mimic-reason",
            "prompt": build_messages(note, load_own(SEVERAL)),
            "ability": "diagnosis",
            "reward_model": {"style": "rule", "ground_truth": f"{code}, I10"},
            "extra_info": info,
            "completion": [{"role": "assistant", "content": several}] if place % 4 else None,
            "note_id": note_id,
            "icd_codes": [code, "I10"],
            "not_supported": ["N179"],
            "support": [],
        },
        "sft": {
            "prompt": asked,
            "completion": [{"role": "assistant", "content": answer}],
            "note_id": note_id,
            "icd_code": code,
        },
        "grpo": {
            "data_source": "deepicd/mimic-reason",
            "prompt": asked,
            "ability": "diagnosis",
            "reward_model": {"style": "rule", "ground_truth": code},
            "extra_info": info,
        },
    }


def small_model(folder: Path, *, template: str | None = None, layers: int = 2, width: int = 128) -> Path:
    """A Qwen2 with random weights and the shipped model's tokenizer; `template` replaces its chat template."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    from distill.tiny_teacher import WEIGHTS

    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    if template is not None:
        tokenizer.chat_template = template or None
    torch.manual_seed(7)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
