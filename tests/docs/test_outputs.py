"""What the pages on outputs and on the paper's tables say: their commands parse, their arithmetic is the plan's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchkit.config.grid import Grid
from benchkit.planning.dry_run import preview
from benchkit.planning.image_sets import order_rest_of_pool
from benchkit.plugin.registry import Registry
from benchkit.runs.run import find_model, make_plan
from benchkit.specs.training_sets import CHUNK
from benchkit.store.artifacts import ArtifactStore
from tests.docs.test_documents import commands, parsed

DOCS = Path(__file__).parents[2] / "docs" / "how-to"
REPRODUCE = (DOCS / "reproduce.md").read_text()
SIZE = 32


def test_commands_parse() -> None:
    shown = list(commands(DOCS / "outputs.md"))
    shown += [command for command in commands(DOCS / "reproduce.md") if command.startswith("benchkit figure")]
    assert len(shown) >= 10
    for command in shown:
        parsed(command)


#: Corruptors, baselines and source of a table; evaluations an image; trained rows beside `human`.
TABLES = {
    "1": (("renoise-masked:steps=10",), ("human", "pseudo"), 90, 2),
    "2": (
        ("rotation:steps=20", "blur:steps=20", "gaussian:steps=20", "renoise-masked:steps=10"),
        ("human",),
        490,
        4,
    ),
    "3": (tuple(f"renoise-masked:steps={n}" for n in (5, 10, 15, 20)), ("human", "pseudo"), 390, 5),
    "4": (("gaussian:steps=0", "gaussian:steps=20"), ("human",), 180, 2),
}


@pytest.mark.parametrize("table", TABLES)
def test_the_arithmetic_is_the_plans(table: str, tmp_path: Path) -> None:
    corruptors, baselines, evaluations, rows = TABLES[table]
    grid = Grid.model_validate(
        {
            "title": "costs",
            "source": {"split": "clean", "size": SIZE},
            "test": {"split": "test", "size": 4},
            "labelled": 8,
            "baselines": baselines,
            "corruptors": corruptors,
            "detectors": ["upernet-convnext:size=mini", "upernet-swin:size=mini"],
            "seeds": [0, 1, 2],
            "selector_training": {"iterations": 1000},
            "training": {"iterations": 10000},
        }
    )
    registry = Registry.load()
    plan = make_plan(grid, registry)
    seen = preview(plan, registry, find_model(grid), ArtifactStore(tmp_path / "none", create=False))
    assert seen.network_evaluations == evaluations * SIZE
    assert seen.train_iterations == 6 * (1000 + 10000 * rows)
    if table in ("2", "4"):  # one source alone
        assert f"| Table {table} | {evaluations * 10_000:,} | {seen.train_iterations:,} |" in REPRODUCE
        assert f"= {evaluations}" in REPRODUCE


def test_two_sources_add_up() -> None:
    """Inversion and round trips of RichHF's rest, 20 + 10 an image or 40 + 50, are done once a distinct chunk."""
    chunks = set()
    for seed in (0, 1, 2):
        rest = order_rest_of_pool(7801, sorted(np.random.default_rng(seed).choice(7801, 100, replace=False).tolist()))
        chunks |= {tuple(rest[start : start + CHUNK]) for start in range(0, len(rest), CHUNK)}
    sent = sum(len(chunk) for chunk in chunks)
    assert f"{sent:,} images are" in REPRODUCE
    table_1 = 90 * 10_000 + (20 + 10) * sent + 6 * 10 * 7_701
    table_3 = 390 * 10_000 + (40 + 50) * sent + 6 * 50 * 7_701
    assert f"| Table 1 | {table_1:,} | {6 * 41_000:,} |" in REPRODUCE
    assert f"| Table 3 | {table_3:,} | {6 * 101_000:,} |" in REPRODUCE
    assert f"| all, one cache | {table_3 + 360 * 10_000:,} | 846,000 |" in REPRODUCE


def test_the_hours_follow_from_the_rates() -> None:
    (f, i) = (float(n) for n in re.search(r"With f = (\d+) and i = ([\d.]+)", REPRODUCE).groups())  # type: ignore[union-attr]
    costs = dict(
        re.findall(
            r"^\| (Table \d|all, one cache) \| ([\d,]{6,} \| [\d,]{6,}) \| [\d,.]+ \wi?B", REPRODUCE, re.MULTILINE
        )
    )
    assert len(costs) == 5
    for name, both in costs.items():
        evaluations, iterations = (int(n.replace(",", "")) for n in both.split(" | "))
        hours = [round((evaluations * 0.7 + iterations * 11) / t / 3600) for t in (10, 40)]
        hours.append(round(evaluations / f / 3600 + iterations / i / 3600))
        assert f"| {name} | {hours[0]} | {hours[1]} | {hours[2]} |" in REPRODUCE
