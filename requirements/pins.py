"""`pip freeze` on stdin → the pins of requirements/engines.txt: what the lock given does not hold already.

python -m pip freeze | python requirements/pins.py requirements/constraints.txt > requirements/engines.txt
"""

import re
import sys
from pathlib import Path

HEAD = "# What engines.in asks for, exactly, beside what is in constraints.txt; Linux. Made by `make lock-engines`."
APART = {"torch", "pip"}  # the Makefile has its version
X86 = "intel-"


def name(line: str) -> str:
    return re.sub(r"[-_.]+", "-", line.split("==")[0].strip().lower())


locked = {name(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()}
pins = [line.strip() for line in sys.stdin if "==" in line and name(line) not in locked | APART]
marked = (f'{pin} ; platform_machine == "x86_64"' if pin.startswith(X86) else pin for pin in pins)
print(HEAD, *sorted(marked, key=str.lower), sep="\n")
