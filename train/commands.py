"""`deepicd train …`: the commands of this stage. What each of them does is imported when it is called."""

import click

from train.evaluation.commands import bench_rewards, table
from train.training_commands import demo, grpo, sft


@click.group()
def train() -> None:
    """Train models on the dataset folder, and look at what rewards pay before a GPU is spent on them.

    \b
    deepicd train bench-rewards out/cohort
    """


for command in (sft, grpo, demo, bench_rewards, table):
    train.add_command(command)
