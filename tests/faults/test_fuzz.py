# ruff: noqa: E501
"""Fuzzed parsers: whatever comes in, a value or one line of BenchkitError comes out.

What was found is kept as an example. $FUZZ_TRIES (set by `make test-all`) is how often each is tried, with other draws
every time; by default a few fixed draws.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchkit.config.grid import Grid, load_grid, parse_grid
from benchkit.config.overrides import apply_settings
from benchkit.diffusion.options import parse_model
from benchkit.errors import BenchkitError
from benchkit.inference.detector import read_card
from benchkit.plugin.registry import Registry
from benchkit.preparation.dalle3 import parsed, words
from benchkit.preparation.richhf import Preparation
from benchkit.preparation.richhf_rule import Rule
from benchkit.readers.image_headers import read_checked_header, read_shape
from benchkit.readers.images import decode_image
from benchkit.readers.masks import MaskRule, decode_label, decode_mask
from benchkit.readers.prepared_dataset import PreparedSet
from benchkit.readers.tar_shards import find_shards, list_pairs
from benchkit.readers.tfrecord import parse_example, read_examples
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import make_boards, parse_lines
from benchkit.report.render_board import FORMATS, render
from benchkit.search.search_space import make_space, parse_space
from benchkit.search.variants import Axis, expand
from benchkit.specs.grammar import split_parts
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec
from benchkit.store.columns import SETTINGS as COLUMNS
from benchkit_plugins.datasets.folder.dataset import Folder
from benchkit_plugins.datasets.folder.regions import draw_region
from recipes.tfrecord_writer import example as tf_example
from recipes.tfrecord_writer import framed
from tests.faults import bad_world

REGISTRY = Registry.load()
GRID = load_grid("quick")
MANY = int(os.environ.get("FUZZ_TRIES", "0"))


def tried(tries: int = 60) -> Any:
    """So often by default."""
    everything = list(HealthCheck)
    return settings(
        max_examples=MANY or tries, derandomize=not MANY, deadline=None, suppress_health_check=everything, database=None
    )


def allowed(parse: Callable[[], Any]) -> Any:
    """What a parser returns; None where it raised a BenchkitError, which the command line prints on one line."""
    try:
        return parse()
    except BenchkitError as error:
        assert str(error).strip()
        return None


#: Text that looks like what a user writes, and text that does not.
WRITTEN = st.text(st.sampled_from(list("abegkns019:=,|()[]{}+-._&*!'\"#~ \n\t\0é²٣∞")), max_size=40)
VALUES = st.sampled_from(
    ["1", "-1", "0.5", "nan", ".nan", ".inf", "1e999", "true", "null", "2020-13-45", "9" * 5000, "!!int x", "[1]", "{a: b}",
     "!!binary x", "!!timestamp x", "1:99", "0x", "<<", "=", "&a", "*a", "'", '"\\', "%", "@", "a" * 300, "!!python/name:os", "0o9", "1_", "- a"]
)  # fmt: skip
KEYS = st.sampled_from(["steps", "sigma", "name", "kind", "cls", "params", "self", "é", "class", "a"])
ITEMS = st.builds(lambda k, v: f"{k}={v}", KEYS, st.lists(VALUES, min_size=1, max_size=2).map("|".join))
SPECS = st.one_of(
    WRITTEN,
    st.text(max_size=30),
    st.builds(
        lambda n, i: f"{n}:{','.join(i)}", st.sampled_from(["gaussian", "blur", "a", ""]), st.lists(ITEMS, max_size=3)
    ),
)


def read_spec(text: str) -> None:
    def read() -> None:
        for spec in Spec.parse_all("corruptor", text):
            digest(spec)
            assert Spec.parse("corruptor", str(spec)) == spec
            if REGISTRY.has(spec.kind, spec.name):
                REGISTRY.complete(spec)

    for parse in (read, lambda: Spec.parse("detector", text), lambda: split_parts(text), lambda: Rule.parse(text),
                  lambda: parse_model(text)):  # fmt: skip
        allowed(parse)


@tried(150)
@example("gaussian:kind=1")
@example("gaussian:name=1")
@example("gaussian:cls=1")
@example("gaussian:steps=2020-13-45")
@example("gaussian:steps=" + "9" * 5000)
@example("gaussian:steps=" + "[" * 1000)
@example("gaussian:steps=!!timestamp x")
@example("blur:sigma=nan")
@example("blur:sigma=.inf")
@example("a:" + ",".join(f"k{i}=1|2|3|4" for i in range(30)))
@example("portraits:kind=1")
@example("~a\0")
@given(SPECS)
def test_spec_texts(text: str) -> None:
    read_spec(text)


SETTINGS = st.one_of(
    WRITTEN,
    st.builds(
        lambda path, value: f"{'.'.join(path)}={value}",
        st.lists(st.one_of(st.sampled_from([*Grid.model_fields, "iterations", "0", "²", "-1", "size"]), WRITTEN), max_size=3),
        st.one_of(VALUES, WRITTEN),
    ),
)  # fmt: skip


@tried(60)
@example("title=2020-13-45")
@example("title=" + "[" * 1000)
@example("corruptors.²=x")
@example("on_dataset.a=1")
@example("training=null")
@given(SETTINGS)
def test_set_and_vary(text: str) -> None:
    allowed(lambda: apply_settings(GRID, [text]))
    allowed(lambda: expand(GRID, [Axis.parse(text)], REGISTRY))


@tried(60)
@example("steps=2020-13-45..3")
@example("sigma=nan..3")
@example("sigma=1..inf")
@example("strength=1..2..3")
@given(
    st.one_of(
        WRITTEN, st.builds("{}={}..{}".format, KEYS, VALUES, VALUES), st.builds("{}={}|{}".format, KEYS, VALUES, VALUES)
    )
)
def test_space(text: str) -> None:
    given_space = allowed(lambda: parse_space([text]))
    if given_space:
        allowed(lambda: make_space(Spec.of("corruptor", "gaussian"), given_space, REGISTRY, 50))
        allowed(lambda: make_space(Spec.of("corruptor", "blur"), given_space, REGISTRY, 50))


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
GRID_LINES = st.builds(
    lambda key, value: f"{key}: {value}",
    st.one_of(st.sampled_from([*Grid.model_fields, "extends", "? [a]\n"]), WRITTEN),
    st.one_of(VALUES, WRITTEN, PLAIN.map(lambda value: json.dumps(value))),
)


@tried(150)
@example("title: 2020-13-45")
@example("title: !!bool x")
@example("extends: quick\ntitle: 2020-13-45")
@example("labelled: " + "9" * 5000)
@example("title: " + "[" * 1000)
@example("title: &a [*a]")
@example("&a\ntitle: *a")
@example("? [a, b]\n: 1")
@example("extends: [quick]")
@example("extends: {}")
@example("extends: quick\non_dataset: {a: 1}")
@example("extends: quick\non_dataset: {a: {1: 2}}")
@example("extends: quick\npaper_sizes: {a: b}")
@example("extends: quick\n1: 2")
@example("extends: quick\nsource: {1: 2}")
@example("extends: quick\nsources: [{x: 1}]")
@example("extends: quick\nsources: 3\nsource: 3")
@example("extends: quick\ntraining: {lr: .nan}")
@given(
    st.one_of(
        st.text(max_size=40), WRITTEN, st.lists(GRID_LINES, max_size=3).map("\n".join).map("extends: quick\n{}".format)
    )
)
def test_grids(text: str) -> None:
    grid = allowed(lambda: parse_grid(text, "g.yaml"))
    assert grid is None or isinstance(grid, Grid)


RUN = {
    "schema": 1, "source": "run", "run": "r", "title": "t", "group": "trained", "state": "done",
    "training_set": "human", "selector": None, "detector": "dot", "test_set": "shapes/test", "corruptor_params": None,
    "seeds": 1, "planned_seeds": 1, "artifact_iou": 0.5, "artifact_iou_low": 0.4, "artifact_iou_high": 0.6,
}  # fmt: skip
NAMES = st.sampled_from(
    [
        *RUN,
        "role",
        "method",
        "source_name",
        "shown",
        *COLUMNS,
        "rank",
        "delta_pseudo",
        "delta_human",
        "images",
        "seed_variance",
        "reason",
        "plugins",
        "paper",
        "auroc",
        "x",
    ]
)


def read_lines(text: str) -> None:
    lines = allowed(lambda: list(parse_lines(text, "rows.jsonl")))
    for line in lines or ():
        assert line.method is not None
    boards = allowed(lambda: make_boards(lines or (), "rows.jsonl"))
    for board in boards or ():
        for form in FORMATS:
            allowed(lambda board=board, form=form: render(board, form))


@tried(60)
@example({"auroc": [1]})
@example({"corruptor_params": "[1]"})
@example({"corruptor_params": "{"})
@example({"corruptor_params": "[" * 100_000})
@example({"seeds": 10**30})
@example({"schema": float("nan")})
@example({"training_set": ":"})
@example({"schema": 2})
@example({"schema": 2, "role": "king"})
@example({"schema": 2, "role": "human", "training": "["})
@example({"schema": 2, "role": "human", "training": "[1]"})
@example({"schema": 2, "role": "human", "shown": {"human": 1}})
@example({"schema": 2, "role": "human", "paste_background": "maybe", "labelled": "many"})
@example({"images": "many"})
@given(st.dictionaries(NAMES, PLAIN, max_size=4))
def test_leaderboard_lines(changes: dict[str, Any]) -> None:
    read_lines(json.dumps({**RUN, **changes}))
    read_lines(json.dumps(changes))


@tried(60)
@example("[" * 100_000)
@example('{"schema": ' + "9" * 5000 + "}")
@given(st.one_of(st.text(max_size=30), WRITTEN))
def test_leaderboard_text(text: str) -> None:
    read_lines(text)


BOARD = {"schema": 1, "run": "r", "title": "t", "note": "", "replicates": 10, "level": 0.95, "rows": [RUN]}
FULL = {
    **RUN, "rank": 1, "rank_low": 1, "rank_high": 1, "corruptor": None, "reason": None, "seed_variance": False, "images": 4,
    "artifact_iou_std": 0.0,
    **{f"delta_{base}{part}": 0.1 for base in ("pseudo", "human") for part in ("", "_low", "_high", "_positive")},
}  # fmt: skip


@tried(80)
@example({"level": "high"}, {})
@example({"title": ["t"]}, {})
@example({"rows": []}, {})
@example({"replicates": None}, {})
@example({}, {"seeds": "many"})
@example({}, {"images": None, "seeds": None})
@example({}, {"images": None})
@example({}, {"group": []})
@example({}, {"images": "1e999"})
@example({}, {"rank": "first"})
@example({}, {"group": "other"})
@example({"paper": {"table": 1, "sources": {}, "differs": [1]}}, {})
@given(
    st.dictionaries(st.sampled_from([*BOARD, "paper"]), PLAIN, max_size=2), st.dictionaries(NAMES, PLAIN, max_size=3)
)
def test_boards(head: dict[str, Any], row: dict[str, Any]) -> None:
    board = allowed(lambda: Board.from_json({**BOARD, "rows": [{**FULL, **row}], **head}, "board.json"))
    for form in FORMATS if board is not None else ():
        allowed(lambda form=form: render(board, form))


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with a few of them changed, a part cut out, or their end cut off."""
    places = st.integers(0, max(0, len(data) - 1))
    flips = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)

    def flipped(changes: list[tuple[int, int]]) -> bytes:
        made = bytearray(data)
        for place, value in changes:
            made[place] = value
        return bytes(made)

    cut = st.tuples(places, places).map(lambda ends: data[: min(ends)] + data[max(ends) :])
    return st.one_of(flips.map(flipped), cut, places.map(lambda end: data[:end]))


FEATURES = {"filename": [b"t0.png"], "artifact_score": [0.5], "artifact_map": [b"x"], "n": [1, 2]}
PAYLOAD = tf_example(FEATURES)  # type: ignore[arg-type]


def sheltered(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@tried(80)
@example(b"")
@example(framed(b"\x0a\xff\xff"))
@given(st.one_of(st.binary(max_size=60), mutated(framed(PAYLOAD)), mutated(PAYLOAD).map(framed)))
def test_tfrecords(folder: Path, data: bytes) -> None:
    file = sheltered(folder, "train.tfrecord", data)
    allowed(lambda: list(read_examples(file)))
    allowed(lambda: parse_example(data, "record"))


FEATURE = st.one_of(
    st.lists(st.binary(max_size=6), max_size=2),
    st.lists(st.floats(width=32), max_size=2),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
    st.just([bad_world.encoded(bad_world.grey(85, (512, 512)))]),
)
FEATURE_NAMES = [
    "filename",
    "artifact_map",
    "misalignment_map",
    "artifact_score",
    "overall_score",
    "prompt_misalignment_label",
]


@tried(60)
@example(
    {
        "filename": [b"t0.png"],
        "artifact_map": [bad_world.encoded(bad_world.grey(85, (512, 512)))],
        "artifact_score": [float("inf")],
    }
)
@example({"filename": [b"\xff/.png"]})
@given(st.dictionaries(st.sampled_from(FEATURE_NAMES), FEATURE, max_size=4))
def test_richhf_records(folder: Path, features: dict[str, Any]) -> None:
    file = sheltered(folder, "train.tfrecord", framed(tf_example({"filename": [b"t0.png"], **features})))
    for rule in ("three-annotators", "all"):
        work = Preparation([file], [], Rule.parse(rule), lambda _: None)
        allowed(lambda work=work: list(work._annotations("train", file)))


TAR = bad_world.tar({"a.png": b"image", "a.json": b"{}", "b/c.webp": b"x"})
HEAD = TAR[:512]


def with_sum(head: bytes) -> bytes:
    """A tar head whose checksum is right again, so that the rest of it is looked at."""
    total = sum(head[:148]) + 8 * 32 + sum(head[156:512])
    return head[:148] + b"%06o\0 " % total + head[156:]


@tried(120)
@example(b"")
@example(bad_world.tar({"": b"x"}))
@example(bad_world.tar({".": b"x"}))
@example(bad_world.tar({"a/..": b"x"}))
@example(with_sum(HEAD[:156] + b"L" + HEAD[157:124] + HEAD[157:]))
@given(
    st.one_of(
        st.binary(max_size=600),
        mutated(TAR[:2048]),
        mutated(HEAD).map(lambda h: with_sum(h.ljust(512, b"\0"))).map(lambda h: h + TAR[512:]),
    )
)
def test_tar_shards(folder: Path, data: bytes) -> None:
    file = sheltered(folder, "a.tar", data)

    def read() -> None:
        for shard in find_shards([str(file)]):
            list(list_pairs(0, shard, []))

    allowed(read)


@tried(20)
@example("\udcff/a.png", {})
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=120),
    st.dictionaries(
        st.sampled_from(["path", "size", "mtime", "GNU.sparse.map", "GNU.sparse.major", "hdrcharset", "linkpath"]),
        st.text(max_size=12),
        max_size=3,
    ),
)
def test_tar_heads(folder: Path, name: str, pax: dict[str, str]) -> None:
    sink = io.BytesIO()
    with (
        contextlib.suppress(UnicodeError, ValueError),
        tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        info = tarfile.TarInfo(name)
        info.pax_headers = pax
        archive.addfile(info)
    file = sheltered(folder, "a.tar", sink.getvalue())
    allowed(lambda: [list(list_pairs(0, shard, [])) for shard in find_shards([str(file)])])


MANIFEST = {
    "schema": 1,
    "dataset": "d",
    "splits": {"pool": {"rows": 1, "bytes": 5, "file": "pool.parquet", "sha256": "0"}},
}


@tried(60)
@example({"splits": []})
@example({"splits": {"pool": {"rows": "many", "bytes": 5}}})
@example({"splits": {"pool": {"rows": [], "bytes": 5}}})
@example({"splits": {"pool": {"rows": float("inf"), "bytes": 5}}})
@example({"splits": {"../pool": {"rows": 1, "bytes": 5}}})
@example({"splits": {"\0": {"rows": 1, "bytes": 5}}})
@given(st.dictionaries(st.sampled_from([*MANIFEST]), PLAIN, max_size=3))
def test_prepared_manifests(folder: Path, changes: dict[str, Any]) -> None:
    sheltered(folder, "pool.parquet", b"12345")
    for content in (json.dumps({**MANIFEST, **changes}), json.dumps(changes)):
        sheltered(folder, "manifest.json", content.encode("utf-8", "surrogatepass"))
        allowed(lambda: PreparedSet(folder, "d").index)


CARD = {"schema": 1, "sha256": "0", "threshold": 0.5, "detector": {"name": "dot", "params": {}, "identity": "0"}}


@tried(60)
@example({"detector": {"name": ["dot"], "params": {}, "identity": "0"}})
@example({"detector": {"name": "dot", "params": [1], "identity": "0"}})
@example({"detector": {"name": "dot", "params": {"kind": 1}, "identity": 0}})
@given(st.dictionaries(st.sampled_from([*CARD]), PLAIN, max_size=3))
def test_detector_cards(folder: Path, changes: dict[str, Any]) -> None:
    for content in ({**CARD, **changes}, changes):
        sheltered(folder, "card.json", json.dumps(content).encode("utf-8", "surrogatepass"))
        card = allowed(lambda: read_card(folder))
        if card is not None:
            spec = card["detector"]
            allowed(lambda spec=spec: REGISTRY.complete(Spec.of("detector", spec["name"], **spec["params"])))


IMAGE = bad_world.noise((6, 5))
PICTURES = [bad_world.encoded(IMAGE, form) for form in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM")]


@tried(200)
@given(st.one_of(st.binary(max_size=80), *map(mutated, PICTURES)))
def test_pictures(folder: Path, data: bytes) -> None:
    from benchkit.cli.pictures import read_image, read_mask

    for decode in (decode_image, decode_mask, read_shape, read_checked_header):
        allowed(lambda decode=decode: decode(data, "a.png"))
    for rule in (MaskRule(), MaskRule(ignore=0, background=1), MaskRule(ignore=255)):
        allowed(lambda rule=rule: decode_label(data, "a.png", rule))
    file = sheltered(folder, "a.png", data)
    allowed(lambda: read_image(file))
    allowed(lambda: read_mask(file))


NUMBERS = st.one_of(st.integers(-5, 40), st.integers(), st.floats(), st.just(10**400))


@tried(80)
@example([[10**400] * 6])
@example([[1e308, -1e308, 1e308, 1e308, -1e308, 3.0]])
@example({"size": [5, 6], "counts": "o" * 5000})
@example({"size": [5, 6], "counts": [True, 29]})
@example({"size": [5, 6], "counts": [0, 10**400]})
@given(
    st.one_of(
        PLAIN,
        st.lists(st.lists(NUMBERS, min_size=6, max_size=6), max_size=2),
        st.builds(lambda counts: {"size": [5, 6], "counts": counts}, st.one_of(st.lists(NUMBERS, max_size=5), WRITTEN)),
    )
)
def test_coco_segmentations(segmentation: Any) -> None:
    mask = allowed(lambda: draw_region(segmentation, (5, 6), "annotations[0]"))
    assert mask is None or mask.shape == (5, 6)


def read_inspected(root: Path, **params: Any) -> None:
    """Read every image of a folder: where inspecting found no fault, reading must find none."""
    dataset = Folder(str(root), size=8, **params)
    for split, size in (allowed(dataset.splits) or {}).items():
        for index, facts in enumerate(dataset.inspect(split, range(size))):
            sample = allowed(lambda split=split, index=index: dataset.read(split, [index]))
            assert (sample is None) == (facts.fault is not None), facts.fault


def changed(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(keys), st.one_of(NUMBERS, PLAIN), max_size=2)


@tried(80)
@example({"width": float("inf")}, {}, {})
@example({}, {"bbox": [0, 0, 10**400, 1], "segmentation": []}, {})
@given(
    changed("id", "file_name", "width", "height", "caption"),
    changed("id", "image_id", "category_id", "segmentation", "bbox", "iscrowd", "ignore", "caption"),
    changed("id", "name"),
)
def test_coco_files(folder: Path, image: dict[str, Any], mark: dict[str, Any], category: dict[str, Any]) -> None:
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 6, "height": 5, **image}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 3, 1, 3, 4]], **mark}],
        "categories": [{"id": 1, "name": "artifact", **category}],
    }
    for room in ("annotations", "images"):
        (folder / "coco" / room).mkdir(parents=True, exist_ok=True)
    IMAGE.save(folder / "coco" / "images" / "a.png")
    (folder / "coco" / "annotations" / "test.json").write_bytes(json.dumps(data).encode("utf-8", "surrogatepass"))
    for boxes in (False, True):
        read_inspected(folder / "coco", boxes=boxes)


@tried(80)
@given(
    st.lists(changed("file_name", "mask_file_name", "mask", "text", "depth_file_name"), max_size=3),
    st.sampled_from(["a.png", "b.png", "../t/a.png", "", "/a.png"]),
    st.sampled_from(["b.png", "a.png", "./b.png", "c\0.png", "\ud800"]),
)
def test_tables_that_name_masks(folder: Path, rows: list[dict[str, Any]], image: str, mask: str) -> None:
    (folder / "named" / "t").mkdir(parents=True, exist_ok=True)
    IMAGE.save(folder / "named" / "t" / "a.png")
    IMAGE.point(lambda _: 255).save(folder / "named" / "t" / "b.png")
    lines = [json.dumps(row) for row in [{"file_name": image, "mask_file_name": mask}, *rows]]
    (folder / "named" / "t" / "metadata.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    read_inspected(folder / "named")


@tried(40)
@given(st.one_of(st.binary(max_size=40), PLAIN.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))))
def test_records_of_shards(data: bytes) -> None:
    record = parsed(data)
    if record is not None:
        for name in ("short_caption", *record):
            text = words(record, name)
            assert text is None or text.encode()
