"""The parsers under coverage-guided fuzzing, by hand: what it finds is kept as an example in test_fuzz.py.

    pip install atheris
    python -m tests.faults.fuzz_atheris TARGET SECONDS [CORPUS]

TARGET: one of TARGETS. A finding ends it with the exception and leaves the input as `crash-…` in the working directory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import atheris  # not among the dependencies: it has no wheel for every Python

with atheris.instrument_imports(include=["benchkit", "yaml"], enable_loader_override=False):
    from benchkit.config.grid import parse_grid
    from benchkit.readers.shards import find_shards, pairs_of
    from benchkit.readers.tfrecord import examples, parse_example
    from benchkit.store.manifest import FileEntry, manifest_bytes, parse_manifest
    from recipes.tfrecord_writer import example as tf_example
    from recipes.tfrecord_writer import framed
    from tests.faults.bad_world import tar
    from tests.faults.test_fuzz import allowed, read_spec, sheltered

FOLDER = Path(mkdtemp())
KEY = "ab" * 32


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def tfrecord(data: bytes) -> None:
    allowed(lambda: parse_example(data, "record"))
    for content in (data, framed(data)):  # a checksum is nothing that mutation would hit upon
        file = sheltered(FOLDER, "train.tfrecord", content)
        allowed(lambda file=file: list(examples(file)))


def shard(data: bytes) -> None:
    file = sheltered(FOLDER, "a.tar", data)
    allowed(lambda: [list(pairs_of(0, shard, [])) for shard in find_shards([str(file)])])


def manifest(data: bytes) -> None:
    parsed = allowed(lambda: parse_manifest(KEY, data))
    assert parsed is None or manifest_bytes(KEY, *parsed) == data


TARGETS: dict[str, Callable[[bytes], None]] = {
    "spec": lambda data: read_spec(text_of(data)),
    "grid": lambda data: allowed(lambda: parse_grid(text_of(data), "g.yaml")),
    "tfrecord": tfrecord,
    "shard": shard,
    "manifest": manifest,
}
SEEDS: dict[str, list[bytes]] = {
    "spec": [b"gaussian:steps=10|20,sigma=1e-3", b"mixture:of=a+(b:x=1|2)", b"model:dtype=float16,vae=tiled"],
    "grid": [
        b"extends: quick\ntitle: &a x\nsources:\n- {split: clean, size: 4}\n",
        b"training: {lr: 1e-3}\n? [a]\n: 1",
    ],
    "tfrecord": [tf_example({"filename": [b"t0.png"], "artifact_score": [0.5], "n": [1, 2]})],
    "shard": [tar({"a.png": b"image", "a.json": b"{}", "b/c.webp": b"x"})],
    "manifest": [manifest_bytes(KEY, {"a.bin": FileEntry("00" * 32, 3)}, {"x": "é", "y": 0.5, "z": [None, True]})],
}


def main() -> None:
    """Fuzz what the command line says."""
    target, seconds, *corpus = sys.argv[1:]
    folder = Path(corpus[0] if corpus else mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    for i, seed in enumerate(SEEDS[target]):
        (folder / f"seed-{i}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-timeout=20", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
