"""The sections that `deepicd build` keeps, held against gold.parquet of a copy that `deepicd synthesize` made.

Lines known at admission, the share of them that is kept, the share of what is kept that is right, and lines that leak.
"Right" is below one where a heading over admission labs or exam comes out too: gold has no such lines.
Run: python -m benchmarks.sections COPY
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import RESULTS
from builders.cohort.headers import ORDER
from builders.synthetic.extraction_score import scored


def main(copy: Path) -> None:
    scores = scored(copy)
    print(f"{'section':<30}{'known':>12}{'kept':>9}{'right':>9}{'leaked':>9}")
    for section in sorted(scores, key=lambda name: ORDER.get(name, len(ORDER))):
        score = scores[section]
        if score.known or score.found or score.leaked:
            print(f"{section:<30}{score.known:>12,}{score.recall:>9.3%}{score.precision:>9.3%}{score.leaked:>9,}")
    known, right = sum(s.known for s in scores.values()), sum(s.right for s in scores.values())
    leaked = sum(score.leaked for score in scores.values())
    print(f"{'all':<30}{known:>12,}{right / known:>9.3%}{'':>9}{leaked:>9,}")
    found = {section: asdict(score) for section, score in sorted(scores.items())}
    (RESULTS / "sections.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
