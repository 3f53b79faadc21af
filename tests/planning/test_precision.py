"""Precisions that a device does not have are said before work."""

from __future__ import annotations

import logging

import pytest

from benchkit.config.grid import Grid, load_grid
from benchkit.planning.preflight.device_checks import check_precisions
from benchkit.planning.preflight.precision import find_emulated, find_unsupported, list_precisions
from benchkit.plugin.registry import Registry
from benchkit.specs.faults import FaultsError

MODULE = "benchkit.planning.preflight.precision"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def quick(**changes: object) -> Grid:
    """Return a grid whose detector is trained whole, with these settings of its training and its selector's."""
    grid = load_grid("quick").replaced(detectors=["upernet-convnext"], selectors=["learned"], on_detector={})
    data = grid.as_data()
    return grid.replaced(**{name: {**data[name], **changes} for name in ("training", "selector_training")})


def test_precisions_are_named_by_the_keys_that_decide_them(registry: Registry) -> None:
    assert list_precisions(quick(), registry) == {}
    both = {"training.precision": "bfloat16", "selector_training.precision": "bfloat16"}
    assert list_precisions(quick(precision="bfloat16"), registry) == both
    own = {"upernet-convnext": {"training": {"precision": "tf32"}}}
    assert list_precisions(quick().replaced(on_detector=own), registry) == {
        "on_detector.upernet-convnext.training.precision": "tf32"
    }


def test_a_head_that_its_plugin_fits_uses_no_precision(registry: Registry) -> None:
    names = [one.name for one in registry.entries("detector") if getattr(one.cls, "fits_itself", False)]
    grid = quick(precision="tf32").replaced(detectors=names, selectors=["random"])
    assert names and list_precisions(grid, registry) == {}


def test_a_missing_precision_is_one_fault_with_its_remedy(registry: Registry) -> None:
    wanted = r"training\.precision and selector_training\.precision: device 'cpu' has no tf32"
    with pytest.raises(FaultsError, match=wanted) as found:
        check_precisions([("", quick(precision="tf32"))], registry, "cpu")
    assert "choose float32" in str(found.value)
    assert found.value.settings == {"training.precision": "float32", "selector_training.precision": "float32"}


def test_an_emulated_precision_is_said_with_its_cost(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    grid = quick(precision="bfloat16")
    for has, said in ((False, 1), (True, 0), (None, 0)):
        caplog.clear()
        monkeypatch.setattr(f"{MODULE}.has_bfloat16", lambda device, found=has: found)
        with caplog.at_level(logging.WARNING, "benchkit"):
            check_precisions([("", grid)], registry, "cpu")
        assert len(caplog.messages) == said, caplog.messages
        assert all("more than twice the time of float32" in text for text in caplog.messages)


def test_a_gpu_that_has_them_is_neither_refused_nor_remarked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"training.precision": "tf32", "selector_training.precision": "bfloat16"}
    monkeypatch.setattr("benchkit.system.number_formats._capability", lambda device: 9)
    assert not [*find_unsupported(keys, "cuda:0"), *find_emulated(keys, "cuda:0")]
    monkeypatch.setattr("benchkit.system.number_formats._capability", lambda device: 7)
    assert len([*find_unsupported(keys, "cuda:0"), *find_emulated(keys, "cuda:0")]) == 2


def test_grids_in_float32_ask_nothing_of_the_device(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("to resolve the device may load torch")

    monkeypatch.setattr("benchkit.planning.preflight.device_checks.resolve_device", refuse)
    check_precisions([("", quick())], registry, "auto")
