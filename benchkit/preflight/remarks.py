"""What a checkpoint's configs say of the images that it draws."""

from __future__ import annotations

from benchkit.diffusion.checkpoint import Checkpoint, read_json


def latent_factor(found: Checkpoint) -> int:
    """Image pixels along a side of a latent cell."""
    widths = read_json(found.folder / "vae" / "config.json", found.folder).get("block_out_channels", ())
    return int(2 ** max(0, len(widths) - 1))
