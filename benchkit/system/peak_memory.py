"""The most memory that this process has had; loads no torch."""

from __future__ import annotations

import sys


def read_peak_memory() -> int:
    """Return the bytes of main memory of this process at their largest so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
