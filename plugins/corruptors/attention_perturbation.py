"""Resampling with the denoiser's self-attention degraded inside the mask: local texture stays, structure goes.

map=identity is the degraded branch of perturbed-attention guidance (Ahn et al., "Self-rectifying diffusion sampling
with perturbed-attention guidance", ECCV 2024, Sec. 4): the attention map becomes the identity, so a token gets its own
value. map=blur is that of smoothed energy guidance (Hong, NeurIPS 2024, Sec. 4): blurring the queries blurs the
attention weights. Both descend from self-attention guidance (Hong et al., ICCV 2023), which blurs the input where
attention is high. These guide *away* from the degraded branch, all over the image; here it is what is wanted, inside
the mask. They degrade chosen layers; we degrade all, since nobody has chosen any for this purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import LatentCorruptor, ResamplingCorruptor, StepContext, hookimpl, param
from benchkit_plugins.corruptors._gaussian import gaussian_blur

if TYPE_CHECKING:
    from torch import Tensor


def blurred_queries(query: Tensor, grid: tuple[int, int], sigma: float) -> Tensor:
    """(N, heads, tokens, width) blurred over the tokens' grid by a Gaussian of `sigma` tokens, the border repeated."""
    planes = gaussian_blur(query.transpose(2, 3).reshape(-1, 1, *grid), sigma)
    return planes.view(*query.shape[:2], query.shape[3], -1).transpose(2, 3)


@dataclass(frozen=True)
class AttentionPerturbation(ResamplingCorruptor):
    """eps = usual + strength (perturbed - usual) inside the mask at every step of the way back from z_t.

    In the perturbed prediction the tokens inside the mask attend otherwise, and those outside as ever. With strength 1
    eps is the perturbed prediction everywhere, at one forward a step; any other strength costs two.
    """

    name = "attention-perturbation"
    steps: int = param(20, ge=1, doc="inversion steps from the clean end")
    map: str = param("identity", choices=("identity", "blur"), doc="what becomes of the attention map")
    sigma: float = param(0.25, gt=0, le=4, doc="of map=blur: standard deviation, a fraction of the longer side")
    strength: float = param(1.0, ge=0, le=20, doc="1 is the perturbed prediction, more goes beyond it")

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
        """Attention of (N, heads, tokens, width) with the identity for its map, or with blurred queries."""
        from torch.nn import functional as F

        if self.map == "identity":
            return value
        return F.scaled_dot_product_attention(blurred_queries(query, grid, self.sigma * max(grid)), key, value)


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [AttentionPerturbation]
