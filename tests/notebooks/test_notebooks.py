"""Every notebook runs from its first cell to its last, and is committed with its outputs."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SLOW = ("looking_inside", "own_pictures", "moving_pictures")  # a minute of compilation
DATA = Path(os.environ.get("JAXNETS_TEST_DATA") or FOLDER.parents[1] / "shared" / "data")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.stem in SLOW), id=p.stem) for p in NOTEBOOKS],
)
def test_runs(path, monkeypatch):
    import nbclient
    import nbformat

    if sys.platform == "win32":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    # One device, as on most machines where a notebook is opened.
    monkeypatch.setenv("XLA_FLAGS", "")
    if path.stem == "own_pictures":
        if not (DATA / "weights" / "resnet20-12fca82f.th").exists():
            pytest.skip("needs the published weights of ResNet-20")
        monkeypatch.setenv("JAXNETS_NOTEBOOK_DATA", str(DATA))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    )
    client.execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_executed(path):
    import nbformat

    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert any(cell.outputs for cell in cells)
    for cell in cells:
        assert not any(output.output_type == "error" for output in cell.outputs)


def test_there_are_notebooks():
    assert NOTEBOOKS
