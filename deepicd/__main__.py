"""The entry point of the command. Ctrl-C prints no traceback, even while Python is still importing."""

import sys


def main() -> None:
    try:
        from deepicd.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
