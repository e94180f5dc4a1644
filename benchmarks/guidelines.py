"""Compare `deepicd guidelines` with pdfplumber's extract_text; measure how much shorter prompts become.

pdfplumber only reads the text of every page, serially; ours also finds structure, marks and references, and writes the
files. The second figure compares a code's whole chapter with the sections that apply to it, over the codes of a made-up
cohort.

Run: python -m benchmarks.guidelines PDF [ADMISSIONS]
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import mean, median

from benchmarks.measure import RESULTS, Cost, compare, deepicd, python, record, run

PDFPLUMBER = """
import sys, pdfplumber
with pdfplumber.open(sys.argv[1]) as pdf:
    for page in pdf.pages:
        page.extract_text()
        page.close()
"""
BUDGET = 1024  # tokens of guidelines in a prompt


def main(pdf: Path, admissions: int = 2000) -> None:
    """Compare speed and memory, then the lengths of prompts."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        out, peaks = folder / "guidelines", list[float]()

        def parse() -> Cost:
            shutil.rmtree(out, ignore_errors=True)
            return run(deepicd("guidelines", pdf, out))

        def extract_text() -> Cost:
            cost = run(python(PDFPLUMBER, pdf))
            peaks.append(cost.peak_mib)
            return cost

        comparison = compare("guidelines", parse, "pdfplumber's extract_text, page by page", extract_text, rounds=2)
        record("guidelines", [comparison], ["pypdfium2", "pdfplumber"])
        print(f"pdfplumber: {max(peaks):.0f} MiB at most")
        again = run(deepicd("guidelines", pdf, out))
        print(f"second run on the same PDF: {again.seconds:.2f} s")

        copy, cohort = folder / "copy", folder / "cohort"
        run(deepicd("synthesize", copy, "--admissions", str(admissions)))
        run(deepicd("build", "--mimic", copy, "--notes", copy, cohort))
        (year,) = out.iterdir()
        compare_prompts(year, cohort)


def compare_prompts(year: Path, cohort: Path) -> None:
    """Compare the guidelines in a prompt: the whole chapter, and the sections that apply to the code."""
    import pyarrow.dataset as ds

    from deepicd.engines.tokens import estimate_tokens
    from deepicd.icd10cm import Code
    from deepicd.knowledge.code_knowledge import Knowledge
    from deepicd.schema import SPLITS

    knowledge = Knowledge(year)
    rows = ds.dataset([cohort / f"{split}.parquet" for split in SPLITS]).to_table(columns=["icd_code"])
    codes = [Code(value) for value in rows["icd_code"].to_pylist()]
    whole = [estimate_tokens(knowledge.find_guidelines(code) or "") for code in codes]
    excerpts = [estimate_tokens(knowledge.build_excerpt(code, max_tokens=BUDGET) or "") for code in codes]
    result = {
        "codes": len(codes),
        "budget": BUDGET,
        "whole_chapter_tokens": {"mean": round(mean(whole)), "median": median(whole)},
        "excerpt_tokens": {"mean": round(mean(excerpts)), "median": median(excerpts)},
        "smaller_by": round(1 - sum(excerpts) / sum(whole), 3),
    }
    print(json.dumps(result))
    (RESULTS / "guideline_prompts.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
