"""`deepicd train …`: the commands of this stage. What each of them does is imported when it is called."""

import click

from train.measuring import bench_rewards, table


@click.group()
def train() -> None:
    """Train models on the dataset folder, and look at what rewards pay before a GPU is spent on them.

    \b
    deepicd train bench-rewards out/cohort
    """


train.add_command(bench_rewards)
train.add_command(table)
