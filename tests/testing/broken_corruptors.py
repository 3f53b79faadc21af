"""Corruptors that break their contract, each in one way, as changes to a sound one."""

from __future__ import annotations

SOUND = '''
"""A corruptor that keeps its contract."""
from __future__ import annotations

from dataclasses import dataclass

from benchkit.api import LatentCorruptor, hookimpl, param


@dataclass(frozen=True)
class Mine(LatentCorruptor):
    """Adds a fraction of the images' noise."""

    name = "mine"
    steps: int = param(3, ge=0, doc="inversion steps")
    fraction: float = param(0.5, ge=0, le=1, doc="how much noise")

    def corrupt(self, at):
        return at.z_t + self.fraction * at.noise()


@hookimpl
def benchkit_corruptors():
    return [Mine]
'''
RESULT = "        return at.z_t + self.fraction * at.noise()\n"
IMPORT = "        import torch, random\n        import numpy as np\n"

#: What is wrong -> what stands in the place of what, and the check that must name it.
BROKEN: dict[str, tuple[str, str, str]] = {
    "raises": (RESULT, "        raise ValueError('no')\n", "runs"),
    "lacks a package at run time": (RESULT, "        import no_such_package\n", "runs"),
    "returns no tensor": (RESULT, "        return None\n", "runs"),
    "other shape": (RESULT, "        return at.noise()[:, :2]\n", "shape"),
    "other dtype": (RESULT, "        return at.noise().double()\n", "dtype"),
    "other device": (RESULT, "        return at.noise().to('meta')\n", "dtype"),
    "not a number": (RESULT, "        return at.noise() / 0 * 0\n", "finite"),
    "mutates its input": (RESULT, "        return at.z_t.add_(at.mask * at.noise())\n", "inputs"),
    "writes outside the mask": (RESULT, "        return at.z_t.add_(at.noise())\n", "outside"),
    "widens the mask": (RESULT, "        at.mask.fill_(True)\n        return at.noise()\n", "outside"),
    "torch's generator": (RESULT, IMPORT + "        return torch.randn_like(at.z_t)\n", "deterministic"),
    "numpy's generator": (RESULT, IMPORT + "        return at.z_t + float(np.random.rand())\n", "deterministic"),
    "random's generator": (RESULT, IMPORT + "        return at.z_t + random.random()\n", "deterministic"),
    "unseeded generator": (
        RESULT,
        IMPORT + "        return at.z_t + float(np.random.default_rng().normal())\n",
        "deterministic",
    ),
    "ignores at.rng": (
        RESULT,
        IMPORT + "        g = torch.Generator().manual_seed(0)\n"
        "        return torch.randn(at.z_t.shape, generator=g)\n",
        "seeds",
    ),
    "asks for noise and drops it": (RESULT, "        at.noise()\n        return -at.z_t\n", "seeds"),
    "neighbours": (RESULT, "        return at.z_t.mean(0, keepdim=True).expand_as(at.z_t).clone()\n", "neighbours"),
    "cannot do with an empty mask": (
        RESULT,
        "        assert at.mask.any()\n        return at.z_t + self.fraction * at.noise()\n",
        "empty mask",
    ),
    "cannot do with a full mask": (
        RESULT,
        "        assert not at.mask.all()\n        return at.z_t + self.fraction * at.noise()\n",
        "full mask",
    ),
    "square planes only": (RESULT, "        return at.z_t.transpose(-1, -2).clone()\n", "sizes"),
    "fails at the end of its range": (RESULT, "        return at.noise() / (1 / self.fraction)\n", "ranges"),
    "too dear": (
        RESULT,
        "        import time\n        end = time.process_time() + (0.3 if len(at.z_t) == 16 else 0)\n"
        "        while time.process_time() < end:\n            pass\n        return at.noise()\n",
        "cost",
    ),
    "no docstring": ('    """Adds a fraction of the images\' noise."""\n', "", "docstring"),
    "untyped parameter": ("    fraction: float = param(", "    fraction = param(", "parameters"),
    "untyped constant": (
        '    fraction: float = param(0.5, ge=0, le=1, doc="how much noise")',
        "    fraction = 0.5",
        "parameters",
    ),
    "a list for a type": (
        "    fraction: float = param(0.5, ge=0, le=1",
        "    fraction: list = param(0.5",
        "parameters",
    ),
    "default out of its range": ("param(0.5, ge=0, le=1", "param(1.5, ge=0, le=1", "defaults"),
    "default of another type": (
        "fraction: float = param(0.5, ge=0, le=1",
        "fraction: float = param('half'",
        "defaults",
    ),
    "a parameter that changes when it is set": (
        "    def corrupt(",
        "    def __post_init__(self):\n        object.__setattr__(self, 'fraction', self.fraction / 2)\n\n    "
        "def corrupt(",
        "spec",
    ),
    "misspelt hook": ("benchkit_corruptors", "benchkit_corruptor", "hooks"),
    "hook without its mark": ("@hookimpl\n", "", "hooks"),
    "hook of another kind": ("benchkit_corruptors", "benchkit_selectors", "hooks"),
    "hook that returns an instance": ("return [Mine]", "return [Mine()]", "hooks"),
    "name of a built-in": ('name = "mine"', 'name = "gaussian"', "name"),
    "name with capitals": ('name = "mine"', 'name = "My Method"', "name"),
    "lacks a package": ("from dataclasses import", "import no_such_package\nfrom dataclasses import", "imports"),
    "does not parse": ("class Mine", "class class", "imports"),
    "lacks its method": ("def corrupt(", "def corupt(", "class"),
    "not frozen": ("frozen=True", "frozen=False", "class"),
    "not decorated": ("@dataclass(frozen=True)\n", "", "class"),
    "cannot run here": (
        "    def corrupt(",
        '    @classmethod\n    def unavailable(cls):\n        return "needs a fast machine"\n\n    def corrupt(',
        "available",
    ),
}
#: Checks that may fail beside the one named, because one mistake can break several promises.
ALSO = {
    "writes outside the mask": {"inputs", "empty mask"},
    "widens the mask": {"inputs", "empty mask"},
    "a list for a type": {"defaults"},
    "ignores at.rng": {"neighbours"},
    "torch's generator": {"seeds", "neighbours"},
    "unseeded generator": {"seeds", "neighbours"},
    "numpy's generator": {"seeds", "neighbours"},
    "random's generator": {"seeds", "neighbours"},
}
