"""Compare the time of `deepicd --help` with that of an empty Python program.

Run: python -m benchmarks.startup
"""

from benchmarks.measure import compare, python, record, run

HELP = "from deepicd.cli import main; main(['--help'])"


def main() -> None:
    comparison = compare(
        "deepicd --help", lambda: run(python(HELP)), "python -c pass", lambda: run(python("pass")), rounds=15
    )
    record("startup", [comparison], ["click"])


if __name__ == "__main__":
    main()
