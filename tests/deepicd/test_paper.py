"""What recipes that bear the paper's name say is what the paper says."""

import pytest
import yaml
from conftest import REPOSITORY

from deepicd import paper


def read_recipe(path: str) -> dict[str, object]:
    return yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "figures"),
    [
        (
            "distill/recipes/paper.yaml",
            {"temperature": paper.TEMPERATURE, "seed": paper.SEED, "max_tokens": paper.MAX_NEW_TOKENS},
        ),
        (
            "train/recipes/sft-7b.yaml",
            {
                "epochs": paper.SFT_EPOCHS,
                "effective_batch": paper.SFT_BATCH,
                "learning_rate": paper.SFT_LEARNING_RATE,
                "warmup_steps": paper.SFT_WARMUP_STEPS,
            },
        ),
        (
            "train/recipes/grpo-zero-7b.yaml",
            {
                "batch": paper.GRPO_BATCH,
                "rollouts": paper.GRPO_ROLLOUTS,
                "temperature": paper.TEMPERATURE,
                "kl": paper.GRPO_KL,
                "learning_rate": paper.GRPO_LEARNING_RATE,
                "warmup_steps": paper.GRPO_WARMUP_STEPS,
                "max_prompt": paper.MAX_PROMPT_TOKENS,
                "max_response": paper.MAX_NEW_TOKENS,
                "mini_batch": paper.GRPO_MINI_BATCH,
                "micro_batch": paper.GRPO_MICRO_BATCH,
                "entropy": paper.GRPO_ENTROPY,
                "epochs": paper.GRPO_EPOCHS,
                "devices": paper.GRPO_DEVICES,
            },
        ),
        ("train/recipes/grpo-7b-authors.yaml", {"judge_weight": paper.JUDGE_WEIGHT}),
    ],
)
def test_a_recipe_has_the_figures_of_the_paper(path, figures):
    recipe = read_recipe(path)
    assert {name: recipe[name] for name in figures} == figures


def test_the_splits_make_up_the_dataset_and_shares_of_descriptions_the_paper_s_total():
    assert sum(paper.MIMIC_REASON.rows.values()) == paper.MIMIC_REASON.samples
    assert sum(paper.DESCRIPTIONS_BY_LENGTH.values()) == 11_788
