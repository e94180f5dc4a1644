"""Run docs/notebook.ipynb and keep its outputs. Run: python docs/run_notebook.py FOLDER, a folder that has out/demo.

A figure is not kept (it weighs more than the notebook), nor what a cell says on stderr. The kernel is on 127.0.0.1.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")
TIMEOUT = 300  # seconds per cell


def run_notebook(folder: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a run in `folder`. Raises nbclient's error where a cell fails."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=TIMEOUT, coalesce_streams=True, resources=resources
    )
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = [clean for output in cell.outputs if (clean := _clean(output)) is not None]
    return notebook


def _clean(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Return an output as it is kept: text as it came, a figure as its description; None for stderr."""
    if output.get("name") == "stderr":
        return None
    if "data" in output:
        output.data = {"text/plain": output.data["text/plain"]}
    return output


if __name__ == "__main__":
    nbformat.write(run_notebook(Path(sys.argv[1])), NOTEBOOK)
