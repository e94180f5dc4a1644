"""Compose and check verl's configuration without starting anything; run by train.grpo.verl_config as a subprocess.

Run: python -m train.grpo.verl_check OVERRIDES.json    (writes config.yaml; the last line of stderr says what is wrong)
"""

import json
import sys
from pathlib import Path


def check(asked: Path) -> None:
    """Raises what Hydra or verl raise, and RuntimeError where verl would not pay our rewards."""
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=json.loads(asked.read_text(encoding="utf-8")))
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    OmegaConf.resolve(config)
    if any(value is not None for value in config.get("custom_reward_function", {}).values()):
        raise RuntimeError("the keys custom_reward_function.* are those of verl before 0.9, and are ignored.")
    (asked.parent / "config.yaml").write_text(OmegaConf.to_yaml(config), encoding="utf-8")

    record = asked.parent / "tried"
    record.mkdir()
    fields = config.reward.custom_reward_function.reward_kwargs
    fields.record, fields.judge = str(record), 0.0  # the judge is not asked for this
    paid = get_custom_reward_fn(config)
    opening = fields.opening
    right = "<think>\nFever.\n</think>\n<diagnosis>A000</diagnosis>"
    answer = right.removeprefix("<think>\n") if opening else right
    score = (
        paid(data_source="", solution_str=answer, ground_truth="A000", extra_info={"index": 0})["score"] if paid else 0
    )
    if not any(record.iterdir()) or not score > 0:
        raise RuntimeError(
            f"verl would not pay with our rewards (a right answer earned {score}): it did not take their keys."
        )


if __name__ == "__main__":
    try:
        check(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - any of verl's, told in one line
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
