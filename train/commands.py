"""`deepicd train …`: the commands of this stage. What each of them does is imported when it is called."""

import click

from train.training_commands import grpo, sft


@click.group()
def train() -> None:
    """Train models on the dataset folder, and look at what rewards pay before a GPU is spent on them.

    \b
    deepicd train bench-rewards out/cohort
    """


train.add_command(sft)
train.add_command(grpo)


@train.command("bench-rewards")
def bench_rewards() -> None:
    """Show what each reward pays for good, bad and hostile answers."""
