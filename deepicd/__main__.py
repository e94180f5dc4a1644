"""The entry point of the command. Ctrl-C prints no traceback, even while Python is still importing."""

import os
import sys
from pathlib import Path


def main() -> None:
    try:
        _leave_working_folder()
        from deepicd.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def _leave_working_folder() -> None:
    """Find no module in the working folder, which may have a train.py of its own, unless deepicd itself lies there."""
    from deepicd.own_packages import ROOT

    if __name__ == "__main__" and not sys.flags.safe_path and Path(sys.path[0]).resolve() != ROOT:
        del sys.path[0]  # of `python -m deepicd`
        os.environ["PYTHONSAFEPATH"] = "1"  # of `python -m` in the processes that it starts


if __name__ == "__main__":
    main()
