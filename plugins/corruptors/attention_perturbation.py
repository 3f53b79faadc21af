"""Resample with perturbed self-attention inside the mask.

map=identity comes from perturbed-attention guidance (Ahn et al., "Self-rectifying diffusion sampling with
perturbed-attention guidance", ECCV 2024, Sec. 4), map=blur from smoothed energy guidance (Hong, NeurIPS 2024, Sec. 4).
These methods guide the whole image away from the perturbed prediction, and perturb chosen layers. Here the perturbed
prediction itself is used, inside the mask, and all layers are perturbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentCorruptor, ResamplingCorruptor, StepContext, hookimpl, param
from benchkit_plugins.corruptors._gaussian import gaussian_blur

if TYPE_CHECKING:
    from torch import Tensor


def blurred_queries(query: Tensor, grid: tuple[int, int], sigma: float) -> Tensor:
    """Return queries (N, heads, tokens, width) blurred over the grid of tokens by a Gaussian of `sigma` tokens."""
    planes = gaussian_blur(query.transpose(2, 3).reshape(-1, 1, *grid), sigma)
    return planes.view(*query.shape[:2], query.shape[3], -1).transpose(2, 3)


@dataclass(frozen=True)
class AttentionPerturbation(ResamplingCorruptor):
    """Perturbs self-attention inside the mask at every resampling step: texture stays, structure is lost.

    eps = usual + strength (perturbed - usual) inside the mask. In the perturbed prediction, each token inside the mask
    attends only to itself (map=identity) or attends with blurred queries (map=blur). With strength=1, eps is the
    perturbed prediction everywhere, and a step needs one network evaluation; otherwise it needs two. After
    perturbed-attention guidance (Ahn et al., ECCV 2024) and smoothed energy guidance (Hong, NeurIPS 2024).
    """

    name = "attention-perturbation"
    steps: int = param(20, ge=1, doc="inversion steps from the clean end")
    map: str = param(
        "identity", choices=("identity", "blur"), doc="attention map: the identity, or that of blurred queries"
    )
    sigma: float = param(0.25, gt=0, le=4, doc="for map=blur: standard deviation, as a fraction of the longer side")
    strength: float = param(1.0, ge=0, le=20, doc="1 is the perturbed prediction; larger values extrapolate")

    def network_evaluations(self) -> int:
        return 1 if self.strength == 1 else 2

    def step(self, at: StepContext) -> Tensor:
        import torch  # here, so that listing plugins loads no torch

        perturbed = at.eps(attend=self.attend)
        if self.strength == 1:
            return at.solve(perturbed)
        usual = at.eps()
        return at.solve(torch.where(at.start.mask, usual + self.strength * (perturbed - usual), usual))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the perturbed attention, (N, heads, tokens, width)."""
        from torch.nn import functional as F

        if self.map == "identity":
            return value
        return F.scaled_dot_product_attention(blurred_queries(query, grid, self.sigma * max(grid)), key, value)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [AttentionPerturbation]
