"""All that a plugin author imports: the base classes, their contexts, `param`, `corruptor` and `hookimpl`.

A plugin is a frozen dataclass whose fields are its parameters; `corruptor` makes one of a function. Importing this
module loads no torch.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from dataclasses import Field, dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import pluggy

from benchkit.errors import BenchkitError
from benchkit.specs.grammar import split_parts
from benchkit.specs.parameters import check_parameters
from benchkit.system.fetching import may_fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import torch
    from torch import Tensor, nn

    #: Self-attention: (query, key, value, (rows, columns) of the tokens) -> (N, heads, tokens, width), as they are.
    Attend = Callable[[Tensor, Tensor, Tensor, tuple[int, int]], Tensor]

__all__ = [
    "BenchkitError",
    "CompositeCorruptor",
    "Corruptor",
    "Dataset",
    "Detector",
    "ImageFacts",
    "InversionContext",
    "Inverter",
    "LatentContext",
    "LatentCorruptor",
    "Noise",
    "Reference",
    "PixelContext",
    "PixelCorruptor",
    "Plugin",
    "RegionSelector",
    "ResamplingCorruptor",
    "Sample",
    "SelectionContext",
    "StepContext",
    "corruptor",
    "hookimpl",
    "may_fetch",
    "param",
    "split_parts",
]

F = TypeVar("F", bound="Callable[[], Sequence[type[Plugin]]]")


def hookimpl(function: F) -> F:
    """Mark a hook of a module: a function such as `benchkit_corruptors` that returns a list of plugin classes.

    An installed package needs it. In a plugin file without hooks the plugin classes that the file defines are found by
    themselves. Hooks are called through pluggy, one module at a time: their order has no meaning, and so the marker has
    no options.
    """
    return pluggy.HookimplMarker("benchkit")(function)


def param(
    default: Any,
    *,
    doc: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """Declare a parameter of a plugin: its default, meaning and allowed range.

    Use it as a dataclass field's value; a plain default works too when any value of the type is allowed.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata = {"doc": doc, "bounds": {k: v for k, v in bounds.items() if v is not None}, "choices": choices}
    return field(default=default, metadata=metadata)


class Plugin(ABC):
    """What every plugin has: a `name` (kebab-case, unique within its kind), a docstring, dataclass fields."""

    name: ClassVar[str]
    kind: ClassVar[str]

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        own = cls.__dict__.get("__post_init__")
        if own is not None:  # a subclass's own need not call this one's

            @wraps(own)
            def checked(self: Plugin) -> None:
                Plugin.__post_init__(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Raise BenchkitError for a parameter of the wrong type or out of its range, however the plugin is made."""
        check_parameters(self)

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this plugin cannot run here (a package that lacks, say), or None; shown as the reason of a skip."""
        return None

    def depends_on(self) -> str:
        """A digest of what this plugin reads beside its source and parameters (a weights file, say), or nothing.

        It becomes part of the plugin's identity: when it changes, the plugin's work is done again.
        """
        return ""

    def needs(self) -> Sequence[str]:
        """What every sample that it works on must have: `mask`, `caption`, or the name of an attribute.

        Where an image has it not, the rows of this plugin are refused before anything is computed.
        """
        return ()

    def check_sample(self, sample: Sample) -> None:  # noqa: B027  # may be left out
        """Raise BenchkitError where the plugin's parameters do not fit a sample that has what `needs` names.

        A plugin that needs an attribute is shown the first sample of each set before anything is computed.
        """

    def parts(self) -> Sequence[str]:
        """The plugins of the same kind that this one is composed of, `NAME:key=value` each (see `split_parts`).

        Core checks them, makes their work, and counts their identities into this plugin's own.
        """
        return ()


class Noise(Protocol):
    """Per-image random draws, from (seed, image id) alone: the same for every method that asks."""

    def normal(self, shape: Sequence[int], stream: str = "") -> Tensor:
        """Standard normal draws, (N, *shape) float32; row i depends only on the seed and on image i's id."""
        ...

    def uniform(self, shape: Sequence[int], stream: str = "") -> Tensor:
        """Uniform draws in [0, 1), (N, *shape) float32; row i depends only on the seed and on image i's id."""
        ...


@dataclass(frozen=True)
class Reference:
    """For each image of a batch another image of its set, drawn by core from (seed, image id).

    z_0: their clean latents, (N, C, h, w) float32. captions: theirs.
    """

    z_0: Tensor
    captions: tuple[str | None, ...]


@dataclass(frozen=True)
class LatentContext:
    """What a latent corruptor is shown of one batch after `steps` inversion steps.

    z_t: inverted latents, z_0: clean latents, both (N, C, h, w) float32. mask: (N, 1, h, w) bool, the selected
    latent cells. alpha_bar: the cumulative alpha at this step, in (0, 1]. image_side: pixels along the image's
    longer side (the latent's is image_side / factor). reference: other images, for a corruptor that `needs_reference`.
    """

    z_t: Tensor
    z_0: Tensor
    mask: Tensor
    alpha_bar: float
    image_side: int
    captions: tuple[str | None, ...]
    rng: Noise
    reference: Reference | None = None

    def noise(self) -> Tensor:
        """The images' noise n ~ N(0, I), (N, C, h, w): the same at every call and for every corruptor (eq. 4)."""
        return self.rng.normal(tuple(self.z_t.shape[1:])).to(self.z_t)


@dataclass(frozen=True)
class PixelContext:
    """What a pixel corruptor is shown: images (N, 3, H, W) float32 in [0, 1], mask (N, 1, H, W) bool."""

    images: Tensor
    mask: Tensor
    captions: tuple[str | None, ...]
    rng: Noise


class Corruptor(Plugin):
    """What happens inside the mask; core blends by the mask (eq. 5), resamples (eq. 6) and decodes."""

    kind: ClassVar[str] = "corruptor"


@dataclass(frozen=True)
class LatentCorruptor(Corruptor):
    """A corruptor of inverted latents: f of eq. 5.

    Every latent corruptor has the parameter `steps`: inversion steps counted from the clean end. 0 works on z_0 itself
    and resamples nothing. Declare it again for another default or range.
    """

    steps: int = param(10, ge=0, doc="inversion steps from the clean end")

    def needs_reference(self) -> bool:
        """Whether `corrupt` reads at.reference; each image's result then depends on one other image of its set."""
        return False

    @abstractmethod
    def corrupt(self, at: LatentContext) -> Tensor:
        """Return f(z_t, z_0, n, t), (N, C, h, w); cells outside the mask are ignored."""


@dataclass(frozen=True)
class _LevelNoise:
    """The images' noise at one step: see `Noise`."""

    images: Noise
    step: int

    def normal(self, shape: Sequence[int], stream: str = "") -> Tensor:
        return self.images.normal(shape, f"level {self.step} {stream}")

    def uniform(self, shape: Sequence[int], stream: str = "") -> Tensor:
        return self.images.uniform(shape, f"level {self.step} {stream}")


@dataclass(frozen=True)
class StepContext:
    """One resampling step from z_t, k steps from the clean end, to z_s, k-1 steps from it, eq. 6.

    start: what `corrupt` was shown (mask, z_0, captions, rng, the inverted z_t). z_t: the latents as they stand now,
    (N, C, h, w) float32. step: k, counted down to 1. t: its timestep. phi, psi: the step's coefficients. alpha_bar,
    alpha_bar_s: of z_t and of z_s. noise() and rng give other draws at every step; start.noise() and
    start.rng give the same draws at all of them. predict(z, captions, attend): see `eps`.
    """

    start: LatentContext
    z_t: Tensor
    step: int
    t: int
    phi: float
    psi: float
    alpha_bar: float
    alpha_bar_s: float
    predict: Callable[[Tensor, Sequence[str | None], Attend | None], Tensor]

    @property
    def rng(self) -> Noise:
        """The images' draws at this step: equal calls at two steps give two results."""
        return _LevelNoise(self.start.rng, self.step)

    def noise(self, stream: str = "") -> Tensor:
        """Noise n ~ N(0, I) of this step, (N, C, h, w); another `stream` gives other draws."""
        return self.rng.normal(tuple(self.z_t.shape[1:]), stream).to(self.z_t)

    def eps(
        self, z: Tensor | None = None, captions: Sequence[str | None] | None = None, attend: Attend | None = None
    ) -> Tensor:
        """The noise predicted at this step, (N, C, h, w): of `z` (default z_t), under `captions` (default the images'
        own). attend: what self-attention returns inside the mask, in every layer. One forward an image."""
        at = self.start
        return self.predict(self.z_t if z is None else z, at.captions if captions is None else captions, attend)

    def solve(self, eps: Tensor, z: Tensor | None = None) -> Tensor:
        """z_s = phi * z + psi * eps (eq. 6); z: default z_t."""
        return self.phi * (self.z_t if z is None else z) + self.psi * eps


class ResamplingCorruptor(LatentCorruptor):
    """A latent corruptor that acts at every step of the way back, instead of plain DDIM.

    Cells outside the mask are its own responsibility there: what it leaves outside is decoded.
    """

    def corrupt(self, at: LatentContext) -> Tensor:
        """What stands inside the mask before the first step: z_t, unless a subclass says otherwise."""
        return at.z_t

    def network_evaluations(self) -> int:
        """Network evaluations one image costs a step: the most that `step` may spend."""
        return 1

    @abstractmethod
    def step(self, at: StepContext) -> Tensor:
        """Return z_s, (N, C, h, w); each image independent of its neighbours in the batch."""


class PixelCorruptor(Corruptor):
    """A corruptor of pixels: no inversion, the autoencoder passes last."""

    @abstractmethod
    def corrupt(self, at: PixelContext) -> Tensor:
        """Return the corrupted images (N, 3, H, W) in [0, 1]; pixels outside the mask are ignored."""


def corruptor(
    function: Callable[..., Tensor] | None = None,
    *,
    steps: int | None = None,
    name: str | None = None,
    space: Literal["latent", "pixel"] = "latent",
) -> Any:
    """Make a corruptor class of a function: the shortest form of a plugin.

        @corruptor(steps=10)
        def faint(at, strength: float = 0.5):
            "Fresh noise, weaker than it should be."
            return strength * at.noise()

    The function is shown `at`, a LatentContext (with space="pixel" a PixelContext), and returns what stands inside the
    mask. Its other arguments are the plugin's parameters: each needs a default, a plain value or `param(...)`. The
    plugin is named after the function, with `-` for `_`, unless `name` is given; its docstring is the function's.
    steps: the default number of inversion steps, 10 where nothing is said; a function that has an argument `steps`
    declares it there. Raises BenchkitError for a function of another form.
    """
    if function is None:
        return lambda given: corruptor(given, steps=steps, name=name, space=space)
    declared = _declared_parameters(function)
    if steps is not None and ("steps" in declared or space == "pixel"):
        why = "a pixel corruptor has none" if space == "pixel" else "the function declares them"
        raise BenchkitError(f"corruptor '{function.__name__}': leave out steps={steps}: {why}")

    def corrupt(self: Corruptor, at: Any) -> Tensor:
        return function(at, **{key: getattr(self, key) for key in declared})

    own = {"steps": ("int", param(steps, ge=0, doc="inversion steps from the clean end"))} if steps is not None else {}
    fields = {**own, **declared}
    body = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "__annotations__": {key: hint for key, (hint, _) in fields.items()},
        "name": name or function.__name__.replace("_", "-"),
        "corrupt": corrupt,
        **{key: default for key, (_, default) in fields.items()},
    }
    base = PixelCorruptor if space == "pixel" else LatentCorruptor
    return dataclass(frozen=True)(type(function.__name__, (base,), body))


def _declared_parameters(function: Callable[..., Tensor]) -> dict[str, tuple[Any, Any]]:
    """Return a function's arguments after the first: name -> (type, default), where `param(...)` is a default, too."""
    if not inspect.isfunction(function):
        raise BenchkitError(f"@corruptor is for a function, not for {function!r}")
    who, found = f"corruptor '{function.__name__}'", {}
    arguments = list(inspect.signature(function).parameters.values())
    if not arguments or arguments[0].kind not in (inspect.Parameter.POSITIONAL_ONLY, _BY_PLACE_OR_NAME):
        raise BenchkitError(f"{who}: its first argument must be `at`, what the corruptor is shown")
    for one in arguments[1:]:
        if one.kind not in (_BY_PLACE_OR_NAME, inspect.Parameter.KEYWORD_ONLY) or one.default is one.empty:
            raise BenchkitError(f"{who}: argument '{one.name}' needs a name and a default value")
        if one.name == "name" or (hasattr(LatentCorruptor, one.name) and one.name != "steps"):
            raise BenchkitError(f"{who}: corruptors have a '{one.name}' of their own: rename that argument")
        default = one.default.default if isinstance(one.default, Field) else one.default
        found[one.name] = (type(default) if one.annotation is one.empty else one.annotation, one.default)
    return found


_BY_PLACE_OR_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD


class CompositeCorruptor(Corruptor):
    """Chooses, image by image, among other corruptors (`parts`), of any space and depth.

    Core makes what every part would have made by itself, with the same noise, and keeps the chosen one.
    """

    @abstractmethod
    def choose(self, rng: Noise) -> Tensor:
        """Return the part that makes each image, (N,) int64 indices into `parts()`."""


@dataclass(frozen=True)
class InversionContext:
    """One inversion step from z_s, k-1 steps from the clean end, to z_t, k steps from it, eq. 2.

    eps(z): the noise predicted at timestep `t` for (N, C, h, w) latents. phi, psi: the coefficients of the
    step. alpha_bar: of z_t. z_0: the clean latents. rng: the images' noise. predict(z, t): eps at any timestep.
    """

    z_s: Tensor
    z_0: Tensor
    eps: Callable[[Tensor], Tensor]
    predict: Callable[[Tensor, int], Tensor]
    t: int
    phi: float
    psi: float
    alpha_bar: float
    rng: Noise

    def solve(self, eps: Tensor) -> Tensor:
        """z_t = (z_s - psi * eps) / phi, the explicit form of eq. 2 for a given noise estimate."""
        return (self.z_s - self.psi * eps) / self.phi

    def add_noise(self, noise: Tensor) -> Tensor:
        """Return sqrt(alpha_bar) z_0 + sqrt(1 - alpha_bar) noise, the forward-noised image at this step (eq. 4)."""
        return math.sqrt(self.alpha_bar) * self.z_0 + math.sqrt(1 - self.alpha_bar) * noise


class Inverter(Plugin):
    """z_0 -> the trajectory z_1 ... z_steps, one step at a time."""

    kind: ClassVar[str] = "inverter"

    def uses_noise(self) -> bool:
        """Whether `step` draws from at.rng, so that the trajectory depends on the seed."""
        return False

    @abstractmethod
    def step(self, at: InversionContext) -> Tensor:
        """Return z_t, (N, C, h, w); each image independent of its neighbours in the batch."""

    @abstractmethod
    def network_evaluations(self, t: int) -> int:
        """Network evaluations one image costs for the step to timestep t (an upper bound if it depends on the data)."""


@dataclass(frozen=True)
class Sample:
    """One image of a dataset.

    image: (H, W, 3) uint8. mask: (H, W) bool artifact label, or None where nothing was marked. id: unique and stable
    within the dataset. kinds: artifact kind -> (H, W) bool, where the dataset knows kinds. attributes: plain data.
    ignored: (H, W) bool, pixels that count neither in the loss nor in any metric nor in the prevalence, or None where
    every pixel counts; the mask is False there.
    """

    id: str
    image: Any
    mask: Any | None = None
    caption: str | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    ignored: Any | None = None


@dataclass(frozen=True)
class ImageFacts:
    """What a dataset knows of one image without decoding its pixels; a fact that it does not know is None.

    id: the Sample's, empty where it is not known. size: (height, width) in pixels of the Sample's image. labelled:
    whether the Sample has a mask. fault: why `read` would fail on this image, in one line that names the file and the
    remedy. captioned: whether the Sample has a caption. positive: whether its mask marks a pixel.
    """

    id: str = ""
    size: tuple[int, int] | None = None
    labelled: bool | None = None
    fault: str | None = None
    captioned: bool | None = None
    positive: bool | None = None


class Dataset(Plugin):
    """index -> Sample, by split. Labels and images are plain arrays; what is done with them is not its business."""

    kind: ClassVar[str] = "dataset"
    #: True where a generator has not decoded the images yet, so that core passes them through the autoencoder once.
    autoencode: ClassVar[bool] = False

    @abstractmethod
    def splits(self) -> Mapping[str, int]:
        """Split name -> number of samples."""

    @abstractmethod
    def read(self, split: str, indices: Sequence[int]) -> list[Sample]:
        """The samples at these indices, in order; raises BenchkitError for an unknown split or index."""

    def inspect(self, split: str, indices: Sequence[int]) -> Sequence[ImageFacts]:
        """What is known of the samples at these indices before they are read, one ImageFacts each, in order.

        Read headers, tables and listings only: seconds for 10,000 images. By default nothing is known.
        """
        return [ImageFacts()] * len(indices)

    def remedy(self, split: str) -> str | None:
        """How a user gives this dataset a split that it lacks, in a few words, such as the option that maps one."""
        return None

    def file_sizes(self, split: str) -> Sequence[tuple[int, int]]:
        """(height, width) of a split's images as their files have them, before they are framed, in any order.

        Read headers and tables only. By default nothing is known of them.
        """
        return ()

    def passed_over(self) -> Mapping[str, str]:
        """Files that were found and are not read, by path below the dataset's folder -> why, in a few words."""
        return {}

    def remarks(self, splits: Collection[str]) -> Sequence[str]:
        """What a user who reads these splits together should know, a line each: that two are the same images, say."""
        return ()

    def provenance(self) -> Mapping[str, str | int | float | bool | None]:
        """How the samples came about beyond what the parameters say, for the protocol: the rule, draw and filter by
        which a set was prepared, say. Plain values by name, the same wherever the files lie; by default nothing."""
        return {}

    @abstractmethod
    def labelled(self, count: int, seed: int) -> list[int]:
        """Indices into the split `pool` of the labelled set that this seed draws."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest that changes whenever anything in any Sample would: image, mask, id, caption, kinds, attributes,
        ignored. Asked after every reading of some images, to see whether the files changed meanwhile: keep it cheap."""


@dataclass(frozen=True)
class SelectionContext:
    """What a region selector is shown: images (N, 3, H, W) float32 in [0, 1], each after its autoencoder pass.

    samples: the datasets' own records of the same images (masks, part maps). score(images): artifact probability
    (N, H, W) in [0, 1] of the detector that the selector required, if any. threshold: what core chose for it.
    parts: the selections of the selector's `parts`, (N, H, W) bool each.
    """

    images: Tensor
    samples: Sequence[Sample]
    rng: Noise
    score: Callable[[Tensor], Tensor] | None = None
    threshold: float | None = None
    parts: tuple[Tensor, ...] = ()


class RegionSelector(Plugin):
    """image -> mask: where corruption goes."""

    kind: ClassVar[str] = "selector"

    @abstractmethod
    def select(self, at: SelectionContext) -> Tensor:
        """Return the selected regions, (N, H, W) bool."""

    def detector(self) -> str | None:
        """The detector that core must train on the labelled set first: `NAME:key=value`, `same` for the row's own
        detector, or None where nothing is learned."""
        return None

    def threshold(self) -> float | None:
        """The threshold on at.score, in (0, 1); None lets core choose it so that the mean selected area equals the
        labelled set's prevalence. Only asked where `detector` names one."""
        return None


class Detector(Plugin):
    """Builds a network: image -> two-class logits."""

    kind: ClassVar[str] = "detector"
    #: The fewest images of a batch in training: 2 where a layer is batch-normalised after pooling to one pixel.
    smallest_batch: ClassVar[int] = 1

    @abstractmethod
    def build(self) -> nn.Module:
        """A network with its pre-training loaded: (N, 3, H, W) float32 in [0, 1] -> logits (N, 2, H, W), class 1
        the artifact. In training mode it may return a sequence of logits; the first is the main head's."""

    def optimiser(self, network: nn.Module, lr: float) -> torch.optim.Optimizer | None:
        """An optimiser of the detector's own choosing, or None for the suite's (AdamW, the paper's settings)."""
        return None
