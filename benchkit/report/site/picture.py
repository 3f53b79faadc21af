"""A figure as a page holds it."""

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
        """A figure that was drawn in the light theme as SVG."""
        light, dark = (data_uri(image, "image/svg+xml") for image in (svg, recoloured(svg)))
        return cls(light, dark, words)
