"""Plugin files that cannot be used: refused with --strict, and skipped without it."""

from __future__ import annotations

from tests.faults.bad_world import PLUGINS, Arguments, Bad, bad

GOOD = """\
from dataclasses import dataclass
from benchkit.api import PixelCorruptor, hookimpl, param

@dataclass(frozen=True)
class Mine(PixelCorruptor):
    '''A corruptor.'''

    name = "mine"
    strength: int = param(1, ge=0)

    def corrupt(self, at):
        return at.images

@hookimpl
def benchkit_corruptors():
    return [Mine]
"""


def strict(old: str = "", new: str = "") -> Arguments:
    assert old in GOOD
    return lambda w: ("plugins", "list", "--strict", "--plugin", w.file("mine.py", GOOD.replace(old, new, 1)))


DATASET = """\
from dataclasses import dataclass
from benchkit.api import Dataset, hookimpl

@dataclass(frozen=True)
class Mine(Dataset):
    '''A dataset that nothing of is read while planning.'''

    name = "mine"

    def splits(self):
        return {"pool": 8, "clean": 8, "test": 8}

    def read(self, split, indices):
        return []

    def labelled(self, count, seed):
        return list(range(count))

    def fingerprint(self):
        return "f"

@hookimpl
def benchkit_datasets():
    return [Mine]
"""


def planned(old: str, new: str) -> Arguments:
    """A comparison on a dataset of which one method was changed."""
    assert old in DATASET
    return lambda w: (
        *("compare", w.grid, "--plugin", PLUGINS, "--plugin", w.file("mine.py", DATASET.replace(old, new, 1))),
        *("--dataset", "mine", "--out", w.out, "--device", "cpu"),
    )


def compared_with(old: str, new: str) -> Arguments:
    """A comparison with a corruptor that was changed."""
    assert old in GOOD
    return lambda w: (
        *("compare", w.grid, "--plugin", PLUGINS, "--plugin", w.file("mine.py", GOOD.replace(old, new, 1))),
        *("--corruptor", "mine", "--out", w.out, "--device", "cpu"),
    )


RAISED = ("mine.py) raised ValueError: no such luck", "correct the plugin or omit it")


def content(data: str | bytes) -> Arguments:
    return lambda w: ("plugins", "list", "--strict", "--plugin", w.file("mine.py", data))


CASES: dict[str, Bad] = {
    "bytes that are no text": bad(content(b"\xff\xfe\x00"), "mine.py", "SyntaxError"),
    "a null byte": bad(content("x = 1\0"), "mine.py", "SyntaxError"),
    "a compiled file": bad(lambda w: ("plugins", "list", "--strict", "--plugin", w.file("mine.pyc", b"\xcb\r\r\n")),
                           "mine.pyc"),
    "a file of another kind": bad(
        lambda w: ("plugins", "list", "--strict", "--plugin", w.file("mine.txt", GOOD)), "mine.txt"
    ),
    "ends the process": bad(strict("from dataclasses", "raise SystemExit(0)\nfrom dataclasses"), "SystemExit"),
    "interrupts": bad(strict("from dataclasses", "raise RuntimeError('a\\nb')\nfrom dataclasses"), "RuntimeError: a b"),
    "a hook that raises": bad(strict("return [Mine]", "return [Mine] / 0"), "mine.py", "TypeError"),
    "a hook of texts": bad(strict("return [Mine]", "return ['mine']"), "is not a subclass"),
    "an instance": bad(strict("return [Mine]", "return [Mine()]"), "is not a subclass"),
    "a name that is a path": bad(strict('"mine"', '"../mine"'), "lower-case words"),
    "a name with markup": bad(strict('"mine"', '"<script>"'), "lower-case words"),
    "a name with a line break": bad(strict('"mine"', '"mi\\nne"'), "lower-case words"),
    "a name that is a number": bad(strict('"mine"', "3"), "lower-case words"),
    "a parameter without a default": bad(strict("strength: int = param(1, ge=0)", "strength: int"), "default value"),
    "a default of another type": bad(strict("param(1, ge=0)", "'much'"), "strength=much", "it must be a whole number"),
    "a default that is no choice": bad(strict("1, ge=0", "1, choices=(2, 3)"), "strength=1", "choose from 2, 3"),
    "a type no parameter can have": bad(strict("strength: int", "strength: type(hookimpl)"), "its type", "bool, int"),
    "a range for texts": bad(strict("strength: int = param(1", "strength: str = param('a'"), "strength=a"),
    "splits that raise": bad(planned("return {", "raise ValueError('no such luck')\n        return {"), *RAISED),
    "splits that are a list": bad(planned('{"pool": 8, "clean": 8, "test": 8}', "['pool']"), "splits() must return"),
    "splits of no size": bad(planned('"clean": 8', '"clean": "many"'), "splits() must return"),
    "a labelled set that raises": bad(planned("return list(", "raise ValueError('no such luck')\n        ("), *RAISED),
    "a labelled set with an image twice": bad(planned("list(range(count))", "[0] * count"), "labelled(4, 0) must"),
    "a labelled set beyond the pool": bad(planned("range(count)", "range(9, 9 + count)"), "different indices below 8"),
    "a fingerprint that raises": bad(planned('return "f"', "raise ValueError('no such luck')"), *RAISED),
    "a fingerprint that ends in a library": bad(planned('return "f"', "import json; json.loads('x')"),
                                                "dataset 'mine'", "raised JSONDecodeError"),
    "a parameter it refuses itself": bad(
        compared_with("def c", "def __post_init__(self):\n        raise ValueError('no such luck')\n\n    def c"),
        "corruptor 'mine'", *RAISED,
    ),
    "an origin that is a folder": bad(lambda w: ("plugins", "list", "--plugin", w.folder), "name a .py file"),
    "a folder that is a file": bad(
        lambda w: ("plugins", "list", "--plugin-folder", w.file("x.py", GOOD)), "name a folder of .py files"
    ),
}  # fmt: skip
