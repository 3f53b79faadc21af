"""The notebooks run from top to bottom, without the command line; they are stored without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
FIRST = TUTORIALS / "first-comparison.ipynb"
#: What `make test` changes in the first notebook, to be fast: fewer images, iterations and seeds.
SMALLER = (
    ("seeds=range(3),", "seeds=range(2),\n    settings=" + repr({
        "labelled": 16,
        "source.size": 4,
        "test.size": 8,
        "validation.size": 8,
        "selector_training.iterations": 20,
        "training.iterations": 20,
        "selectors": ["learned:detector=frozen-convnext"],
    }) + ","),
    ('"renoise-masked:steps=10"', '"renoise-masked:steps=1"'),
    ("Misplace(shift=0.25)", "Misplace(shift=0.25, steps=1)"),
)  # fmt: skip


def cells(path: Path, kind: str) -> list[str]:
    """Return the texts of a notebook's cells of one kind."""
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def run(path: Path, folder: Path, changes: tuple[tuple[str, str], ...] = ()) -> list[list[dict[str, Any]]]:
    """Execute a notebook in a kernel of its own, and return the outputs of each of its cells of code."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install '.[dev]'")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install '.[dev]'")
    text = path.read_text()
    for old, new in changes:
        assert json.dumps(old)[1:-1] in text, old
        text = text.replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    notebook = nbformat.reads(text, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]


def printed(outputs: list[list[dict[str, Any]]]) -> str:
    """Return all that a notebook printed."""
    return "".join(one["text"] for cell in outputs for one in cell if one.get("name") == "stdout")


def kinds(outputs: list[dict[str, Any]]) -> set[str]:
    """Return the media types of a cell's outputs."""
    return {kind for one in outputs for kind in one.get("data", {})}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs_and_needs_no_command_line(path: Path) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    code = "\n".join(cells(path, "code"))
    assert not re.search(r"^\s*!|subprocess|benchkit\.cli|os\.system", code, re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", "\n".join(cells(path, "markdown"))):
        assert (path.parent / target).exists(), target


def test_the_first_notebook_is_short() -> None:
    assert len(json.loads(FIRST.read_text())["cells"]) <= 25
    assert "pip install" in cells(FIRST, "code")[0]


def test_the_first_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    outputs = run(FIRST, tmp_path, SMALLER)
    sentences = printed(outputs).strip().splitlines()
    assert len(sentences) == 3
    assert all("misplace" in one for one in sentences[:2]) and "pseudo" in sentences[1]
    assert all(re.search(r"interval .* paired over 8 images and 2 seeds", one) for one in sentences)
    assert sum("image/png" in kinds(cell) for cell in outputs) >= 2
    assert any("<table" in one["data"].get("text/html", "") for cell in outputs for one in cell if "data" in one)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first-comparison", "own-corruptor", "own-images"])
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    outputs = run(TUTORIALS / f"{name}.ipynb", tmp_path)
    assert sum(bool({"image/png", "text/html"} & kinds(cell)) for cell in outputs) >= 3
