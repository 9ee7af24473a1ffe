"""Notebooks run from top to bottom, use what is public, and store nothing that a run makes."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import bimu_hw

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAY_IMPORT = {"bimu_hw", "numpy", "xarray", "matplotlib"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def syntax(path):
    return ast.parse("\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code"))


def test_there_is_one_to_start_with():
    assert [path.stem for path in NOTEBOOKS][:1] == ["00_start_here"]


@each_notebook
def test_a_notebook_stores_no_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"{path.name}: clear all outputs before committing"
            assert cell.execution_count is None, f"{path.name}: clear all outputs before committing"
        assert not cell.get("attachments"), f"{path.name}: a pasted picture is an output, too"


@each_notebook
def test_a_notebook_opens_with_a_question(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.splitlines()[0].startswith("# ")
    assert first.source.splitlines()[0].endswith("?")


@each_notebook
def test_a_notebook_uses_public_names_only(path):
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            imported = []
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bimu_hw":
                assert node.attr in bimu_hw.__all__, f"{path.name}: bimu_hw.{node.attr} is not public"
        for name in imported:
            top, _, rest = name.partition(".")
            assert top in MAY_IMPORT or top in sys.stdlib_module_names, f"{path.name}: imports {name}"
            assert top != "bimu_hw" or not rest, f"{path.name}: imports {name}; import bimu_hw and use its names"


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("BIMU_FAST", "1")
    # As in Jupyter: figures are drawn, not only built.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = read(path)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), f"{path.name}: draws nothing"
