"""Re-running cells of a submission: verified, differs, cannot run here; the file beside it; which cells are chosen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchkit.cli.main import main
from benchkit.config.grid import load_grid, parse_grid
from benchkit.leaderboard.check import check_folder
from benchkit.leaderboard.protocol import digest_protocol
from benchkit.leaderboard.rerun import choose_cells, narrow_grid, redirect_datasets
from benchkit.leaderboard.submission import (
    FACTS,
    Submission,
    digest_submission,
    normalise_rows,
    read_submission,
    write_submission,
)
from benchkit.leaderboard.submit import Declaration, make_submission
from benchkit.leaderboard.terms import ScoredImages, Terms
from benchkit.leaderboard.verified import VERIFIED, read_verified
from benchkit.leaderboard.verify import compare_cell
from benchkit.metrics import COMPANION, PRIMARY, measure
from benchkit.planning.planner import Planner
from benchkit.plugin.registry import Registry
from benchkit.report.names import cell_names
from benchkit.runs.cell_recorder import make_cell_info
from benchkit.runs.find_run import open_results
from benchkit.runs.run import RunLocations, find_model
from benchkit.specs.spec import Spec
from tests.helpers.small_comparison import GRID, PLUGINS, compare_once

LINK = "https://example.org/plugin"
FORGED = "gaussian:steps=1"
#: More than there are.
EVERY = 100


@pytest.fixture(scope="module")
def submitted(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small comparison with three seeds, run and submitted; tests that change it work on a copy.

    It has validation images, so that its rows have a threshold, where a group of score bins begins.
    """
    folder = tmp_path_factory.mktemp("verify")
    grid = folder / "grid.yaml"
    text = GRID.format(model=tiny_checkpoint).replace("seeds: [0]", "seeds: [0, 1, 2]")
    grid.write_text(f"{text}validation: {{split: wild, size: 4}}\n")
    run = json.loads(compare_once(folder, grid, "--json", "--device", "cpu").result.out)["run"]
    results = open_results(RunLocations(cache=folder / "cache"), run)
    sources = {"dataset shapes": LINK, "detector dot": LINK}
    submission = make_submission(run, results, Declaration("mine", "https://example.org", sources=sources))
    write_submission(submission, folder / "submissions" / "mine")
    return folder / "submissions" / "mine"


@pytest.fixture
def copy(submitted: Path, tmp_path: Path) -> Path:
    shutil.copytree(submitted, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str], tiny_checkpoint: Path) -> Callable[..., tuple[int, str, str]]:
    """Run `leaderboard verify` with the plugins of the tests; return code, stdout and stderr."""

    def command(*arguments: object, plugin: Path | None = PLUGINS) -> tuple[int, str, str]:
        capsys.readouterr()
        given = ["--model", tiny_checkpoint, *([] if plugin is None else ["--plugin", plugin])]
        code = main(["leaderboard", "verify", *map(str, arguments), *map(str, given)])
        return code, *capsys.readouterr()

    return command


def rewrite(folder: Path, submission: Submission) -> None:
    """Replace a submission by a changed one, with the board that follows from its terms."""
    facts, rows = submission.facts, submission.rows
    protocol = digest_protocol(facts.grid, facts.environment, rows)
    changed = replace(submission, facts=facts.model_copy(update={"protocol": protocol}))
    write_submission(changed, folder, force=True)


def shipped() -> dict[str, str]:
    return {f"{one.kind} {one.name}": one.source_hash for one in Registry.load().entries() if one.is_built_in}


def test_an_honest_submission_is_verified_to_the_last_bit(copy: Path, verify: Callable[..., Any]) -> None:
    code, out, _ = verify(copy)
    assert code == 0
    assert out.count("every figure and count is the reported one") == 2
    assert "training iterations" in out.splitlines()[0]
    found = read_verified(copy)
    assert found["verdict"] == "verified"
    assert len(found["cells"]) == 2
    assert all(cell["exact"] and not cell["figures"] for cell in found["cells"])


def test_the_file_says_nothing_about_a_submission_that_was_changed(copy: Path, verify: Callable[..., Any]) -> None:
    verify(copy, "--cells", 1)
    submission = read_submission(copy)
    assert read_verified(copy)
    rewrite(copy, replace(submission, facts=submission.facts.model_copy(update={"contact": "somebody else"})))
    assert (copy / VERIFIED).exists()
    assert read_verified(copy) == {}


def test_a_forgery_that_contradicts_nothing_is_caught(copy: Path, verify: Callable[..., Any]) -> None:
    """One row's scores are invented; its terms, its figures and the board follow from them."""
    submission = read_submission(copy)
    registry = Registry.load(files=[PLUGINS])
    samples = registry.dataset(registry.complete(Spec.parse("dataset", "shapes"))).read("test", range(4))
    labels = np.stack([sample.mask for sample in samples])
    rows, terms = submission.rows.copy(), dict(submission.terms)
    line = rows.index[(rows["method"] == FORGED) & (rows["seed"] == 1)][0]
    cell, threshold = rows.loc[line, "cell"], float(rows.loc[line, "threshold"])
    scores = np.where(labels, 0.9, 0.2).astype(np.float32)
    invented = measure(scores, labels, [dict(sample.kinds) for sample in samples], threshold=threshold)
    terms[cell] = Terms.of(invented, threshold)
    figures = terms[cell].figures(submission.images[rows.loc[line, "test_set"]])
    for name, value in figures.items():
        if name in rows:
            rows.loc[line, name] = value
    rewrite(copy, replace(submission, rows=rows, terms=terms))
    assert check_folder(copy, shipped()).board
    code, out, _ = verify(copy, "--cells", EVERY)
    differing = [one for one in out.splitlines() if ": differs:" in one]
    assert code == 3
    assert len(differing) == 1
    assert cell[:12] in differing[0]
    assert "artifact iou 100.000 % reported" in differing[0]
    assert read_verified(copy)["verdict"] == "differs"


def test_one_seeds_results_under_another_number_are_caught(copy: Path, verify: Callable[..., Any]) -> None:
    submission = read_submission(copy)
    rows = submission.rows.copy()
    first, second = (rows.index[(rows["method"] == FORGED) & (rows["seed"] == seed)][0] for seed in (0, 1))
    for name in rows.columns.difference(["cell", "seed"]):
        rows.loc[second, name] = rows.loc[first, name]
    terms = {**submission.terms, rows.loc[second, "cell"]: submission.terms[rows.loc[first, "cell"]]}
    rewrite(copy, replace(submission, rows=rows, terms=terms))
    check_folder(copy, shipped())
    code, out, _ = verify(copy, "--cells", EVERY)
    assert code == 3
    (line,) = [one for one in out.splitlines() if ": differs:" in one]
    assert "seed 1" in line


def test_a_figure_beside_the_ranked_ones_counts_too(copy: Path, verify: Callable[..., Any]) -> None:
    """Its confinement does not follow from the terms, so `check` cannot know it."""
    submission = read_submission(copy)
    rows = submission.rows.copy()
    name = next(str(name) for name in rows if str(name).startswith("confinement_") and rows[name].notna().any())
    line = rows.index[rows[name].notna() & (rows[name] != 0)][0]
    rows.loc[line, name] = rows.loc[line, name] / 2
    rewrite(copy, replace(submission, rows=rows))
    check_folder(copy, shipped())
    code, out, _ = verify(copy, "--cells", EVERY)
    assert code == 3
    assert [name.replace("_", " ") in one for one in out.splitlines() if ": differs:" in one] == [True]


def test_what_is_not_here_cannot_run(copy: Path, tmp_path: Path, verify: Callable[..., Any]) -> None:
    code, out, _ = verify(copy, plugin=None)
    assert code == 3
    assert f"cannot run here: the plugin 'dataset shapes' is missing; the submission names {LINK}" in out
    assert read_verified(copy)["verdict"] == "cannot run"
    changed = tmp_path / "tiny_plugins.py"
    changed.write_text(PLUGINS.read_text().replace("nn.Conv2d(3, 2, 1)", "nn.Conv2d(3, 2, 3, padding=1)"))
    code, out, _ = verify(copy, plugin=changed)
    assert code == 3
    assert "the plugin 'detector dot' has another source here" in out


def test_other_data_and_another_checkpoint_cannot_run(copy: Path, verify: Callable[..., Any]) -> None:
    submission = read_submission(copy)
    datasets = dict.fromkeys(submission.facts.environment["datasets"], "another")
    environment = {**submission.facts.environment, "datasets": datasets}
    rewrite(copy, replace(submission, facts=submission.facts.model_copy(update={"environment": environment})))
    assert "the dataset 'shapes' has another content here" in verify(copy)[1]
    rows = submission.rows.assign(checkpoint_sha256="f" * 64)
    rewrite(copy, replace(submission, rows=rows))
    assert "is another one here (sha256 ffffffffffff" in verify(copy)[1]


def test_a_dataset_may_lie_elsewhere(copy: Path) -> None:
    submission = read_submission(copy)
    grid = {
        **submission.facts.grid,
        "dataset": "shapes:size=3,root=…/old",
        "sources": [{"dataset": "other", "size": 4}],
    }
    environment = {**submission.facts.environment, "datasets": {"shapes:root=…/old": "f" * 64, "other": "0" * 64}}
    facts = submission.facts.model_copy(update={"grid": grid, "environment": environment})
    moved = redirect_datasets(replace(submission, facts=facts), [Spec.parse("dataset", "shapes:root=/new")]).facts
    assert Spec.parse("dataset", moved.grid["dataset"]).values == {"size": 3, "root": "/new"}
    assert moved.grid["sources"] == grid["sources"]
    assert moved.environment["datasets"] == {"shapes:root=/new": "f" * 64, "other": "0" * 64}


def test_a_dataset_that_is_not_used_cannot_lie_elsewhere(copy: Path, verify: Callable[..., Any]) -> None:
    code, _, err = verify(copy, "--dataset", "richhf:root=/data", "--dry-run")
    assert code == 2
    assert "mine: it does not use the dataset 'richhf'" in err


def test_an_invented_key_is_other_work(copy: Path, verify: Callable[..., Any]) -> None:
    submission = read_submission(copy)
    old = choose_cells(submission, digest_submission(copy), EVERY)[0]["cell"]
    terms = {"e" * 64 if cell == old else cell: own for cell, own in submission.terms.items()}
    rows = submission.rows.assign(cell=submission.rows["cell"].replace(old, "e" * 64))
    rewrite(copy, replace(submission, rows=rows, terms=terms))
    code, out, _ = verify(copy, "--cells", EVERY)
    assert code == 3
    assert out.count("this version of benchkit plans other work for this row") == 1


def test_a_dry_run_writes_nothing_and_a_fault_is_one_line(copy: Path, verify: Callable[..., Any]) -> None:
    code, out, _ = verify(copy, "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["cells"]) == 2
    assert found["train_iterations"] >= 2
    assert not (copy / VERIFIED).exists()
    (copy / FACTS).write_text("{}")
    code, out, err = verify(copy)
    assert code == 2
    assert not out
    assert "schema" in err.splitlines()[-1]
    assert not (copy / VERIFIED).exists()


def test_nobody_chooses_the_cells(submitted: Path) -> None:
    submission, digest = read_submission(submitted), digest_submission(submitted)

    def chosen(*given: Any) -> list[str]:
        return [row["cell"] for row in choose_cells(submission, *given)]

    every = chosen(digest, EVERY)
    assert len(every) == 12
    assert chosen(digest, 5) == every[:5] == chosen(digest, 5)
    assert len({tuple(chosen(f"{i:064}", 3)) for i in range(20)}) > 15
    assert chosen(digest, EVERY, "salt") != every


@pytest.mark.parametrize(
    ("figure", "change", "state", "exact"),
    [
        (None, 0, "verified", True),
        (PRIMARY, 0.0009, "verified", False),
        (PRIMARY, 0.0011, "differs", False),
        (COMPANION, -0.0011, "differs", False),
        ("auroc", 0.04, "verified", False),
        ("auroc", 0.2, "differs", False),
        (PRIMARY, None, "differs", False),
    ],
)
def test_the_tolerance_decides(
    submission: Submission, figure: str | None, change: float | None, state: str, exact: bool
) -> None:
    row, figures, terms, images = _rerun(submission)
    if figure is not None:
        figures[figure] = None if change is None else figures[figure] + change
    outcome = compare_cell(submission, row, figures, terms, images)
    assert (outcome.state, outcome.exact) == (state, exact)
    assert set(outcome.figures) == ({figure} if figure else set())
    assert bool(outcome.reason) != exact
    if figure in (PRIMARY, COMPANION) and change is not None:
        assert compare_cell(submission, row, figures, terms, images, whole=True).state == "verified"


def test_counts_and_test_images_are_compared_too(submission: Submission) -> None:
    row, figures, terms, images = _rerun(submission)
    half = replace(terms, fp=terms.fp // 2)
    outcome = compare_cell(submission, row, figures, half, images)
    assert outcome.state == "differs"
    assert "of the predicted pixels differ" in outcome.reason
    moved = replace(terms, tp=terms.tp.copy())
    moved.tp[0] += 1
    assert compare_cell(submission, row, figures, moved, images).state == "verified"
    narrowed = replace(terms, without=(terms.without + terms.without.mean()) / 2)
    outcome = compare_cell(submission, row, figures, narrowed, images)
    assert outcome.state == "differs" and "standard error of average precision" in outcome.reason
    others = replace(images, ids=images.ids[::-1])
    assert "its test images" in compare_cell(submission, row, figures, terms, others).reason


def _rerun(submission: Submission) -> tuple[dict[str, Any], dict[str, Any], Terms, ScoredImages]:
    """What re-running the first finished row gives if nothing differs."""
    row = next(row for row in submission.rows.to_dict("records") if row["state"] == "done")
    terms, images = submission.terms[row["cell"]], submission.images[row["test_set"]]
    figures = {name: value for name, value in terms.figures(images).items() if name in row}
    return {str(name): value for name, value in row.items()}, figures, terms, images


SEVERAL = """\
inverters: [ddim, renoise]
with_human: ["gaussian:steps=1"]
on_detector:
  dot: {seeds: [3, 4], training: {iterations: 3}}
oracle: {split: wild, size: 2}
"""


@pytest.mark.parametrize("text", ["quick", SEVERAL])
def test_a_part_of_the_grid_gives_the_same_keys(text: str, tiny_checkpoint: Path) -> None:
    registry = Registry.load(files=[PLUGINS])
    if text == "quick":
        grid = load_grid("quick")
    else:
        whole = GRID.format(model=tiny_checkpoint).replace("inverter: ddim\n", "").replace("pseudo]", "pseudo, oracle]")
        grid = parse_grid(whole + text, "several")
    model = find_model(grid)
    planned = Planner(grid, registry, model).plan().cells
    names = cell_names([one.cell for one in planned])
    lines = []
    for one in planned:
        info = make_cell_info(one, registry)
        lines.append({**vars(info), "cell": one.key})
    rows = normalise_rows(pd.DataFrame(lines)[["cell", *_LABELS]].assign(training_set=names)).to_dict("records")
    picked = rows
    if text == "quick":  # one row of each role and detector, of different seeds
        picked = list({(row["role"], row["detector"]): row for row in rows}.values())
    assert len({row["role"] for row in picked}) >= 4
    for row in picked:
        part = narrow_grid(grid.as_data(), row, registry)
        cells = Planner(part, registry, model).plan().cells
        assert row["cell"] in {one.key for one in cells}, row
        assert len(cells) <= 4


_LABELS = ("role", "seed", "method", "detector", "selector", "corruptor", "inverter", "source_name")
