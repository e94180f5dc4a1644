"""The rewards for verl with a line of record for each answer, so that guard rails can look at every step.

    reward.custom_reward_function.path=pkg://train.rewards.verl_log
    +reward.custom_reward_function.reward_kwargs.record=FOLDER

verl calls from several processes, none of which sees a whole group. Each appends to a file of its own; the run's own
process reads them all. A line has the time, the prompt's place in the dataset, what was paid, and measures of the text,
never the text.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepicd.repetition import measure_repetition
from train.rewards import verl

PROMPT = "prompt"


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    *,
    record: str,
    **fields: Any,
) -> dict[str, float]:
    """What train.rewards.verl pays, written down."""
    paid = verl.compute_score(data_source, solution_str, ground_truth, extra_info, **fields)
    words = (solution_str or "").split()
    line = {
        "at": time.time(),
        PROMPT: int((extra_info or {}).get("index", -1)),
        "words": len(words),
        "repeated": measure_repetition(words),
        **paid,
    }
    path = Path(record) / f"{os.uname().nodename}-{os.getpid()}.jsonl"
    with path.open("a", encoding="utf-8") as file:  # one write of a line: threads of this process do not mix theirs
        file.write(json.dumps(line) + "\n")
    return paid
