"""A comparison with masked resampling: refused where it is of no use or too far off, marked on its board otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import benchkit
from benchkit.api import LatentContext, Sample
from benchkit.config.grid import Grid, load_grid, parse_grid
from benchkit.diffusion import masked_resample
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.masked_unet import complete_config
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.pipeline import corrupt_latents
from benchkit.errors import BenchkitError
from benchkit.planning.planner import Planner
from benchkit.planning.preflight import masked_resampling
from benchkit.plugin.registry import Registry
from benchkit.report.settings import settings_line
from benchkit.runs import masked_resampling_check
from benchkit.runs.cell_recorder import make_cell_info
from benchkit.specs.faults import FaultsError
from benchkit.specs.spec import Spec
from benchkit.stages.base import Model
from benchkit.stages.corrupt import Corrupt
from benchkit.stages.masked_parity import MaskedParity, list_masks
from benchkit.store.artifacts import arrays_from_bytes
from benchkit_plugins.corruptors.gaussian import Gaussian
from benchkit_plugins.corruptors.none import RoundTrip
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
    (fault,) = masked_resampling.find_useless_masking(grid, Registry.load())
    assert "latents of 16 x 16 are too small" in fault.message and fault.remedy == "choose exact"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let latents of any size count as large enough."""
    monkeypatch.setattr(masked_resample, "SMALLEST_SIDE", 1)


@pytest.mark.usefixtures("large")
def test_latents_in_which_every_mask_is_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_resample, "MOST_WORK", 0.1)
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masked_resampling.find_useless_masking(grid, Registry.load())
    assert "in latents of 16 x 16 the smallest mask leaves 3" in fault.message
    assert "only masks that leave 10 % or less" in fault.message


@pytest.mark.usefixtures("large")
def test_an_unknown_denoiser_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchkit.diffusion.masked_unet.find_unsupported", lambda config: "act_fn: mish")
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masked_resampling.find_useless_masking(grid, Registry.load())
    assert "it does not know the checkpoint's denoiser (act_fn: mish)" in fault.message


@pytest.mark.usefixtures("large")
def test_latents_with_odd_sides_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_resampling, "list_latent_sizes", lambda grid, registry: [(16, 18)])
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    (fault,) = masked_resampling.find_useless_masking(grid, Registry.load())
    assert "latents of 16 x 18 cannot be halved on each of the denoiser's 3 levels" in fault.message


def test_exact_resampling_has_no_such_fault() -> None:
    assert not list(masked_resampling.find_useless_masking(load_grid("quick"), Registry.load()))


def test_one_large_source_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    monkeypatch.setattr(masked_resampling, "list_latent_sizes", lambda grid, registry: [(16, 16), (64, 64)])
    assert not list(masked_resampling.find_useless_masking(grid, Registry.load()))
    monkeypatch.setattr(masked_resampling, "list_latent_sizes", lambda grid, registry: [(16, 16), (24, 64)])
    (fault,) = masked_resampling.find_useless_masking(grid, Registry.load())
    assert "latents of 16 x 16 and 24 x 64 are too small" in fault.message


def test_a_grid_without_plain_resampling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_resampling, "list_latent_sizes", lambda grid, registry: [(64, 64)])
    grid = load_grid("quick").replaced(
        sampling={"resampling": "masked"}, corruptors=["gaussian:steps=0", "prompt-swap:steps=5", "cutpaste"]
    )
    (fault,) = masked_resampling.find_useless_masking(grid, Registry.load())
    assert "no corruptor of the grid leaves the resampling to benchkit" in fault.message
    with_parts = grid.replaced(corruptors=["mixture"])
    assert not list(masked_resampling.find_useless_masking(with_parts, Registry.load()))


def test_a_faulty_config_is_left_to_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_resampling, "list_latent_sizes", lambda grid, registry: [(64, 64)])
    monkeypatch.setattr("benchkit.diffusion.checkpoint.read_json", lambda *_: {"down_block_types": ["Other"]})
    grid = load_grid("quick").replaced(sampling={"resampling": "masked"})
    assert not list(masked_resampling.find_useless_masking(grid, Registry.load()))
    with pytest.raises(BenchkitError, match="diffusers makes no denoiser of this config"):
        complete_config({"down_block_types": ["Other"]})


def test_each_set_of_images_is_checked(registry: Registry) -> None:
    sources = [{"split": "clean", "size": 4}, {"split": "wild", "size": 4, "name": "other"}]
    grid = small(sources=sources, sampling={"resampling": "masked"})
    plan = Planner(grid, registry, Model("here", "identity", 10)).plan()
    checks = list(masked_resampling_check.list_parities(plan))
    assert [check.source.split for check in checks] == ["clean", "wild"]
    assert {len(check.source.indices) for check in checks} == {masked_resampling_check.IMAGES}


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return DiffusionBackend.load(tiny_checkpoint, steps=10)


def test_the_check_uses_masks_that_a_run_evaluates_masked(backend: DiffusionBackend) -> None:
    square, strip = list_masks(backend, (64, 64))
    for mask in (square, strip):
        assert 0 < mask.float().mean() <= 0.11 and masked_resample.is_compact(backend, mask)
    assert square[32, 32] and not square[:8].any()
    assert strip[0].all() and not strip[32:].any()
    assert list_masks(backend, (16, 16)) == [], "too small"


def test_the_check_finds_that_masked_resampling_is_an_approximation(
    backend: DiffusionBackend, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the check on images of 256 pixels, whose latents have 32: tiles stay partial there."""
    images = np.random.default_rng(0).integers(0, 255, (2, 256, 256, 3), dtype=np.uint8)
    samples = [Sample(f"{i}", image, None, "a square") for i, image in enumerate(images)]
    stage = MaskedParity(FakeSource(samples), Model("here"), Spec.parse("inverter", "ddim"), "", 2)  # type: ignore[arg-type]
    env = SimpleNamespace(backend=lambda model: backend, registry=registry)
    closeness = arrays_from_bytes(stage.run(env).files["arrays.safetensors"])["closeness"]  # type: ignore[arg-type]
    assert closeness.shape == (4,)
    # Random weights, so that it says nothing of how close trained ones are.
    assert np.isfinite(closeness).all() and (closeness < 119).all()


def test_corruptors_of_a_group_share_the_round_trip(backend: DiffusionBackend) -> None:
    steps, noise = 2, torch.Generator().manual_seed(0)
    z_t = torch.randn(1, 4, 32, 32, generator=noise)
    mask = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    mask[..., :3, :3] = True
    at = LatentContext(z_t, z_t, mask, backend.schedule.alpha_bar[steps], 256, ("a",), ImageNoise(0, ["a"]))
    before = backend.network_evaluations
    corrupt_latents(backend, [Gaussian(steps=steps), RoundTrip(steps=steps)], at, masked=True)
    assert backend.network_evaluations - before == steps * (1 + 2)


@dataclass(frozen=True)
class FakeSource:
    """Images that are read from memory."""

    samples: list[Sample]

    def read(self, env: object) -> list[Sample]:
        return self.samples


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
    monkeypatch.setattr(masked_resampling_check, "CLOSENESS", 1000.0)
    wanted = r"sampling\.resampling is masked, and with this checkpoint the result is .* dB .*, below 1000: set it to"
    with pytest.raises(BenchkitError, match=wanted):
        compare(grid, tmp_path / "cache")


@pytest.mark.usefixtures("always")
def test_a_board_says_that_it_is_an_approximation(grid: Path, tmp_path: Path) -> None:
    made = compare(grid, tmp_path / "cache", out=tmp_path / "out", executor="inline")
    trained = made.metrics().query("role == 'corrupted'")
    assert set(trained["resampling"]) == {"masked"}
    exact = benchkit.compare(grid, cache=tmp_path / "cache", progress=False, plugins=[PLUGINS], executor="inline")
    assert "resampling" not in exact.metrics()
    assert exact.stages["run"] > 0, "its corrupted images are others"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Masked resampling: corrupted latents" in page
    assert "resampling masked" in settings_line(made.outcome.board)
    assert compare(grid, tmp_path / "cache", executor="inline").stages["run"] == 0, "it is found again"
