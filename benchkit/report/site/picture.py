"""Figures in a page."""

from __future__ import annotations

from typing import NamedTuple

from benchkit.report.figures import recoloured
from benchkit.report.site.gallery import data_uri


class Picture(NamedTuple):
    """A figure in both themes, as data: URIs, and in words."""

    light: str
    dark: str
    alternative: str

    @classmethod
    def of(cls, svg: bytes, words: str) -> Picture:
        """Return the picture of an SVG in the light theme."""
        light, dark = (data_uri(image, "image/svg+xml") for image in (svg, recoloured(svg)))
        return cls(light, dark, words)
