"""Data never executes: nothing unpickles or evaluates, and cache and report hold files of inert formats only."""

from __future__ import annotations

import ast
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchkit.store.soundness import CHECKSUM
from tests.helpers.small_comparison import Finished

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for room in ("benchkit", "plugins", "recipes") for path in (ROOT / room).rglob("*.py"))
#: Modules that read objects which may run code, or write such.
PICKLES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
    "pandas.io.pickle",
}
#: Calls that run text or a shell.
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "commands.getoutput", "subprocess.getoutput",
         "subprocess.getstatusoutput", "pandas.read_pickle", "pd.read_pickle", "torch.jit.load", "torch.hub.load",
         "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "yaml.unsafe_load_all", "runpy.run_path"}  # fmt: skip
METHODS = {"to_pickle", "read_pickle"}
#: Compiles a file of the session to compare its code with the code that runs; what it compiles is never run.
ALLOWED = {("benchkit/plugin/class_source.py", "calls compile")}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def is_true(call: ast.Call, keyword: str) -> bool | None:
    """The constant that a keyword is given; None without it."""
    for one in call.keywords:
        if one.arg == keyword:
            return isinstance(one.value, ast.Constant) and one.value.value is True
    return None


def objections(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from ((node.lineno, f"imports {name}") for name in names if name in PICKLES)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in CALLS or name.rpartition(".")[2] in METHODS:
            yield node.lineno, f"calls {name}"
        if name == "yaml.load" and not any(dotted(k.value) in ("yaml.SafeLoader", "yaml.CSafeLoader")
                                           for k in node.keywords if k.arg == "Loader"):  # fmt: skip
            yield node.lineno, "yaml.load without a safe loader"
        if name == "torch.load" and is_true(node, "weights_only") is not True:
            yield node.lineno, "torch.load without weights_only=True"
        if name == "torch.save":
            yield node.lineno, "torch.save writes a pickle"
        if name.rpartition(".")[2] in ("load", "save", "savez") and is_true(node, "allow_pickle"):
            yield node.lineno, "allow_pickle=True"
        if is_true(node, "shell") is not None:
            yield node.lineno, "a shell"
        if is_true(node, "trust_remote_code") is not None:
            yield node.lineno, "trust_remote_code"


def test_no_source_unpickles_evaluates_or_starts_a_shell() -> None:
    assert len(SOURCES) > 150
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in SOURCES
        for line, what in objections(ast.parse(path.read_text()))
        if (path.relative_to(ROOT).as_posix(), what) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import joblib", "eval(x)", "exec('x')", "os.system('ls')",
        "np.load(f, allow_pickle=True)", "torch.load(f)", "torch.load(f, weights_only=False)", "torch.save(x, f)",
        "yaml.load(x)", "yaml.load(x, Loader=yaml.Loader)", "subprocess.run('ls', shell=True)", "frame.to_pickle(f)",
        "A.from_pretrained(x, trust_remote_code=True)",
    ],
)  # fmt: skip
def test_the_walk_sees_each_of_them(source: str) -> None:
    assert list(objections(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ["torch.load(f, weights_only=True)", "yaml.load(x, Loader=yaml.SafeLoader)", "np.load(f)", "re.compile(x)",
     "network.eval()", "subprocess.run(['ls'])"],
)  # fmt: skip
def test_and_lets_the_rest_be(source: str) -> None:
    assert not list(objections(ast.parse(source)))


def is_safetensors(data: bytes) -> bool:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    return 8 + length + end == len(data)


def is_json(data: bytes) -> bool:
    return json.loads(data) is not None


def is_json_lines(data: bytes) -> bool:
    return all(is_json(line) for line in data.splitlines())


def is_text(data: bytes) -> bool:
    return b"\0" not in data and data.decode("utf-8") is not None


#: Suffix -> whether bytes are of that format; a file of any other suffix is a finding.
FORMATS = {
    ".plan": lambda data: is_json(zlib.decompress(data)),
    ".safetensors": is_safetensors,
    ".json": is_json,
    ".jsonl": is_json_lines,
    ".png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    ".parquet": lambda data: data[:4] == data[-4:] == b"PAR1",
    ".sqlite": lambda data: data.startswith(b"SQLite format 3\0"),
    ".svg": lambda data: is_text(data) and b"<script" not in data,
    ".pdf": lambda data: data.startswith(b"%PDF") and b"/JavaScript" not in data,
    **dict.fromkeys((".html", ".md", ".csv", ".tex", ".txt", ".yaml", ".log"), is_text),
}
#: Files without a suffix, or SQLite's and the lock's own.
NAMES = {"VERSION", ".gitignore", ".benchkit-run"}


def unknown(path: Path) -> bool:
    if path.name in NAMES or path.suffix == ".lock":
        return path.stat().st_size > 100
    if path.name.endswith((".sqlite-wal", ".sqlite-shm")):
        return False
    return path.suffix not in FORMATS or not FORMATS[path.suffix](path.read_bytes())


def test_every_file_of_a_cache_and_a_report_is_of_an_inert_format(finished: Finished) -> None:
    files = [path for folder in (finished.cache, finished.out) for path in folder.rglob("*") if path.is_file()]
    assert {".safetensors", ".json", ".sqlite", ".html"} <= {path.suffix for path in files}
    assert [path.name for path in files if unknown(path)] == []


def test_every_blob_of_a_result_store_is_of_an_inert_format(finished: Finished) -> None:
    with closing(sqlite3.connect(finished.cache / "results.sqlite")) as database:
        blobs = database.execute("SELECT name, data FROM blobs").fetchall()
    assert blobs
    for name, data in blobs:
        if name == CHECKSUM:
            assert data == b"", "a checksum stands in a column of its own"
        else:
            assert data[:4] == b"PAR1" or is_safetensors(zlib.decompress(data)), name
