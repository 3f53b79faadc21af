"""Plain text for Markdown."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Return text in which signs outside of backticks keep their look."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        for sign in ("*", "_", "<", "[", "]", "$", "{"):
            parts[i] = parts[i].replace(sign, f"\\{sign}")
    return "`".join(parts)
