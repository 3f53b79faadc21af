"""What a detector's work depends on beside its source: the weights it starts from. Loads no torch."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path


def weights_digest(source: str, asset: str) -> str:
    """sha256 of the embedded asset (`parts`) or of the file named; nothing where there are no weights to read."""
    if source == "none":
        return ""
    file = resources.files("benchkit.assets") / "detectors" / asset if source == "parts" else Path(source)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
