"""Settings of the sampling: what they change in keys, what `auto` means, and what is refused before work."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchkit.config.grid import Grid, load_grid, parse_grid
from benchkit.errors import BenchkitError
from benchkit.planning import auto_sampling
from benchkit.planning.auto_sampling import choose_chunk, choose_precision
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.planning.preflight.device_checks import check_sampling
from benchkit.plugin.registry import Registry
from benchkit.runs.cell_recorder import make_cell_info
from benchkit.runs.run import find_model
from benchkit.specs.faults import FaultsError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Model
from benchkit.stages.corrupt import Corrupt, RoundTrip
from benchkit.stages.images import Latents, Source
from benchkit.stages.invert import Invert
from tests.helpers.small_comparison import GRID, PLUGINS

MODULE = "benchkit.planning.preflight.precision"
GIB = 2**30


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(files=[PLUGINS])


def small(model: Path | str = "here", **changes: object) -> Grid:
    return parse_grid(GRID.format(model=model), "test").replaced(**changes)


def plan(registry: Registry, precision: str = "float32", chunk: int = 16, **changes: object) -> Plan:
    grid = small(sampling={"precision": precision, "chunk": chunk}, **changes)
    return Planner(grid, registry, Model("here", "identity", 10, sampling=precision)).plan()


def keys(made: Plan) -> set[str]:
    return {stage.key for stage in made.stages}


def test_keys_of_the_portable_default_are_those_of_earlier_versions() -> None:
    source = Source(ImageSet(Spec.parse("dataset", "portraits"), "test", (0, 1)), "fingerprint", "test", (0, 1))
    latents = Latents(source, Model("here", "identity"))
    assert latents.key == "9b1dea62a35f82da8e91c9965120c46b4d112a9441f4a83989202599a35f75f8"
    assert (
        Invert(latents, Spec.parse("inverter", "ddim"), "plugin", 3, None).key
        == "d296dd4dd53626226fe82d6b20138bbcfa476276e8cc2b3fba6da7c0c75c420c"
    )
    assert Latents(source, Model("here", "identity", sampling="bfloat16")).key != latents.key


def test_the_default_written_out_changes_neither_keys_nor_records(registry: Registry) -> None:
    plain = Planner(small(), registry, Model("here", "identity", 10)).plan()
    assert keys(plan(registry)) == keys(plain)
    assert "sampling" not in small().as_data() and "sampling" not in small(sampling={"chunk": 16}).as_data()
    assert small(sampling={"chunk": 8}).as_data()["sampling"] == {"precision": "float32", "chunk": 8}


def test_every_image_of_another_precision_has_another_key(registry: Registry) -> None:
    sampled = (Latents, Invert, Corrupt, RoundTrip)
    made = [
        {stage.key for stage in plan(registry, precision).stages if isinstance(stage, sampled)}
        for precision in ("float32", "bfloat16", "float16")
    ]
    assert len(set.union(*made)) == sum(map(len, made)) and all(made)


def test_a_chunk_does_not_depend_on_other_rows(registry: Registry) -> None:
    one = plan(registry, chunk=3, source={"split": "clean", "size": 8}, corruptors=["none:steps=1"])
    both = plan(registry, chunk=3, source={"split": "clean", "size": 8})
    assert keys(one) < keys(both)
    corrupt = [stage for stage in both.stages if isinstance(stage, Corrupt)]
    rows = {(stage.region.rows.start, stage.region.rows.stop) for stage in corrupt}
    assert rows == {(0, 3), (3, 6), (6, 8)}


def test_rows_name_the_settings_that_moved_them(registry: Registry) -> None:
    for precision, chunk in (("bfloat16", 8), ("float32", 16)):
        (row,) = (one for one in plan(registry, precision, chunk).cells if one.cell.method == "gaussian:steps=1")
        settings = make_cell_info(row, registry).settings
        default = precision == "float32"
        assert settings["dtype"] == ("float32" if default else "float32, sampling bfloat16")
        assert settings.get("chunk") == (None if default else 8)


def test_two_number_formats_for_one_model_are_refused() -> None:
    with pytest.raises(BenchkitError, match=r"dtype=float16' computes in float16, sampling\.precision is bfloat16"):
        Model.of("owner/name:dtype=float16", "identity", 50, "bfloat16")
    assert Model.of("owner/name:dtype=float16", "identity", 50).dtype == "float16"


@pytest.mark.parametrize("value", [0, -1, 1025, 1.5, True, "many", None])
def test_a_chunk_is_a_whole_number_or_auto(value: object) -> None:
    with pytest.raises(BenchkitError, match=r"sampling\.chunk: must be a whole number from 1 to 1024, or auto"):
        small(sampling={"chunk": value})
    assert small(sampling={"chunk": "auto"}).sampling.chunk == "auto"


def test_a_precision_has_a_torch_name() -> None:
    with pytest.raises(BenchkitError, match=r"sampling\.precision: Input should be 'float32'"):
        small(sampling={"precision": "tf32"})


def test_a_plan_needs_settled_settings(tiny_checkpoint: Path) -> None:
    for key in ("precision", "chunk"):
        with pytest.raises(BenchkitError, match="sampling is auto"):
            find_model(small(tiny_checkpoint, sampling={key: "auto"}))


def test_an_emulated_precision_is_refused_with_its_cost(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE}.has_bfloat16", lambda _: False)
    monkeypatch.setattr(f"{MODULE}.has_float16", lambda _: False)
    for precision, cost in (("bfloat16", "1.7 times"), ("float16", "4 times")):
        with pytest.raises(FaultsError, match=f"only emulates {precision}, which takes about {cost}") as found:
            check_sampling([("", small(sampling={"precision": precision}))], registry, "cpu")
        assert found.value.settings == {"sampling.precision": "float32"}
    for known in (True, None):  # None: the system does not say, and the check of the images decides
        monkeypatch.setattr(f"{MODULE}.has_bfloat16", lambda _, known=known: known)
        check_sampling([("", small(sampling={"precision": "bfloat16"}))], registry, "cpu")


def test_the_default_asks_nothing_of_the_device(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("to resolve the device may load torch")

    monkeypatch.setattr("benchkit.planning.preflight.device_checks.resolve_device", refuse)
    check_sampling([("", small())], registry, "auto")


@pytest.mark.parametrize(
    ("bfloat16", "float16", "chosen"),
    [
        (True, True, "bfloat16"),
        (True, False, "bfloat16"),
        (False, True, "float16"),
        (False, False, "float32"),
        (None, None, "float32"),
    ],
)
def test_auto_is_a_precision_that_the_device_does_not_emulate(
    monkeypatch: pytest.MonkeyPatch, bfloat16: bool | None, float16: bool | None, chosen: str
) -> None:
    monkeypatch.setattr(auto_sampling, "has_bfloat16", lambda _: bfloat16)
    monkeypatch.setattr(auto_sampling, "has_float16", lambda _: float16)
    assert choose_precision(small(), "cpu") == chosen
    assert choose_precision(small("here:dtype=float16"), "cpu") == "float32"


@pytest.mark.parametrize(
    ("side", "memory", "chunk"),
    [(128, 16 * GIB, 64), (256, 16 * GIB, 32), (512, 160 * GIB, 16), (1024, 160 * GIB, 8), (128, GIB // 2, 16)],
)
def test_auto_takes_fewer_images_of_larger_latents_and_in_less_memory(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, side: int, memory: int, chunk: int
) -> None:
    monkeypatch.setattr(auto_sampling, "_image_sizes", lambda *_: [(side, side)])
    monkeypatch.setattr(auto_sampling, "read_memory_size", lambda _: memory)
    assert choose_chunk(load_grid("quick"), registry, "cuda") == chunk


def test_seeds_that_share_chunks_keep_them(registry: Registry) -> None:
    grid = load_grid("quick").replaced(source={"split": "pool", "rest": True, "size": 64})
    assert choose_chunk(grid, registry, "cpu") == 16


def test_a_chunk_that_does_not_fit_names_one_that_does(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_sampling, "read_memory_size", lambda _: GIB)
    grid = load_grid("quick").replaced(sampling={"chunk": 1024})
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(
            "benchkit.planning.preflight.device_checks.resolve_device", lambda *_, device=device, **__: device
        )
        with pytest.raises(FaultsError, match=r"sampling\.chunk: 1024 images at once need about .*: \d+ fit") as found:
            check_sampling([("", grid)], registry, device)
        most = found.value.settings["sampling.chunk"]
        check_sampling([("", grid.replaced(sampling={"chunk": most}))], registry, device)
        assert 16 < most < 1024
        with pytest.raises(FaultsError):
            check_sampling([("", grid.replaced(sampling={"chunk": most + 1}))], registry, device)
