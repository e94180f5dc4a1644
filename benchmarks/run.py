"""All benchmarks, one after the other. Run: make benchmarks"""

from benchmarks import build, startup


def main() -> None:
    startup.main()
    build.main()


if __name__ == "__main__":
    main()
