"""What is demanded of inverters, on noise predictions that are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.resample import resample
from benchkit.testing.checks import Subject, Unmet, check, said
from benchkit.testing.corruptors import ends
from benchkit.testing.pictures import Panels
from benchkit.testing.worlds import (
    CountedNoise,
    close,
    furthest,
    generators_restored,
    same,
    schedule,
    seed_globals,
    smooth,
)

LEVELS = 6
#: Standard deviation of the latents for which the Gaussian prediction is exact.
SPREAD = 0.6


@dataclass
class Predictor:
    """The noise in z at timestep t, in closed form, counting the images it is asked for.

    Exact for z_0 ~ N(0, SPREAD^2); `bend` adds what is not linear, so that images need not converge alike.
    """

    bend: float = 0.0
    images: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        levels = schedule()
        self._alpha_bar = dict(zip(levels.timesteps, levels.alpha_bar[1:], strict=True))

    def __call__(self, z: Tensor, t: int) -> Tensor:
        self.images[t] = self.images.get(t, 0) + len(z)
        alpha_bar = self._alpha_bar[t]
        plain = math.sqrt(1 - alpha_bar) * z / (alpha_bar * SPREAD**2 + 1 - alpha_bar)
        return plain + self.bend * torch.sin(z.roll(1, -1)) if self.bend else plain


def clean(count: int = 4, device: str = "cpu") -> Tensor:
    """Latents (N, 4, 8, 8), each image larger in scale than the one before."""
    scale = torch.arange(1, count + 1).view(-1, 1, 1, 1) * SPREAD / 2
    return (scale * (2 * smooth(count, 4, 8, 8, "inverted") - 1)).to(device)


def inverted(
    subject: Subject,
    rows: Sequence[int] = (0, 1, 2, 3),
    predict: Callable[[Tensor, int], Tensor] | None = None,
    seed: int = 0,
    levels: int = LEVELS,
) -> list[Tensor]:
    """The trajectory of made-up latents, by core's own loop."""
    z_0 = clean(max(rows) + 1, subject.device)[list(rows)]
    noise = CountedNoise(seed, [f"image-{i}" for i in rows])
    return compute_trajectory(subject.plugin, predict or Predictor(0.2), schedule(), z_0, noise, None, levels)


def panels(first: Tensor, second: Tensor, image: int = 0) -> Panels:
    changed = (first != second).any(1)
    return Panels(first[image], changed[image], second[image])


@check("runs", "step() gives finite latents of the shape, dtype and device it was given", gate=True)
def runs(subject: Subject) -> str:
    levels = inverted(subject)
    return f"{len(levels)} levels of {tuple(levels[-1].shape)}"


@check("inputs", "what it is shown is not written to")
def inputs(subject: Subject) -> None:
    from benchkit.api import InversionContext

    levels, z_0 = schedule(), clean(device=subject.device)
    predict, (phi, psi) = Predictor(0.2), levels.coefficients(1)
    t = levels.t(1)
    noise = CountedNoise(0, [f"image-{i}" for i in range(4)])
    at = InversionContext(
        z_0.clone(), z_0.clone(), lambda z: predict(z, t), predict, t, phi, psi, levels.alpha_bar[1], noise
    )
    subject.plugin.step(at)
    for name in ("z_s", "z_0"):
        if not torch.equal(getattr(at, name), z_0):
            raise Unmet("inputs that are left as they were", f"at.{name} changed: work on a copy")


@check("deterministic", "the same seed gives the same trajectory, whatever the global generators stand at")
def deterministic(subject: Subject) -> None:
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(inverted(subject)[-1])
    whys = ("two equal calls differ", "the latents follow a global generator")
    for other, why in zip(results[1:], whys, strict=True):
        if not same(results[0], other):
            came = f"{why}, by up to {furthest(results[0], other):.3g}: draw from at.rng alone"
            raise Unmet("equal latents for one seed", came, panels(results[0], other))


@check("seeds", "another seed gives another trajectory exactly where uses_noise() says so")
def seeds(subject: Subject) -> str:
    first, second = inverted(subject)[-1], inverted(subject, seed=1)[-1]
    differs, says = not same(first, second), bool(subject.plugin.uses_noise())
    if differs != says:
        came = f"trajectories that {'differ' if differs else 'are equal'}, and uses_noise() = {says}"
        raise Unmet("trajectories that differ between seeds if and only if uses_noise()", came)
    return "draws noise" if says else "draws none"


@check("neighbours", "an image's latents do not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    together = inverted(subject)[-1]
    for i in range(len(together)):
        alone = inverted(subject, rows=(i,))[-1]
        if not close(alone, together[i : i + 1], 1e-6):
            came = f"image {i} differs by up to {furthest(alone, together[i : i + 1]):.3g} when it is alone"
            raise Unmet("the same latents alone and in a batch of four", came, panels(together[i : i + 1], alone))


@check("network_evaluations", "network_evaluations(t) is no less than what a step really costs an image")
def network_evaluations(subject: Subject) -> str:
    predict = Predictor(0.2)
    inverted(subject, rows=(3,), predict=predict)
    levels = schedule()
    stated = {levels.t(k): subject.plugin.network_evaluations(levels.t(k)) for k in range(1, LEVELS + 1)}
    for t, number in stated.items():
        if not isinstance(number, int) or number < 0:
            raise Unmet("a whole number of network evaluations", f"network_evaluations({t}) = {number!r}")
    # What it asks at other timesteps is asked in some step too; the sums must fit.
    spent = sum(predict.images.values())
    over = next((t for t in stated if predict.images.get(t, 0) > stated[t]), None)
    if over is not None:
        raise Unmet(
            f"at most network_evaluations({over}) = {stated[over]} an image",
            f"{predict.images[over]} at timestep {over}",
        )
    if spent > sum(stated.values()):
        raise Unmet(f"at most {sum(stated.values())} an image in {LEVELS} steps", str(spent))
    return f"{spent} spent of {sum(stated.values())} stated, in {LEVELS} steps"


@check("sizes", "planes that are not square work, and a batch of one")
def sizes(subject: Subject) -> None:
    levels, noise = schedule(), CountedNoise(0, ["image-0"])
    z_0 = torch.zeros(1, 4, 8, 24, device=subject.device)
    compute_trajectory(subject.plugin, Predictor(), levels, z_0, noise, None, 1)


@check("ranges", "it runs at the ends of its parameters' ranges and with each of their choices")
def ranges(subject: Subject) -> str:
    tried = ends(subject)
    for name, value in tried:
        other = Subject(subject.cls, {**subject.params, name: value}, device=subject.device, registry=subject.registry)
        try:
            inverted(other, levels=1)
        except Exception as error:
            raise Unmet(f"finite latents with {name}={value}", said(error, subject.file)) from error
    return ", ".join(f"{name}={value}" for name, value in tried) or "none is declared"


@check("closed form", "how well it returns, where the noise is known exactly", informs=True)
def closed_form(subject: Subject) -> str:
    predict, z_0 = Predictor(), clean(device=subject.device)
    reached = inverted(subject, predict=predict, levels=10)[-1]
    back = resample(predict, schedule(), reached, 10)
    error = float((back - z_0).square().mean().sqrt() / z_0.square().mean().sqrt())
    return f"inverted and resampled ten steps, it is back within {100 * error:.2g} % of the latents' own size"


CHECKS = (runs, inputs, deterministic, seeds, neighbours, network_evaluations, sizes, ranges, closed_form)
