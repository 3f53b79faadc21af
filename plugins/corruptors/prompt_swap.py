"""The masked region resampled under another caption.

After Couairon, Verbeek, Schwenk and Cord, "DiffEdit" (ICLR 2023, Sec. 3.2): invert under the image's caption, denoise
under another one inside a mask. There the mask is found from the two captions and the outside is pasted from the
inverted trajectory at every step; here the mask is given and the outside goes on under its own caption, so that with
the same caption this is the round trip. DiffEdit leaves open which caption replaces the first: see `caption`.
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
    """eps = own + guidance (other - own) inside the mask, own outside; two network evaluations a step.

    own, other: eps under the image's caption and under the other one. guidance=1 is the other caption alone, 0.5
    stands half-way between the two, more than 1 exaggerates what tells them apart.
    """

    name = "prompt-swap"
    steps: int = param(20, ge=1, doc="inversion steps from the clean end")
    caption: str | None = param("reference", doc="`reference`: another image's caption; null: none; else its words")
    guidance: float = param(1.0, ge=0, le=20, doc="1 is the other caption alone, 0 the round trip")

    def needs(self) -> Sequence[str]:
        # Without a caption of its own, another image's (or none) is the same text, and nothing would change.
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
        """The other caption of each image."""
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
