"""A corruptor that takes the resampling steps itself: what it receives, and what core demands of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from benchkit.api import LatentContext, LatentCorruptor, ResamplingCorruptor, StepContext
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.resample import corrupt_and_resample
from benchkit.diffusion.schedule import Schedule
from benchkit.errors import PluginError
from benchkit_plugins.corruptors.none import RoundTrip
from tests.helpers.tiny_checkpoint import SD1


@dataclass(frozen=True)
class Steps(ResamplingCorruptor):
    """Does at each step what its work says."""

    name = "steps"
    steps: int = 2
    work: object = None

    def step(self, at: StepContext) -> Tensor:
        return self.work(at)  # type: ignore[operator]


def taken(corruptor: LatentCorruptor) -> Tensor:
    schedule = Schedule.from_scheduler(SD1)
    z = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    at = LatentContext(
        z, z + 1, torch.ones(3, 1, 4, 4) > 0, schedule.alpha_bar[2], 32, (None,) * 3, ImageNoise(0, ["a", "b", "c"])
    )
    return corrupt_and_resample(lambda z, t, c: z / 2 + t, lambda captions: None, schedule, corruptor, at)


def test_plain_steps_of_ones_own_are_ddim() -> None:
    levels: list[tuple[int, int]] = []

    def plain(at: StepContext) -> Tensor:
        levels.append((at.step, at.t))
        return at.solve(at.eps())

    assert torch.equal(taken(Steps(work=plain)), taken(RoundTrip(steps=2)))
    assert levels == [(2, 21), (1, 1)]


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda at: at.solve(at.eps() + at.eps()), "evaluates the network 2 times at step 2"),
        (lambda at: at.solve(at.eps(at.z_t[:1])), "other images than it received"),
        (lambda at: at.solve(at.eps(captions=("a",))), "other images than it received"),
        (lambda at: at.z_t.double(), "float64"),
        (lambda at: at.z_t / 0, "finite"),
        (lambda at: at.start.z_0.zero_() + at.z_t, "z_0 in place"),
        (lambda at: None, "NoneType"),
    ],
)
def test_a_broken_step_is_named(work: object, words: str) -> None:
    with pytest.raises(PluginError, match=f"corruptor 'steps'.*{words}"):
        taken(Steps(work=work))
