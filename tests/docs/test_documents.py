"""What the documents show works: their plugins pass the checks, their commands parse, the API page is up to date."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from benchkit.cli.main import app, main
from benchkit.config.grid import load_grid
from benchkit.planning.detector_settings import DetectorSettings
from benchkit.plugin.registry import Registry
from benchkit.specs.training_config import TrainingConfig
from benchkit.testing import reports_on

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
GUIDES = sorted(HOW_TO.glob("write-*.md"))
#: Other pages that show commands.
PAGES = (
    "how-to/ablate-and-tune",
    "how-to/datasets",
    "how-to/detectors",
    "how-to/grids",
    "how-to/models",
    "how-to/predict",
    "how-to/reproduce",
    "how-to/resume",
    "how-to/scale",
    "reference/index",
    "reference/names",
)
#: Folders below docs/ whose pages are made by `make docs`, or are no pages.
MADE = ("_build", "_ext", "included", "corruptors", "selectors", "inverters", "detectors", "datasets")
PARTS = [page for page in sorted((ROOT / "docs").rglob("*.md")) if not set(page.relative_to(ROOT).parts) & set(MADE)]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PARTS, ROOT / "leaderboard" / "README.md"]
REGISTRY = Registry.load()
FENCE = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[tuple[str, str]]:
    """The file name and text of every block of a language."""
    return [(name, text) for found, name, text in FENCE.findall(path.read_text()) if found == language]


def commands(path: Path) -> Iterator[str]:
    """Every command line of benchkit's that a document shows, in blocks, indented or in the text."""
    text = path.read_text()
    for _, block in blocks(path, "sh"):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line for line in lines if line.startswith("benchkit "))
    yield from re.findall(r"^    (benchkit .*)$", text, re.MULTILINE)
    yield from re.findall(r"`(benchkit plugins new [^`]+)`", text)


def parsed(command: str) -> None:
    """Parse a command line as the program does, without running it; raises what the program would say."""
    words = shlex.split(command, comments=True)[1:]
    found, context = typer.main.get_command(app), None
    while hasattr(found, "commands"):
        context = found.context_class(found, info_name="benchkit", parent=context)
        _, found, words = found.resolve_command(context, words)
    found.make_context("benchkit", words, parent=context)


def test_every_kind_has_its_guide() -> None:
    assert len(GUIDES) == 5
    assert all(blocks(path, "python") and blocks(path, "sh") for path in GUIDES)


@pytest.mark.parametrize("path", GUIDES, ids=lambda p: p.stem)
def test_the_plugins_of_a_guide_conform(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("pool", "clean"):
        (tmp_path / "images" / split).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / split / f"{i}.png")
            Image.fromarray(pixels[..., 0]).save(tmp_path / "images" / split / f"{i}.mask.png")
    for name, text in blocks(path, "python"):
        Path(name).write_text(text)
        for report in reports_on(name, REGISTRY):
            assert report.ok, report.text()
        assert max(map(len, text.splitlines())) <= 120


def test_the_corruptor_of_the_guide_is_short() -> None:
    for _, text in blocks(HOW_TO / "write-a-corruptor.md", "python"):
        assert len([line for line in text.splitlines() if line.strip()]) < 40


def test_the_corruptor_of_the_readme_conforms(tmp_path: Path) -> None:
    ((_, text),) = blocks(ROOT / "README.md", "python")
    (tmp_path / "faint.py").write_text(text)
    (report,) = reports_on(str(tmp_path / "faint.py"), REGISTRY)
    assert report.ok, report.text()


@pytest.mark.parametrize(
    "path",
    [*GUIDES, *(ROOT / "docs" / f"{page}.md" for page in PAGES), ROOT / "README.md"],
    ids=lambda p: p.stem,
)
def test_the_commands_of_a_document_parse(path: Path) -> None:
    shown = [c for c in commands(path) if not re.search(r"[\[…]|\w\|show", c)]
    assert shown
    for command in shown:
        parsed(command)


#: The comparison that `quick` names here: a file of that name stands before the preset.
TINY = """\
title: As small as can be
labelled: 4
source: {split: clean, size: 4}
test: {split: test, size: 4}
baselines: [pseudo]
selectors: [random-boxes]
inverter: ddim
detectors: ["upernet-convnext:size=mini"]
selector_training: &budget {iterations: 1, batch: 2, crop: 64}
training: *budget
"""


@pytest.mark.slow
def test_the_commands_of_the_corruptor_guide_and_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Word for word, in the guide's order, on the embedded checkpoint, at a tiny size."""
    guide, readme = HOW_TO / "write-a-corruptor.md", ROOT / "README.md"
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("quick").write_text(TINY)
    Path("faint.py").write_text(blocks(readme, "python")[0][1])
    shown = [*commands(guide), *(c for c in commands(readme) if "--plugin faint.py" in c)]
    writing = [command for command in shown if command.startswith("benchkit plugins new")]
    for i, command in enumerate(writing):
        (tmp_path / f"new-{i}").mkdir()
        monkeypatch.chdir(tmp_path / f"new-{i}")
        assert main(shlex.split(command)[1:]) == 0, command
    assert any("fade.py" in path.name for path in tmp_path.glob("new-*/*.py"))
    monkeypatch.chdir(tmp_path)
    for name, text in blocks(guide, "python"):
        Path(name).write_text(text)
    running = [command for command in shown if command not in writing]
    assert [command.split()[1] for command in running] == ["plugins", "plugins", "compare", "leaderboard", "compare"]
    for command in running:
        assert main(shlex.split(command)[1:]) == 0, (command, capsys.readouterr().err)
    assert Image.open("fade.png").width > 200
    for run, rows in (("fade", ("fade:fraction=0.4", "fade:fraction=0.8")), ("faint", ("faint",))):
        table = Path("runs", run, "board.md").read_text()
        assert all(f"| {row}" in table for row in (*rows, "renoise-masked:steps=10", "pseudo")), table


def test_a_wrong_command_does_not_parse() -> None:
    for command in ("benchkit plugins chekc x.py", "benchkit compare --no-such-option", "benchkit plugins new"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parsed(command)


def test_the_recipes_shown_are_trainings() -> None:
    (_, head), (_, whole) = blocks(HOW_TO / "detectors.md", "yaml")
    config = TrainingConfig(**yaml.safe_load(whole)["training"])
    assert (config.crop, config.resize, config.photometric) == (512, (0.5, 2.0), True)
    grid = load_grid("quick").replaced(**yaml.safe_load(head))
    settings = DetectorSettings(grid, REGISTRY)
    detectors = [REGISTRY.complete(spec) for spec in grid.detectors]
    assert [settings.training(one).iterations for one in detectors] == [2000, grid.training.iterations]


def test_the_drawing_of_a_comparison_is_up_to_date() -> None:
    script = ROOT / "docs" / "pictures" / "diagram.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run: python docs/pictures/diagram.py"


def test_the_grid_file_of_the_names_page_is_one() -> None:
    from benchkit.config.grid import parse_grid

    ((_, text),) = blocks(ROOT / "docs" / "reference" / "names.md", "yaml")
    grid = parse_grid(text, "names.md")
    assert grid.dataset.values == {"root": "name, two", "size": 64}
    assert tuple(map(str, grid.corruptors)) == ("gaussian:steps=10", "blur:sigma=0.02", "blur:sigma=0.1")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            # As GitHub makes anchors: lower case, no punctuation, dashes for blanks.
            assert anchor in {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}, target


def test_the_python_of_the_how_to_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHKIT_CACHE", str(tmp_path / "cache"))
    shown = [text for name, text in blocks(HOW_TO / "use-python.md", "python") if name != "no-run"]
    for text in shown:
        exec(compile(text, "use-python.md", "exec"), {})
    assert len(shown) == 3


def test_documents_that_code_names_exist() -> None:
    lost = []
    for folder in ("benchkit", "plugins", "recipes", "benchmarks", "tests", "leaderboard"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".yaml", ".md", ".jinja"):
                named = re.findall(r"(?<![\w/])docs/[\w/-]+\.(?:md|py|png|ipynb)\b", path.read_text())
                lost += [(path.name, name) for name in named if not (ROOT / name).exists()]
    assert lost == []


def test_the_ablations_and_searches_shown_are_accepted() -> None:
    from benchkit.config.grid import load_grid
    from benchkit.functions.grid_arguments import GridArguments
    from benchkit.search.search_space import make_space, parse_space
    from benchkit.search.variants import Axis, expand
    from benchkit.specs.spec import Spec

    shown = list(commands(HOW_TO / "ablate-and-tune.md"))
    assert {command.split()[1] for command in shown} >= {"ablate", "tune"}
    for command in shown:
        words = shlex.split(command)
        given = {flag: [b for a, b in pairwise(words) if a == flag] for flag in words}
        if words[1] == "ablate":
            base = GridArguments(corruptors=given.get("--corruptor")).choose(load_grid(words[2]))
            assert len(expand(base, [Axis.parse(text) for text in given["--vary"]], REGISTRY, "--crossed" in words)) > 2
        if words[1] == "tune":
            for text in (words[2], *given.get("--corruptor", [])):
                space = parse_space(given.get("--space", []))
                assert make_space(Spec.parse("corruptor", text), space, REGISTRY, 50)
