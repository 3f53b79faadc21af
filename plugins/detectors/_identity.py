"""The initial weights of a detector, as part of its identity. Loads no torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from benchkit.api import may_download
from benchkit_plugins.detectors import _download


def weights_digest(source: str, asset: str = "") -> str:
    """Return the sha256 of the embedded asset (`parts`), or of the file or URL; nothing if there are no weights.

    A URL is downloaded first, unless it is here already. A dry run downloads nothing and returns the URL instead.
    """
    if not may_download() and not _download.is_here(source):
        return source
    if source == "none":
        return ""
    if source == "parts":
        file = Path(str(resources.files("benchkit.assets") / "detectors" / asset))
    else:
        file = _download.located(source)
    return _download.sha256(file) if file.is_file() else ""


def chosen_source(size: str, pretrained: str) -> str:
    """Return where the weights of a UPerNet come from: `parts`, `none`, a file or a URL; `auto` depends on the size."""
    automatic = "parts" if size == "mini" else "none"
    return automatic if pretrained == "auto" else pretrained
