"""A plan as bytes and back: the same stages by key, each once; other bytes are refused."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchkit.config.grid import load_grid
from benchkit.errors import BenchkitError
from benchkit.planning.plan import Plan
from benchkit.planning.plan_file import PluginSource, plan_from_bytes, plan_to_bytes
from benchkit.plugin.registry import Registry
from benchkit.runs.run import make_plan

SOURCES = [
    PluginSource("corruptor", "mine", "mine.py", None, "/somewhere/mine.py", "ab" * 32),
    PluginSource("detector", "theirs", "package theirs", "1.2", "/site/theirs.py", "cd" * 32),
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The shipped comparison, with a corruptor of every kind of stage."""
    grid = load_grid("quick").replaced(seeds=[0, 1], corruptors=["none", "gaussian:steps=5", "pixel-blur"])
    return make_plan(grid, Registry.load())


def test_a_plan_comes_back(plan: Plan) -> None:
    kept = plan_from_bytes(plan_to_bytes(plan, SOURCES))
    assert kept.plan == plan
    assert [stage.key for stage in kept.plan.stages] == [stage.key for stage in plan.stages]
    assert list(kept.sources.values()) == SOURCES
    shown = [cell.cell.detector.short for cell in kept.plan.cells if cell.cell.detector]
    assert shown == [cell.cell.detector.short for cell in plan.cells if cell.cell.detector]


def test_people_are_told_where_a_plugin_was_from() -> None:
    assert list(map(str, SOURCES)) == [
        "file '/somewhere/mine.py', sha256 abababababab",
        "package theirs 1.2, sha256 cdcdcdcdcdcd",
    ]


def changed(data: bytes, change: Any) -> bytes:
    read = json.loads(zlib.decompress(data))
    change(read)
    return zlib.compress(json.dumps(read).encode())


def test_a_plan_file_with_the_earlier_name_of_a_class_is_read(plan: Plan) -> None:
    def rename(read: Any) -> None:
        for cell in read["cells"]:
            assert cell["is"] == "benchkit.planning.plan:PlannedCell"
            cell["is"] = "benchkit.planning.planner:PlannedCell"

    assert plan_from_bytes(changed(plan_to_bytes(plan, []), rename)).plan == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda read: read["stages"][0]["body"]["fields"]["source"]["fields"].update(split="other"),
            "another version of benchkit computed it, and 'latents' has changed",
        ),
        (lambda read: read.update(schema=99), "schema 99, this version reads 1"),
        (lambda read: read["stages"][0]["body"].update({"is": "os:system"}), "'os:system' is not part of a plan"),
        (lambda read: read["stages"][0]["body"].update({"is": "benchkit.specs.keys:digest"}), "is not part of a plan"),
        (lambda read: read["stages"][0]["body"].update({"is": "benchkit.stages.none:A"}), "ModuleNotFoundError"),
        (lambda read: read["stages"][0]["body"]["fields"].pop("source"), "TypeError"),
        (lambda read: read["cells"].append(3), "something else than cells"),
        (lambda read: read.pop("cells"), "KeyError"),
    ],
)
def test_a_plan_of_other_work_or_form_is_refused(plan: Plan, change: Any, message: str) -> None:
    with pytest.raises(BenchkitError, match=message):
        plan_from_bytes(changed(plan_to_bytes(plan, []), change))


@given(st.binary(max_size=40) | st.binary(max_size=40).map(zlib.compress))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BenchkitError):
        plan_from_bytes(data)
