"""A share of a run's rows: `--shard 3/16` is the third of sixteen processes that complete a run together.

    #SBATCH --array=1-16
    deepicd distill COHORT OUT --recipe RECIPE --shard $SLURM_ARRAY_TASK_ID/16

A row belongs to a shard by the digest of its note's id, so that every process knows its rows without asking others.
"""

import hashlib
import re
from dataclasses import dataclass

from deepicd.errors import DeepicdError
from deepicd.lease import LOCK


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `total` processes.

    >>> str(Shard.parse("3/16")), Shard.parse("3/16").find_number(20), WHOLE.find_number(20)
    ('shard 3 of 16', 34, 20)
    """

    number: int  # from 1
    total: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that '3/16' names. Raises DeepicdError."""
        match = re.fullmatch(r"(\d{1,5})/(\d{1,5})", text, re.ASCII)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise DeepicdError(
                f"{text!r} is not a shard.", "Write it like 3/16: the third of sixteen; the first is 1/16."
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def is_part(self) -> bool:
        return self.total > 1

    @property
    def suffix(self) -> str:
        """What tells its own files from those of other shards: '-3-of-16', or '' for all rows."""
        return f"-{self.number}-of-{self.total}" if self.is_part else ""

    @property
    def lock(self) -> str:
        """The name of its lock file in a ledger."""
        return LOCK + self.suffix

    def admits(self, lock: str) -> bool:
        """Return whether the owner of another lock file may write at the same time: another shard of this division."""
        return self.is_part and lock.endswith(f"-of-{self.total}")

    def has(self, note_id: str) -> bool:
        """Return whether a row is this shard's."""
        digest = hashlib.sha256(note_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.total == self.number - 1

    def find_number(self, first: int) -> int:
        """Return the first number from `first` on that no other shard uses for a session of its own."""
        return first + (self.number - 1 - first) % self.total

    def owns_number(self, number: int) -> bool:
        """Return whether a session of this number, or a segment that begins with it, is this shard's.

        >>> Shard(3, 16).owns_number(34), Shard(4, 16).owns_number(34)
        (True, False)
        """
        return number % self.total == self.number - 1

    def __str__(self) -> str:
        return f"shard {self.number} of {self.total}" if self.is_part else "all rows"


WHOLE = Shard(1, 1)


def name_holder(lock: str) -> str:
    """Return whose lock file of a ledger this is: 'shard 3 of 16', or 'a whole run'."""
    return lock.removeprefix(LOCK).replace("-", " ").replace(" ", "shard ", 1) or "a whole run"
