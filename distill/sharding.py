"""A run that several processes complete together: `--shard 1/16` to `--shard 16/16`, then `--merge`.

    deepicd distill COHORT OUT --recipe R --shard 3/16     # an array of Slurm, an indexed job of Kubernetes
    deepicd distill COHORT OUT --recipe R --merge          # the files, byte for byte those of one process

All write to one OUT on a disk that they share, each into sessions of the ledger of its own; none waits for another one.
A shard that was stopped continues with the same command, on any node.
"""

from collections import Counter
from dataclasses import dataclass

from deepicd.engines.runner import explain_no_answers
from deepicd.engines.shard import Shard
from distill.run import Job, complete_rows, log_plan, open_plan


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """What became of the rows of a shard."""

    shard: Shard
    rows: int
    unanswered: dict[str, int]
    """Reason → requests."""

    def __str__(self) -> str:
        lines = [f"{str(self.shard).capitalize()}: all of {self.rows:,} rows are in the ledger."]
        if self.unanswered:
            left = sum(self.unanswered.values())
            lines = [f"{str(self.shard).capitalize()}: {self.rows:,} rows; {left:,} requests got no answer."]
            lines += [f"  {number:>7,} unanswered: {reason}" for reason, number in self.unanswered.items()]
            lines.append("  The same command asks for these again.")
        return "\n".join([*lines, "Once all shards have ended, run the same command with --merge."])


def run_shard(job: Job, shard: Shard) -> ShardSummary:
    """Complete the rows of a shard into the ledger; files are left to `--merge`."""
    sources, _ = job.prepare()
    with open_plan(job, sources) as (plan, history):
        log_plan(plan, history)
        reasons = complete_rows(job, plan, history)
        waiting, rows = len(plan.waiting), plan.counts["rows"]
    unanswered = dict(Counter(reasons.values()).most_common())
    if reasons and len(reasons) == waiting == rows:
        raise explain_no_answers(unanswered)
    return ShardSummary(shard, rows, unanswered)
