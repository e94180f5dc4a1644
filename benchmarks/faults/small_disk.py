"""Run a command on a disk of a given size, then on one with room. In a mount namespace, so Linux alone.

    unshare --user --map-root-user --mount python -m benchmarks.faults.small_disk BYTES FOLDER COMMAND…

FOLDER becomes a file system of BYTES (0: read-only); its content then stays in FOLDER.kept. Prints one line of JSON:
{"first": {"code": 1, "err": "…"}, "second": {…}}.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOM = "1g"


def main() -> None:
    size, folder, *command = sys.argv[1:]
    kept = Path(f"{folder}.kept")
    mount("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder)
    if kept.exists():
        shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
    mount("-o", "remount,ro" if size == "0" else f"remount,size={size}", folder)
    first = run(command)
    mount("-o", f"remount,rw,size={ROOM}", folder)
    second = run(command)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept, symlinks=True, ignore=list_sockets)
    print(json.dumps({"first": first, "second": second}))


def list_sockets(folder: str, names: list[str]) -> list[str]:
    """Return the names that are sockets, as Ray's, which cannot be copied."""
    return [name for name in names if Path(folder, name).is_socket()]


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def run(command: list[str]) -> dict[str, object]:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return {"code": done.returncode, "err": done.stderr}


if __name__ == "__main__":
    main()
