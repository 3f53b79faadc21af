"""Checks of inverters, with noise predictions in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchkit.api import BenchkitError
from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.resample import resample
from benchkit.testing.checks import NotApplicable, Subject, Violation, check, format_error
from benchkit.testing.corruptors import list_ends
from benchkit.testing.pictures import Panels
from benchkit.testing.worlds import (
    CountedNoise,
    close,
    draws,
    furthest,
    generators_restored,
    same,
    schedule,
    seed_globals,
    smooth,
)

STEPS = 6
#: Standard deviation of the latents for which the Gaussian prediction is exact.
SPREAD = 0.6


@dataclass
class Predictor:
    """The noise in z at timestep t, in closed form; it counts its evaluations by timestep.

    Plain: exact for z_0 ~ N(0, SPREAD^2). real: plain, a non-linear term, so that images may converge differently, and
    white noise of variance 1, the same for every z. The plain prediction has a standard deviation of 0.03 at the clean
    end. That of a network is near 1, and methods that regularise it, as ReNoise, have step sizes made for that.
    """

    real: bool = True
    images: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        levels = schedule()
        self._alpha_bar = dict(zip(levels.timesteps, levels.alpha_bar[1:], strict=True))

    def __call__(self, z: Tensor, t: int) -> Tensor:
        self.images[t] = self.images.get(t, 0) + len(z)
        alpha_bar = self._alpha_bar[t]
        plain = math.sqrt(1 - alpha_bar) * z / (alpha_bar * SPREAD**2 + 1 - alpha_bar)
        if not self.real:
            return plain
        channels, height, width = z.shape[1:]
        return plain + 0.2 * torch.sin(z.roll(1, -1)) + draws(1, channels, height, width, "eps").to(z)


def clean(count: int = 4, device: str = "cpu") -> Tensor:
    """Return latents (N, 4, 8, 8); each image has a larger scale than the one before."""
    scale = torch.arange(1, count + 1).view(-1, 1, 1, 1) * SPREAD / 2
    return (scale * (2 * smooth(count, 4, 8, 8, "inverted") - 1)).to(device)


def invert(
    subject: Subject,
    rows: Sequence[int] = (0, 1, 2, 3),
    predict: Callable[[Tensor, int], Tensor] | None = None,
    seed: int = 0,
    steps: int = STEPS,
) -> list[Tensor]:
    """Return the trajectory of synthetic latents, computed by benchkit's loop."""
    z_0 = clean(max(rows) + 1, subject.device)[list(rows)]
    noise = CountedNoise(seed, [f"image-{i}" for i in rows])
    return compute_trajectory(subject.plugin, predict or Predictor(), schedule(), z_0, noise, None, steps)


def panels(first: Tensor, second: Tensor, image: int = 0) -> Panels:
    changed = (first != second).any(1)
    return Panels(first[image], changed[image], second[image])


@check("runs", "step() returns finite latents with the shape, dtype and device of its input", gate=True)
def runs(subject: Subject) -> str:
    latents = invert(subject)
    return f"{len(latents)} steps of {tuple(latents[-1].shape)}"


@check("inputs", "inputs are not changed in place")
def inputs(subject: Subject) -> None:
    from benchkit.api import InversionContext

    full, z_0 = schedule(), clean(device=subject.device)
    predict, (phi, psi) = Predictor(), full.coefficients(1)
    t = full.t(1)
    noise = CountedNoise(0, [f"image-{i}" for i in range(4)])
    at = InversionContext(
        z_0.clone(), z_0.clone(), lambda z: predict(z, t), predict, t, phi, psi, full.alpha_bar[1], noise
    )
    subject.plugin.step(at)
    for name in ("z_s", "z_0"):
        if not torch.equal(getattr(at, name), z_0):
            raise Violation("unchanged inputs", f"at.{name} changed: work on a copy")


@check("deterministic", "the same seed gives the same trajectory, whatever the state of global generators")
def deterministic(subject: Subject) -> None:
    with generators_restored():
        results = []
        for seed in (1, 1, 2):
            seed_globals(seed)
            results.append(invert(subject)[-1])
    reasons = ("two equal calls differ", "the latents depend on a global generator")
    for other, reason in zip(results[1:], reasons, strict=True):
        if not same(results[0], other):
            actual = f"{reason}, by up to {furthest(results[0], other):.3g}: draw from at.rng only"
            raise Violation("equal latents for one seed", actual, panels(results[0], other))


@check("seeds", "another seed gives another trajectory if and only if uses_noise() is true")
def seeds(subject: Subject) -> str:
    first, second = invert(subject)[-1], invert(subject, seed=1)[-1]
    differs, says = not same(first, second), bool(subject.plugin.uses_noise())
    if differs != says:
        actual = f"trajectories that {'differ' if differs else 'are equal'}, and uses_noise() = {says}"
        raise Violation("trajectories that differ between seeds if and only if uses_noise()", actual)
    return "draws noise" if says else "draws none"


@check("neighbours", "an image's latents do not depend on its neighbours in the batch")
def neighbours(subject: Subject) -> None:
    together = invert(subject)[-1]
    for i in range(len(together)):
        alone = invert(subject, rows=(i,))[-1]
        if not close(alone, together[i : i + 1], 1e-6):
            actual = f"image {i} differs by up to {furthest(alone, together[i : i + 1]):.3g} when it is alone"
            raise Violation("the same latents alone and in a batch of four", actual, panels(together[i : i + 1], alone))


@check("network_evaluations", "network_evaluations(t) is not smaller than the evaluations that a step uses per image")
def network_evaluations(subject: Subject) -> str:
    predict = Predictor()
    invert(subject, rows=(3,), predict=predict)
    full = schedule()
    stated = {full.t(k): subject.plugin.network_evaluations(full.t(k)) for k in range(1, STEPS + 1)}
    for t, number in stated.items():
        if not isinstance(number, int) or number < 0:
            raise Violation("a whole number of network evaluations", f"network_evaluations({t}) = {number!r}")
    # Evaluations at other timesteps belong to some step as well, so the sums are compared.
    spent = sum(predict.images.values())
    over = next((t for t in stated if predict.images.get(t, 0) > stated[t]), None)
    if over is not None:
        raise Violation(
            f"at most network_evaluations({over}) = {stated[over]} per image",
            f"{predict.images[over]} at timestep {over}",
        )
    if spent > sum(stated.values()):
        raise Violation(f"at most {sum(stated.values())} per image in {STEPS} steps", str(spent))
    return f"{spent} used of {sum(stated.values())} declared, in {STEPS} steps"


@check("sizes", "non-square latents and a batch of one work")
def sizes(subject: Subject) -> None:
    full, noise = schedule(), CountedNoise(0, ["image-0"])
    z_0 = torch.zeros(1, 4, 8, 24, device=subject.device)
    compute_trajectory(subject.plugin, Predictor(), full, z_0, noise, None, 1)


@check("ranges", "it runs at both ends of each parameter's range, and with each choice")
def ranges(subject: Subject) -> str:
    tried = list_ends(subject)
    for name, value in tried:
        other = Subject(subject.cls, {**subject.params, name: value}, device=subject.device, registry=subject.registry)
        try:
            invert(other, steps=1)
        except Exception as error:
            raise Violation(f"finite latents with {name}={value}", format_error(error, subject.file)) from error
    return ", ".join(f"{name}={value}" for name, value in tried) or "no range or choice is declared"


@check("closed form", "inversion and resampling error with exactly known noise", informs=True)
def closed_form(subject: Subject) -> str:
    predict, z_0 = Predictor(real=False), clean(device=subject.device)
    try:
        reached = invert(subject, predict=predict, steps=10)[-1]
    except BenchkitError as reason:  # with a network's noise it runs: `runs` has passed
        raise NotApplicable(f"the noise of this case is far weaker than a network's: {reason}") from reason
    back = resample(predict, schedule(), reached, 10)
    error = float((back - z_0).square().mean().sqrt() / z_0.square().mean().sqrt())
    return f"after 10 steps and resampling, the error is {100 * error:.2g} % of the latents' root mean square"


CHECKS = (runs, inputs, deterministic, seeds, neighbours, network_evaluations, sizes, ranges, closed_form)
