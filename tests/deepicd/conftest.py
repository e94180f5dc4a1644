"""One demo for all tests that look at one: run by a user who has never run anything, and watched."""

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from conftest import build_once
from loopback import Watched, run_watched


@dataclass(frozen=True)
class Demo:
    """A working folder with out/demo in it, what the command printed, and what the line that loads it printed."""

    place: Path
    ran: Watched
    loaded: Watched

    @property
    def out(self) -> Path:
        return self.place / "out" / "demo"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    place = build_once(tmp_path_factory, "a 'quoted' folder", run_demo)
    return Demo(place, *(Watched(**json.loads((place / name).read_text())) for name in ("ran.json", "loaded.json")))


def run_demo(place: Path) -> None:
    """Run the demo and the line that loads its dataset: no cache, and nothing that says offline."""
    environment = {"HOME": str(place), "HF_HOME": str(place / "hf"), "HF_HUB_OFFLINE": "", "HF_DATASETS_OFFLINE": ""}
    ran = run_watched([sys.executable, "-m", "deepicd", "demo", place / "out" / "demo"], place, environment)
    assert ran.code == 0, ran.err
    load = next(line for line in ran.out.splitlines() if line.startswith("Load it: "))
    loaded = run_watched(shlex.split(load.removeprefix("Load it: ")), place, environment)
    assert loaded.code == 0, loaded.err
    (place / "ran.json").write_text(json.dumps(asdict(ran)))
    (place / "loaded.json").write_text(json.dumps(asdict(loaded)))
