"""The paper's tables as grids: sources, scale, places, other data, and what differs from the paper's protocol."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchkit.api import BenchkitError, Dataset, Sample, param
from benchkit.config.grid import Grid, list_presets, load_grid, parse_grid
from benchkit.config.overrides import apply_settings, change_dataset, scale_grid
from benchkit.planning.cells import make_cells
from benchkit.planning.image_sets import order_rest_of_pool
from benchkit.planning.paper_protocol import list_protocol_differences, to_record
from benchkit.planning.plan import Plan
from benchkit.planning.planner import Planner
from benchkit.planning.preflight.check_grids import check_grids
from benchkit.plugin.registry import Entry, Registry
from benchkit.report.names import cell_names
from benchkit.specs.training_sets import CHUNK, Corrupted, Labelled, Pseudo
from benchkit.stages.base import Costs, Model
from benchkit.stages.invert import Invert
from benchkit.stages.train import Train
from benchkit.system.fetching import forbid_downloads

TABLES = ("table1", "table2", "table2-equal-steps", "table3", "table4")
NO_WEIGHTS = "detectors=['upernet-convnext:size=tiny,pretrained=none', 'upernet-swin:size=tiny,pretrained=none']"
TIMESTEPS = tuple(range(1, 1000, 20))


@dataclass(frozen=True)
class Marked(Dataset):
    """As many images as the paper has of RichHF-18k, none of which is ever read."""

    name = "richhf-18k"
    root: str | None = param(None, doc="where; the size of `test` is in a file there")
    size: int = param(512, doc="side")

    def splits(self) -> Mapping[str, int]:
        return {"pool": 7801, "validation": 955, "test": int(Path(self.root, "n").read_text()) if self.root else 500}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        raise AssertionError("planning reads no image")

    def labelled(self, count: int, seed: int) -> list[int]:
        return sorted(np.random.default_rng(seed).choice(7801, count, replace=False).tolist())

    def fingerprint(self) -> str:
        return "marked"


@dataclass(frozen=True)
class Clean(Dataset):
    """As many images as the paper has of HPS."""

    name = "dalle3-hq"
    root: str | None = param(None, doc="where")

    def splits(self) -> Mapping[str, int]:
        return {"clean": 10000}

    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        raise AssertionError("planning reads no image")

    def labelled(self, count: int, seed: int) -> list[int]:
        raise BenchkitError("nothing is labelled here")

    def fingerprint(self) -> str:
        return "clean"


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The shipped plugins; under the names of the paper's datasets, made-up ones of their sizes."""
    loaded = Registry.load()
    for cls in (Marked, Clean):
        loaded._entries["dataset", cls.name] = entry(cls)
    return loaded


def entry(cls: type[Dataset]) -> Entry:
    """A made-up dataset as one that is installed."""
    return Entry("dataset", cls.name, cls, "test", None, "0")


def table(name: str, *settings: str) -> Grid:
    """A table of the paper, its detectors without the weights that would have to be downloaded."""
    own = [] if any(text.startswith("detectors=") for text in settings) else [NO_WEIGHTS]
    return apply_settings(load_grid(name), [*own, *settings])


def plan(grid: Grid, registry: Registry) -> Plan:
    return Planner(grid, registry, Model("here", "identity", grid.num_inference_steps)).plan()


def rows(made: Plan) -> list[str]:
    return list(dict.fromkeys(made.names.values()))


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_rest_of_the_pool_is_all_but_the_labelled_images(seed: int) -> None:
    labelled = Marked().labelled(100, seed)
    rest = order_rest_of_pool(7801, labelled)
    assert len(rest) == 7701
    assert sorted([*rest, *labelled]) == list(range(7801))


def test_seeds_share_the_chunks_of_the_rest_that_none_of_them_labels() -> None:
    chunks = []
    for seed in (0, 1):
        rest = order_rest_of_pool(7801, Marked().labelled(100, seed))
        chunks.append({tuple(rest[i : i + CHUNK]) for i in range(0, len(rest), CHUNK)})
    labelled = {*Marked().labelled(100, 0), *Marked().labelled(100, 1)}
    untouched = [i for i in range(0, 7801 - CHUNK, CHUNK) if labelled.isdisjoint(range(i, i + CHUNK))]
    assert chunks[0] & chunks[1] >= {tuple(range(i, i + CHUNK)) for i in untouched}
    assert len(untouched) > 300


def test_rows_of_several_sources_are_told_apart_and_hold_their_images(registry: Registry) -> None:
    sizes: dict[str, set[int]] = {}
    splits: dict[str, str] = {}
    cells = list(make_cells(table("table1", "seeds=[0,1]"), registry))
    for cell, row in zip(cells, cell_names(cells), strict=True):
        training = cell.training
        if isinstance(training, Pseudo | Corrupted):
            sizes.setdefault(row, set()).add(len(training.images.indices))
            splits[row] = f"{training.images.dataset.name}/{training.images.split}"
            if training.images.split == "pool":
                assert set(training.images.indices).isdisjoint(Marked().labelled(100, cell.seed))
    assert {row: size.pop() for row, size in sizes.items()} == {
        "pseudo [HPS]": 10000,
        "renoise-masked:steps=10 [HPS]": 10000,
        "pseudo [RichHF-rest]": 7701,
        "renoise-masked:steps=10 [RichHF-rest]": 7701,
    }
    assert splits["pseudo [HPS]"] == "dalle3-hq/clean" and splits["pseudo [RichHF-rest]"] == "richhf-18k/pool"


SMALL = """
title: small
dataset: portraits
SOURCES
test: {split: test, size: 4}
labelled: 10
selectors: [random-boxes]
corruptors: ["gaussian:steps=2"]
detectors: ["upernet-convnext:pretrained=none"]
selector_training: {iterations: 1}
training: {iterations: 1}
"""


def small(sources: str) -> Grid:
    return parse_grid(SMALL.replace("SOURCES", sources), "small")


def test_one_source_is_the_same_work_however_it_is_written(registry: Registry) -> None:
    one = plan(small("source: {split: clean, size: 20}"), registry)
    listed = plan(small("sources: [{split: clean, size: 20}]"), registry)
    several = plan(small("sources: [{split: clean, size: 20}, {split: wild, size: 20}]"), registry)
    assert rows(one) == rows(listed)
    assert [p.key for p in one.cells] == [p.key for p in listed.cells]
    assert {s.key for s in one.stages} < {s.key for s in several.stages}
    assert "gaussian:steps=2 [clean]" in rows(several) and "gaussian:steps=2 [wild]" in rows(several)


def test_what_a_grid_does_not_say_stays_out_of_its_record() -> None:
    expected = load_grid("quick").as_data()
    assert expected["source"] == {"split": "clean", "size": 32}
    assert not {"sources", "paper_table", "on_dataset", "scale", "paper_sizes", "paper_data"} & set(expected)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("source: {split: clean, rest: true}", "split 'pool'"),
        ("source: {split: pool, rest: true, dataset: portraits}", "own dataset"),
        ("sources: [{split: clean}, {split: clean, size: 3}]", "two are called 'clean'"),
        ("sources: [{split: clean, nam: x}]", "line 4: unknown key 'nam': did you mean 'name'"),
        ("sources: [{split: clean, name: 'a=b'}]", "line 4: sources.0.name"),
        ("source: {split: clean}\nsources: [{split: clean}]", "exclude each other"),
        ("extends: tabel1", "line 4: unknown preset 'tabel1': did you mean 'table1'"),
    ],
)
def test_a_wrong_source_is_one_line(sources: str, message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        small(sources)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_too_many_of_the_rest_are_refused(registry: Registry) -> None:
    with pytest.raises(BenchkitError, match="490 images beside the 10 labelled, 491 were asked for"):
        plan(small("source: {split: pool, rest: true, size: 491}"), registry)


# --- presets ----------------------------------------------------------------------------------------------------------

PAPER_ROWS = {
    "table1": [
        "human",
        *(f"{row} [{name}]" for name in ("HPS", "RichHF-rest") for row in ("pseudo", "renoise-masked:steps=10")),
    ],
    "table2": ["human", "rotation:steps=20", "blur:steps=20", "gaussian:steps=20", "renoise-masked:steps=10"],
    "table2-equal-steps": [
        "human",
        *(f"{m}:steps={n}" for n in (10, 20) for m in ("rotation", "blur", "gaussian", "renoise-masked")),
    ],
    "table3": [
        "human",
        *(
            f"{row} [{source}]"
            for source in ("HPS", "RichHF-rest")
            for row in ("pseudo", *(f"renoise-masked:steps={n}" for n in (5, 10, 15, 20)))
        ),
    ],
    "table4": ["human", "gaussian:steps=0", "gaussian:steps=20"],
}
#: How many sources a table has, and how deep the deepest of its rows goes.
INVERTED = {"table1": (2, 10), "table2": (1, 20), "table3": (2, 20), "table4": (1, 20)}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_papers_rows_budget_and_protocol(name: str, registry: Registry) -> None:
    grid = table(name)
    made = plan(scale_grid(apply_settings(grid, ["seeds=[0]", "trivial=[]"]), 0.1), registry)
    assert rows(made) == PAPER_ROWS[name]
    for detector in ("upernet-convnext", "upernet-swin"):
        cells = [p for p in made.cells if p.cell.detector and p.cell.detector.name == detector]
        assert [made.names[p.key] for p in cells] == PAPER_ROWS[name] and all(p.skip is None for p in cells)
    trains = [s for s in made.stages if isinstance(s, Train)]
    assert {s.config.iterations for s in trains} == {100, 1000}
    assert {(s.config.batch, s.config.lr, s.config.betas, s.config.weight_decay) for s in trains} == {
        (8, 6e-5, (0.9, 0.999), 0.01)
    }
    assert sum(s.config.iterations == 100 for s in trains) == 2, "`human` is the selector's own training"
    assert (grid.selector_training.iterations, grid.training.iterations, grid.labelled) == (1000, 10000, 100)
    assert len(made.cells[0].cell.test.indices) == 50
    assert all(isinstance(p.cell.training, Labelled) is (p.cell.role == "human") for p in made.cells)
    if name in INVERTED:
        sources, depth = INVERTED[name]
        images = 1000 if sources == 1 else 1000 + round(0.1 * 7791)
        spent = sum(s.network_evaluations(Costs(registry, TIMESTEPS)) for s in made.stages if isinstance(s, Invert))
        assert spent == images * 2 * depth, (
            "R = 1: two network evaluations a step, one trajectory for all rows and detectors"
        )
    # The weights are `none`: that is another protocol, and nothing else is.
    (reported,) = list_protocol_differences(grid)
    assert reported.startswith("detectors: ")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_preview_has_the_rows_of_its_table_and_says_what_it_is(number: int, registry: Registry) -> None:
    grid, of_table = load_grid(f"table{number}-preview"), load_grid(f"table{number}")
    assert "preview" in grid.title and "preview" in grid.note.lower()
    for key in (
        "corruptors",
        "with_human",
        "baselines",
        "trivial",
        "test",
        "labelled",
        "seeds",
        "paper_table",
        "model",
    ):
        assert getattr(grid, key) == getattr(of_table, key), key
    assert grid.paper_sizes == of_table.paper_sizes and grid.paper_data == of_table.paper_data
    sources = [(one.dataset, one.split, one.rest, one.title, one.paper) for one in grid.every_source]
    assert sources == [(one.dataset, one.split, one.rest, one.title, one.paper) for one in of_table.every_source]
    trained_whole = {spec.values["pretrained"] for spec in of_table.detectors}
    assert {spec.values["pretrained"] for spec in grid.detectors} == trained_whole, "the same ADE20K weights"
    reported = [text.partition(":")[0] for text in list_protocol_differences(grid)]
    assert {"sources", "selectors", "detectors", "selection", "on_detector"} <= {*reported}


#: Network evaluations of the tables: one selection for each detector and seed, and one for all; of the previews.
EVALUATIONS = {
    "table1": (1_715_490, 708_040, 160_000),
    "table2": (4_900_000, 1_400_000, 280_000),
    "table4": (1_800_000, 800_000, 160_000),
}
OF_ONE_DETECTOR = """selectors=["learned:detector='upernet-swin:size=tiny,pretrained=none'"]"""


@pytest.mark.parametrize("name", EVALUATIONS)
def test_what_a_shared_selection_and_a_preview_save_is_as_documented(name: str, registry: Registry) -> None:
    heads = "detectors=['frozen-convnext:size=tiny,pretrained=none', 'frozen-swin:size=tiny,pretrained=none']"
    grids = (
        table(name),
        table(name, OF_ONE_DETECTOR, "selection_seed=0"),
        table(f"{name}-preview", OF_ONE_DETECTOR, heads),
    )
    plans = [plan(grid, registry) for grid in grids]
    spent = tuple(made.network_evaluations(Costs(registry, TIMESTEPS)) for made in plans)
    assert spent == EVALUATIONS[name]
    whole = [one for one in plans[2].stages if isinstance(one, Train) and one.detector.name == "upernet-swin"]
    assert [one.config.iterations for one in whole] == [1000], "one selector, trained as the table trains it"
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "reproduce.md").read_text()
    assert all(f"{number:,}" in page for number in spent)


def test_nothing_differs_where_data_and_weights_lie_elsewhere(registry: Registry, tmp_path: Path) -> None:
    grid = load_grid("table2")
    assert list_protocol_differences(grid) == ()
    assert to_record(grid, registry)["paper"] == {"table": 2, "sources": {"dalle3-hq": "HPS"}, "differs": []}
    (tmp_path / "n").write_text("480")
    urls = [spec.values["pretrained"] for spec in grid.detectors]
    files = [tmp_path / str(url).rpartition("/")[2] for url in urls]
    for file in files:
        file.touch()
    elsewhere = apply_settings(
        grid,
        [
            f"dataset=richhf-18k:root={tmp_path}",
            f"source.dataset=dalle3-hq:root={tmp_path}",
            f"detectors=['upernet-convnext:size=tiny,pretrained={files[0]}']",
        ],
    )
    assert list_protocol_differences(elsewhere) == ()
    assert to_record(elsewhere, registry)["paper"]["differs"] == ["split test: 480 images, 500 in the paper"]
    swapped = f"detectors=['upernet-convnext:size=tiny,pretrained={files[1]}']"
    assert list_protocol_differences(apply_settings(grid, [swapped]))[0].startswith("detectors: ")
    assert list_protocol_differences(apply_settings(grid, ["dataset=richhf-18k:size=256"]))[0].startswith("dataset: ")


@pytest.mark.parametrize(
    ("setting", "reported"),
    [
        ("training.iterations=500", "training: iterations 500"),
        ("seeds=[0]", "seeds: 0, not 0 and 1 and 2"),
        ("labelled=50", "labelled: 50, not 100"),
        ("source.size=64", "sources: dalle3-hq (clean, 64 images), not dalle3-hq (clean, 10000 images)"),
        (
            "source.dataset=dalle3-hq:size=128",
            "sources: dalle3-hq:size=128 (clean, 10000 images), not dalle3-hq (clean, 10000 images)",
        ),
        ("model=portraits", "model: portraits, not stable-diffusion-v1-5/stable-diffusion-v1-5"),
        ("selectors=[random-boxes]", "selectors: random-boxes, not learned"),
        ("test.size=9", "test: size 9"),
        ("corruptors=['blur:sigma=0.5']", "corruptor blur:sigma=0.5: parameters that the preset does not have"),
        ("dataset=portraits", "dataset: portraits, not richhf-18k"),
    ],
)
def test_every_change_of_the_protocol_is_told(setting: str, reported: str) -> None:
    assert list_protocol_differences(apply_settings(load_grid("table2"), [setting])) == (reported,)


def test_which_rows_there_are_is_no_difference() -> None:
    other_rows = apply_settings(load_grid("table2"), ["corruptors=['blur:steps=5']", "baselines=[]"])
    assert list_protocol_differences(other_rows) == ()
    assert list_protocol_differences(load_grid("table2-equal-steps")) == ()


def test_missing_images_are_told_with_what_runs_without_them(registry: Registry, tmp_path: Path) -> None:
    with forbid_downloads():
        check_grids([("", apply_settings(load_grid("table1"), ["model=portraits"]))], registry)
    with pytest.raises(BenchkitError, match=r"no split 'tset'.*; `dataset` portraits runs it on other images"):
        check_grids([("", apply_settings(load_grid("table1"), ["test.split=tset"]))], registry)


@pytest.mark.parametrize("name", TABLES)
def test_what_a_run_of_a_table_records_is_read_back_as_its_grid(name: str, registry: Registry) -> None:
    from benchkit.outputs.finished_run import parse_record
    from benchkit.store.results import RunInfo

    grid = table(name)
    info = RunInfo("r", "", "done", to_record(grid, registry), {}, {})
    assert "paper" in info.config
    assert parse_record(info.config, "r") == grid.replaced(on_dataset={})


# --- other data, settings, scale --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(list_presets()))
def test_every_preset_plans_on_portraits_at_a_small_scale(name: str, registry: Registry) -> None:
    grid = scale_grid(change_dataset(load_grid(name), "portraits"), 0.01)
    made = plan(grid, registry)
    assert all(planned.skip is None for planned in made.cells)
    assert all(planned.cell.test.dataset.name == "portraits" for planned in made.cells)
    assert all(len(planned.cell.test.indices) <= 5 for planned in made.cells)
    assert grid.model == "portraits" and grid.title.endswith("(scaled by 0.01)")
    reported = list_protocol_differences(grid)
    assert (grid.paper_table is None) == (not reported)
    if reported:
        assert reported[0] == "scaled: sizes and iterations are multiplied by 0.01"
        assert any(text.startswith("dataset: portraits, not richhf-18k") for text in reported)


def test_scale_multiplies_sizes_and_iterations_and_has_floors() -> None:
    whole = load_grid("portraits")
    tenth, least = scale_grid(whole, 0.1), scale_grid(whole, 1e-6)
    assert (tenth.source.size, tenth.test.size, tenth.labelled, tenth.validation.size) == (24, 50, 10, 10)
    assert (tenth.training.iterations, tenth.training.lr) == (200, 3e-3)
    (own,) = tenth.on_detector.values()
    written = own.selector_training.written()
    assert (written["iterations"], written["warmup"], written["lr"]) == (60, 5, 1e-3)
    assert (least.source.size, least.oracle.size, least.labelled, least.training.iterations) == (2, 2, 2, 1)
    assert tenth.seeds == whole.seeds and tenth.corruptors == whole.corruptors
    longer = scale_grid(whole.replaced(oracle={"split": "wild", "size": 2000, "iterations": 6000}), 0.1)
    assert longer.oracle is not None and (longer.oracle.size, longer.oracle.iterations) == (200, 600)
    twice = scale_grid(scale_grid(whole, 0.1), 0.5)
    assert twice.title == f"{whole.title} (scaled by 0.05)" and twice.source.size == 12
    assert scale_grid(whole, 1) == whole
    for wrong in (0, -1, 1.5, float("nan")):
        with pytest.raises(BenchkitError, match="`scale`"):
            scale_grid(whole, wrong)


def test_a_share_of_a_set_without_a_size(registry: Registry) -> None:
    cells = list(make_cells(scale_grid(table("table1", "seeds=[0]"), 0.1), registry))
    pairs = zip(cells, cell_names(cells), strict=True)
    sizes = {row: len(c.training.images.indices) for c, row in pairs if isinstance(c.training, Pseudo)}
    assert sizes == {"pseudo [HPS]": 1000, "pseudo [RichHF-rest]": round(0.1 * (7801 - 10))}
    assert len(cells[0].test.indices) == 50


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.iterations", "write KEY=VALUE"),
        ("source.size=3", "write sources.0.size=VALUE"),
        ("sources.7.size=3", "no 'sources.7'"),
        ("training.itrations=3", "did you mean 'iterations'"),
        ("training.iterations=-3", "greater than or equal"),
        ("title.x=3", "no 'title.x'"),
        ("seeds=[0", "not a list"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(BenchkitError) as caught:
        apply_settings(load_grid("table1"), [setting])
    assert message in str(caught.value) and "`settings`" in str(caught.value) and "\n" not in str(caught.value)


def test_settings_reach_into_lists_and_empty_places() -> None:
    grid = apply_settings(load_grid("table1"), ["sources.0.size=7", "oracle.split=wild", "training.lr=1e-3"])
    assert grid.sources[0].size == 7 and grid.oracle is not None and grid.oracle.split == "wild"
    assert grid.training.lr == 1e-3


def test_a_wrong_replacement_for_a_dataset_is_named() -> None:
    with pytest.raises(BenchkitError, match=r"unknown key 'modell': did you mean 'model'\? \(at 'on_dataset.portraits"):
        small("on_dataset: {portraits: {modell: x}}")


def prepared(registry: Registry, facts: Mapping[str, str | int]) -> Registry:
    """The same plugins, of which the clean set was prepared so."""

    @dataclass(frozen=True)
    class Prepared(Clean):
        """Images of some draw."""

        def provenance(self) -> Mapping[str, str | int | float | bool | None]:
            return facts

    other = Registry.load()
    other._entries |= {**registry._entries, ("dataset", "dalle3-hq"): entry(Prepared)}
    return other


@pytest.mark.parametrize(
    ("facts", "differs"),
    [
        ({}, []),
        ({"draw seed": 0, "draw count": 10000}, []),
        ({"draw seed": 3}, ["data of dalle3-hq: draw seed 3, not 0"]),
        (
            {"draw seed": 0, "cleanest detector": "dot", "cleanest candidates": 40000},
            ["data of dalle3-hq: cleanest detector dot, cleanest candidates 40000"],
        ),
    ],
)
def test_another_draw_or_filter_is_another_protocol(
    registry: Registry, facts: dict[str, str | int], differs: list[str]
) -> None:
    grid = table("table2", "seeds=[0,1,2]", "detectors=[upernet-convnext]")
    expected = to_record(grid, prepared(registry, facts))["paper"]["differs"]
    assert [text for text in expected if text.startswith("data")] == differs


def test_the_rule_that_the_tables_state_is_the_one_that_prepares_by_default() -> None:
    from benchkit.cli.prepare import richhf
    from benchkit.preparation.richhf_rule import Rule

    default = inspect.signature(richhf).parameters["rule"].default
    for name in TABLES:
        assert load_grid(name).paper_data["richhf-18k"] == {"rule": str(Rule.parse(default))}


@pytest.mark.parametrize("name", list_presets())
def test_title_and_note_count_nothing_and_name_no_data(name: str) -> None:
    """What a run really had stands in its line of settings: a preset's own words stay true whatever is replaced."""
    grid = load_grid(name)
    for text in (re.sub(r"^Table \d", "", grid.title), grid.note):
        assert not re.search(r"\d|\b(one|two|three) (seed|detector|step)", text), text
        assert "portraits" not in text
