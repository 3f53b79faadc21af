"""What a stage is: one unit of work with a content key, a pure function of its description and its inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchkit.diffusion.options import parse_model
from benchkit.errors import BenchkitError
from benchkit.specs.keys import LATER, canonical, digest, keyed_fields
from benchkit.specs.spec import Spec
from benchkit.store.artifacts import ArtifactStore, arrays_from_bytes, arrays_to_bytes
from benchkit.store.stored_rows import StoredTensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchkit.api import Sample
    from benchkit.diffusion.backend import DiffusionBackend
    from benchkit.plugin.registry import Registry
    from benchkit.stages.images import Source

#: Metadata of a field that a stage's result does not depend on (a path, say): it stays out of the key.
UNKEYED: Mapping[str, Any] = {"keyed": False}

Arrays = dict[str, np.ndarray]
ARRAYS = "arrays.safetensors"


@dataclass(frozen=True)
class Model:
    """A checkpoint: where it lies (not part of any key), and what identifies its weights, schedule and precision.

    location: its name with the options behind it, of which dtype and vae are those that decide results. sampling: the
    format of denoiser and decoder alone, where all networks are loaded in float32.
    """

    location: str = field(metadata=UNKEYED)
    identity: str = ""
    steps: int = 50
    dtype: str = "float32"
    vae: str = field(default="whole", metadata=LATER)
    # In float32, the portable default, it is not part of the key, so that the results of earlier versions are found.
    sampling: str = field(default="float32", metadata=LATER)

    @classmethod
    def of(cls, text: str, identity: str, steps: int, sampling: str = "float32") -> Model:
        """Return the model that a text such as `NAME:dtype=float16` means; raise BenchkitError for two formats."""
        _, options = parse_model(text)
        if sampling != "float32" and options.dtype != "float32":
            raise BenchkitError(
                f"model '{text}' computes in {options.dtype}, sampling.precision is {sampling}: remove one of them "
                "(sampling.precision keeps the encoders in float32)"
            )
        return cls(text, identity, steps, options.dtype, options.vae, sampling)


@dataclass(frozen=True)
class Output:
    """The result of a stage: named files and small facts."""

    files: Mapping[str, bytes | Path]
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Env:
    """What running stages share: the plugins, the store, the device, loaded checkpoints. Never part of a key.

    device: a torch device's name; of several (`cuda:0,1`) training uses all, and everything else the first. loaded: a
    checkpoint that the caller has loaded; it is used if it is the plan's and lies on this device. last_samples: what
    the last stage of latents has read, for the images that follow; taken once, because plugins may change samples.
    trunk_faults: of each trunk that has been checked, why it is refused, or "".
    """

    registry: Registry
    store: ArtifactStore
    device: str = "cpu"
    devices: tuple[str, ...] = field(init=False)
    progress: Callable[[str], None] = lambda _: None
    loaded: DiffusionBackend | None = None
    last_samples: tuple[Source, list[Sample]] | None = None
    trunk_faults: dict[Spec, str] = field(default_factory=dict)
    _backends: dict[Model, DiffusionBackend] = field(default_factory=dict)
    _trunks: dict[Spec, nn.Module] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.devices = each_device(self.device)
        self.device = self.devices[0]

    def backend(self, model: Model) -> DiffusionBackend:
        """Return the loaded checkpoint; one is kept at a time. Raise BenchkitError if it is not the one of the plan."""
        if model not in self._backends:
            from benchkit.diffusion.backend import DiffusionBackend

            self._backends.clear()
            if (backend := self._find_loaded(model)) is None:
                backend = DiffusionBackend.load(model.location, self.device, None, model.steps, model.sampling)
            if backend.identity != model.identity:
                raise BenchkitError(
                    f"checkpoint '{model.location}' is another one than when the run was planned (sha256 "
                    f"{model.identity[:12]} then, {backend.identity[:12]} now): run the command again"
                )
            self._backends[model] = backend
        return self._backends[model]

    def _find_loaded(self, model: Model) -> DiffusionBackend | None:
        """Return the caller's checkpoint if it is this one, on this device."""
        one = self.loaded
        if one is None or not one.is_on(self.device):
            return None
        own = Model(model.location, one.identity, one.schedule.steps, one.options.dtype, one.options.vae)
        return one if own == model else None

    def trunk(self, spec: Spec) -> nn.Module:
        """Return the trunk that a frozen detector builds, on the device; it is kept."""
        if spec not in self._trunks:
            from benchkit.api import FrozenDetector
            from benchkit.plugin.networks import build_trunk

            self._trunks[spec] = build_trunk(self.registry.make(spec, FrozenDetector)).to(self.device)  # type: ignore[type-abstract]
        return self._trunks[spec]

    def arrays(self, stage: Stage, name: str = ARRAYS) -> Arrays:
        """Return the arrays of a finished stage."""
        return arrays_from_bytes(self.store.open(stage.key).read(name))

    def on_disk(self, stage: Stage) -> StoredTensors:
        """Return the arrays of a finished stage, of which a row is read when it is asked for."""
        return StoredTensors(self.store.open(stage.key), ARRAYS)

    def tensor(self, stage: Stage, name: str) -> Tensor:
        """Return one array of a finished stage as a tensor on the device."""
        import torch  # here, so that planning loads no torch

        return torch.from_numpy(self.arrays(stage)[name]).to(self.device)

    def meta(self, stage: Stage) -> Mapping[str, Any]:
        """Return the facts of a finished stage."""
        return self.store.open(stage.key).meta


def each_device(name: str) -> tuple[str, ...]:
    """Return the devices in `cuda:0,1`: `cuda:0` and `cuda:1`; any other name is one device."""
    first, *others = name.split(",")
    return (first, *(f"{first.partition(':')[0]}:{number}" for number in others))


@dataclass(frozen=True)
class Costs:
    """What counting network evaluations needs: the plugins and the timesteps of the schedule, clean end first."""

    registry: Registry
    timesteps: tuple[int, ...]


@dataclass(frozen=True)
class Stage(ABC):
    """Base of all stages. A subclass is a frozen dataclass; its fields are its description and its inputs."""

    #: Raise it whenever the stage's code changes what it computes.
    version: ClassVar[int] = 1
    #: Whether it computes on the Env's device; an executor that shares out devices gives none to one that does not.
    on_device: ClassVar[bool] = True

    @cached_property
    def key(self) -> str:
        """sha256 over the class, its version, its description and the keys of its inputs."""
        return digest({"stage": type(self).__name__, "version": self.version, "body": _keyed(self, top=True)})

    @cached_property
    def inputs(self) -> tuple[Stage, ...]:
        """Return the stages that this one reads."""
        return tuple(s for f in fields(self) for s in _stages(getattr(self, f.name)))

    @property
    def specs(self) -> tuple[Spec, ...]:
        """Return the plugins that its description names."""
        return tuple(value for f in fields(self) if isinstance(value := getattr(self, f.name), Spec))

    @property
    def group(self) -> Hashable | None:
        """Return the group of stages that `run_group` runs together with this one; None runs it alone."""
        return None

    @abstractmethod
    def run(self, env: Env) -> Output:
        """Compute the output; every input is in env.store."""

    @classmethod
    def run_group(cls, stages: Sequence[Any], env: Env) -> list[Output]:
        """Compute several stages of one group; each output equals what `run` would give."""
        return [stage.run(env) for stage in stages]

    def network_evaluations(self, costs: Costs) -> int:
        """Return the network evaluations that this stage costs, counted in images."""
        return 0

    def describe(self) -> str:
        """Return a short line for the plan and the progress."""
        return type(self).__name__.lower()


def pack_arrays(arrays: Arrays, **meta: Any) -> Output:
    """Return an Output of one file of arrays."""
    return Output({ARRAYS: arrays_to_bytes(arrays)}, meta)


def _keyed(value: Any, top: bool = False) -> Any:
    if isinstance(value, Stage) and not top:
        return value.key
    if is_dataclass(value) and not isinstance(value, type):
        kept = [f for f in keyed_fields(value) if f.metadata.get("keyed", True)]
        return {"is": type(value).__name__, **{f.name: _keyed(getattr(value, f.name)) for f in kept}}
    if isinstance(value, tuple):
        return [_keyed(item) for item in value]
    return canonical(value)


def _stages(value: Any) -> Iterator[Stage]:
    if isinstance(value, Stage):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _stages(getattr(value, f.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _stages(item)
