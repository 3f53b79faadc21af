"""Resample the masked region under another caption.

After Couairon, Verbeek, Schwenk and Cord, "DiffEdit" (ICLR 2023, Sec. 3.2). DiffEdit computes the mask from the two
captions, and replaces the outside by the inverted latents at every step. Here the mask is given, and the outside is
resampled under the image's own caption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, LatentCorruptor, ResamplingCorruptor, StepContext, hookimpl, param

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class PromptSwap(ResamplingCorruptor):
    """Resamples the masked region under another caption, as DiffEdit does (Couairon et al., ICLR 2023).

    eps = own + guidance (other - own) inside the mask, and own outside, where own and other are predicted under the
    image's caption and under the other one. A step needs two network evaluations. guidance=1 uses the other caption
    only, 0.5 the mean of both; values above 1 exaggerate the difference.
    """

    name = "prompt-swap"
    steps: int = param(20, ge=1, doc="inversion steps from the clean end")
    caption: str | None = param(
        "reference", doc="`reference`: the reference image's caption; null: no caption; else the caption"
    )
    guidance: float = param(1.0, ge=0, le=20, doc="1 uses the other caption only, 0 is the round trip")

    def needs(self) -> Sequence[str]:
        # If images had no captions, the other caption would be the same empty text, and nothing would change.
        return ("caption",) if self.caption in (None, "reference") else ()

    def needs_reference(self) -> bool:
        return self.caption == "reference"

    def network_evaluations(self) -> int:
        return 2

    def step(self, at: StepContext) -> Tensor:
        import torch  # here, so that listing plugins loads no torch

        own, other = at.eps(), at.eps(captions=self.captions(at))
        return at.solve(torch.where(at.start.mask, own + self.guidance * (other - own), own))

    def captions(self, at: StepContext) -> tuple[str | None, ...]:
        """Return the other caption of each image."""
        if not self.needs_reference():
            return (self.caption,) * len(at.z_t)
        if at.start.reference is None:
            raise BenchkitError(
                "corruptor 'prompt-swap': no reference images were drawn: give caption=WORDS or caption=null"
            )
        return at.start.reference.captions


@hookimpl
def benchkit_corruptors() -> list[type[LatentCorruptor]]:
    return [PromptSwap]
