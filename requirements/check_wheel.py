"""Check what is in a wheel before anybody gets it: files of the repository and nothing else, no data and no notes.

    python requirements/check_wheel.py dist/deepicd-0.2.0-py3-none-any.whl

Every file has to be tracked by git, byte for byte, so that nothing comes along that lay in a working folder. Formats
that hold records are refused but for the files named here, all of them made up.
"""

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
FORMATS = {".py", ".yaml", ".j2", ".jinja", ".css", ".js", ".sql", ".md", ".txt", ".typed"}
MADE_UP = {
    "distill/tiny_teacher/weights/config.json",
    "distill/tiny_teacher/weights/generation_config.json",
    "distill/tiny_teacher/weights/model.safetensors",
    "distill/tiny_teacher/weights/tokenizer.json",
    "distill/tiny_teacher/weights/tokenizer_config.json",
    "train/evaluation/example_predictions.jsonl",
}


def find_faults(wheel: Path, root: Path = ROOT) -> list[str]:
    """Return what is wrong with a wheel, one line per file; empty if nothing is."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    tracked, faults = set(listed.split("\0")), []
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if PurePosixPath(name).parts[0].endswith(".dist-info"):
                continue  # pip's own
            if name not in tracked:
                faults.append(f"{name}: not a file of the repository")
            elif files.read(name) != (root / name).read_bytes():
                faults.append(f"{name}: differs from the repository's")
            if PurePosixPath(name).suffix not in FORMATS and name not in MADE_UP:
                faults.append(f"{name}: a format that may hold records")
    return faults


if __name__ == "__main__":
    FAULTS = [fault for argument in sys.argv[1:] for fault in find_faults(Path(argument))]
    print("\n".join(FAULTS) or f"{len(sys.argv) - 1} wheel: every file is the repository's, none holds records.")
    sys.exit(bool(FAULTS) or len(sys.argv) < 2)
