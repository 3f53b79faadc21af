"""A comparison with masked resampling: refused where it is of no use or too far off, marked on its board otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import benchkit
from benchkit.config.grid import Grid, load_grid, parse_grid
from benchkit.diffusion import masked_resample
from benchkit.errors import BenchkitError
from benchkit.planning.planner import Planner
from benchkit.planning.preflight import masking
from benchkit.plugin.registry import Registry
from benchkit.report.settings import settings_line
from benchkit.runs import masked_parity
from benchkit.runs.recorder import make_cell_info
from benchkit.specs.faults import FaultsError
from benchkit.stages.base import Model
from benchkit.stages.corrupt import Corrupt
from tests.helpers.small_comparison import GRID, PLUGINS

METHODS = ["none:steps=1", "gaussian:steps=1", "gaussian:steps=0", "prompt-swap:steps=1"]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(files=[PLUGINS])


def small(model: Path | str = "here", **changes: object) -> Grid:
    return parse_grid(GRID.format(model=model), "test").replaced(corruptors=METHODS, **changes)


def stages(registry: Registry, **sampling: object) -> dict[str, Corrupt]:
    """Return the corruption of each method's first chunk."""
    plan = Planner(small(sampling=sampling), registry, Model("here", "identity", 10)).plan()
    found = [one for one in plan.stages if isinstance(one, Corrupt) and one.region.chunk == 0]
    return {one.corruptor.short: one for one in found}


def test_only_corruptions_that_are_resampled_plainly_are_masked(registry: Registry) -> None:
    exact, masked = stages(registry), stages(registry, resampling="masked")
    moved = {name for name, stage in exact.items() if masked[name].key != stage.key}
    assert moved == {"none:steps=1", "gaussian:steps=1"}
    assert {one.resampling for name, one in masked.items() if name not in moved} == {"exact"}
    assert exact["none:steps=1"].group != masked["none:steps=1"].group


def test_the_default_is_not_recorded(registry: Registry) -> None:
    assert "sampling" not in small(sampling={"resampling": "exact"}).as_data()
    assert small(sampling={"resampling": "masked"}).as_data()["sampling"]["resampling"] == "masked"
    for resampling, wanted in (("masked", "masked"), ("exact", None)):
        plan = Planner(small(sampling={"resampling": resampling}), registry, Model("here", "identity", 10)).plan()
        (row,) = (one for one in plan.cells if one.cell.method == "gaussian:steps=1")
        assert make_cell_info(row, registry).settings.get("resampling") == wanted


def test_small_latents_are_refused() -> None:
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masking.find_useless_masking(grid, Registry.load())
    assert "latents of 16 x 16 are too small" in fault.message and fault.remedy == "choose exact"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let latents of any size count as large enough."""
    monkeypatch.setattr(masked_resample, "SMALLEST_SIDE", 1)


@pytest.mark.usefixtures("large")
def test_latents_in_which_every_mask_is_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_resample, "MOST_WORK", 0.1)
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masking.find_useless_masking(grid, Registry.load())
    assert "in latents of 16 x 16 the smallest mask leaves 3" in fault.message
    assert "only masks that leave 10 % or less" in fault.message


@pytest.mark.usefixtures("large")
def test_an_unknown_denoiser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchkit.diffusion.masked_unet.find_unsupported", lambda config: "act_fn: mish")
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masking.find_useless_masking(grid, Registry.load())
    assert "it does not know the checkpoint's denoiser (act_fn: mish)" in fault.message


@pytest.mark.usefixtures("large")
def test_latents_with_odd_sides_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "read_latent_size", lambda grid, registry: (16, 18))
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masking.find_useless_masking(grid, Registry.load())
    assert "latents of 16 x 18 cannot be halved on each of the denoiser's 3 levels" in fault.message


def test_exact_resampling_has_no_such_fault() -> None:
    assert not list(masking.find_useless_masking(load_grid("quick"), Registry.load()))


@pytest.fixture
def always(large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate every image masked: the latents of the tests' images are small."""
    monkeypatch.setattr(masked_resample, "MOST_WORK", 1.0)


def compare(grid: Path, cache: Path, **more: Any) -> Any:
    settings = {"sampling.resampling": "masked"}
    return benchkit.compare(
        grid, cache=cache, progress=False, device="cpu", plugins=[PLUGINS], settings=settings, **more
    )


def test_a_comparison_refuses_what_changes_nothing(grid: Path, tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match=r"sampling\.resampling: masked is of no use here: latents of 4 x 4 are"):
        compare(grid, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("always")
def test_a_comparison_refuses_results_too_far_from_exact(
    grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked_parity, "CLOSENESS", 1000.0)
    wanted = r"sampling\.resampling is masked, and with this checkpoint the result is .* dB .*, below 1000: set it to"
    with pytest.raises(BenchkitError, match=wanted):
        compare(grid, tmp_path / "cache")


@pytest.mark.usefixtures("always")
def test_a_board_says_that_it_is_an_approximation(grid: Path, tmp_path: Path) -> None:
    made = compare(grid, tmp_path / "cache", out=tmp_path / "out", executor="inline")
    trained = made.metrics().query("role == 'corrupted'")
    assert set(trained["resampling"]) == {"masked"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Masked resampling: corrupted latents" in page
    assert "resampling masked" in settings_line(made.outcome.board)
    assert compare(grid, tmp_path / "cache", executor="inline").stages["run"] == 0, "it is found again"
