"""What gives way first as a cohort grows: the number of rows at which a stage outgrows one machine.

The machine is eight H100, 64 GB of main memory, 4 TB of disk, and nobody waits for longer than a week. Each limit is
linear in the rows, from the same constants as the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from distill.plan_line import GB, format_count

GPUS, MEMORY, DISK, HOURS = 8, 64 * GB, 4_000 * GB, 7 * 24
HEADING = "What gives way first, on eight H100 with 64 GB of memory and 4 TB of disk, within a week:"
CHECKED_PER_SECOND = 130  # traces per core, with evidence (benchmarks.evidence)


@dataclass(frozen=True, slots=True, order=True)
class Limit:
    """The number of rows at which something gives way, and what to do then."""

    rows: int
    what: str
    then: str

    def __str__(self) -> str:
        return f"about {format_count(self.rows)} rows: {self.what}; {self.then}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PerRow:
    """What one row of the cohort takes."""

    gpu_hours: float
    """Of the recipe's size of model, untuned."""
    model: str
    client_memory: float
    card_memory: float
    disk: float
    """All stages together."""
    rollouts: int


def list_limits(per_row: PerRow) -> list[Limit]:
    """Return the limits in the order in which they are met."""
    return sorted(_find_limits(per_row))


def _find_limits(per_row: PerRow) -> Iterator[Limit]:
    yield Limit(
        int(GPUS * HOURS / per_row.gpu_hours),
        f"{per_row.model} needs more than a week on {GPUS} H100, untuned",
        "use several nodes (--shard, --engine ray), tune the server, or make fewer rollouts",
    )
    yield Limit(
        int(HOURS * 3600 * CHECKED_PER_SECOND / per_row.rollouts),
        "checks need more than a week on one core",
        "divide the run: --workers, --shard",
    )
    yield Limit(int(DISK / per_row.disk), f"all stages need more than {DISK / 1e12:.0f} TB of disk", "use s3:// or NFS")
    yield Limit(
        int(MEMORY / per_row.client_memory),
        f"the plan of one `distill` process needs more than {MEMORY / GB:.0f} GB of memory",
        "divide the run: each shard holds only its own rows",
    )
    yield Limit(
        int(MEMORY / per_row.card_memory),
        f"`card` needs more than {MEMORY / GB:.0f} GB of memory",
        "describe the dataset in parts; nothing of ours divides a card",
    )
