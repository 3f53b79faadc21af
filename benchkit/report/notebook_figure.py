"""A matplotlib figure that a notebook shows without pyplot. Importing this module loads matplotlib."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that is shown as a PNG image on white, as the last value of a notebook's cell."""

    def _repr_png_(self) -> bytes:
        sink = io.BytesIO()
        self.savefig(sink, format="png", facecolor="white", dpi=144)
        return sink.getvalue()
