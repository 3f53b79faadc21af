"""A row's printed name: made of its fields, and never the same for two different rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchkit.report.board import Board
from benchkit.report.names import RESERVED, Labels, row_names

GAUSSIAN = Labels("corrupted", "gaussian:steps=5", "gaussian", "renoise", "clean")


def test_a_row_is_called_by_its_role_rule_or_corruptor() -> None:
    rows = [
        Labels("human"),
        Labels("oracle"),
        Labels("pseudo", source_name="clean"),
        Labels("trivial", "mean-mask"),
        GAUSSIAN,
        replace(GAUSSIAN, role="mixed"),
        replace(GAUSSIAN, variant="inverter=ddim", inverter="ddim"),
    ]
    assert row_names(rows) == (
        *("human", "oracle", "pseudo", "mean-mask", "gaussian:steps=5", "human+gaussian:steps=5"),
        "gaussian:steps=5 [inverter=ddim]",
    )


def test_inverter_and_source_are_named_where_there_are_several() -> None:
    rows = [replace(GAUSSIAN, inverter=inverter) for inverter in ("renoise", "ddim")]
    assert row_names(rows) == ("gaussian:steps=5 via renoise", "gaussian:steps=5 via ddim")
    rows = [replace(GAUSSIAN, source_name="HPS"), Labels("pseudo", source_name="rest"), Labels("human")]
    assert row_names(rows) == ("gaussian:steps=5 [HPS]", "pseudo [rest]", "human")
    # A corruptor that inverts nothing has no inverter to name.
    rows = [replace(GAUSSIAN, inverter=inverter) for inverter in ("renoise", "ddim", None)]
    assert row_names(rows)[2] == "gaussian:steps=5"


@pytest.mark.parametrize("name", RESERVED)
def test_a_corruptor_called_like_a_baseline_is_told_from_it(name: str) -> None:
    corruptor = Labels("corrupted", f"{name}:steps=5", name)
    names = row_names([Labels(name), Labels("trivial", name), corruptor, replace(corruptor, method=name)])
    assert names[2:] == (f"corruptor {name}:steps=5", f"corruptor {name}")


def test_a_corruptor_called_like_a_baseline_is_neither_baseline_nor_trivial(maker) -> None:
    made = maker().cell("human", 0.4).cell("pseudo", 0.5, selector="learned").trivial()
    for name in ("pseudo", "human", "mean-mask", "all-negative"):
        made.corrupted(f"{name}:steps=5", 0.6)
        made.lines[-1] |= {"role": "corrupted", "method": name, "corruptor": name, "selector": "learned"}
    board = Board.of(made.run())
    lines = board.frame.set_index("training_set")
    assert set(board.trivial["training_set"]) == {"all-negative", "all-positive"}
    for name in ("pseudo", "human", "mean-mask", "all-negative"):
        own = lines.loc[f"corruptor {name}"]
        assert own["group"] == "trained"
        for base in ("pseudo", "human"):
            assert own[f"delta_{base}"] == pytest.approx(own["artifact_iou"] - lines.loc[base, "artifact_iou"])
    assert Board.from_json(board.as_json(), "it").frame["role"].to_list() == board.frame["role"].to_list()
