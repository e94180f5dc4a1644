"""`deepicd train …`: the commands of this stage. What each of them does is imported when it is called."""

import click


@click.group()
def train() -> None:
    """Train models on the dataset folder, and look at what rewards pay before a GPU is spent on them.

    \b
    deepicd train bench-rewards out/cohort
    """


@train.command("bench-rewards")
def bench_rewards() -> None:
    """Show what each reward pays for good, bad and hostile answers."""
