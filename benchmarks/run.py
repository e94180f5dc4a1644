"""Run every benchmark that needs no input file. Run: make benchmarks

`benchmarks.guidelines` needs the guideline PDF: python -m benchmarks.guidelines PDF
"""

from benchmarks import build, distill, publish, rewards, scrape, startup


def main() -> None:
    startup.main()
    build.main()
    scrape.main()
    distill.main()
    rewards.main()
    publish.main()


if __name__ == "__main__":
    main()
