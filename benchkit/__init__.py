"""benchkit: corruption methods, region selectors and detectors, crossed, trained, scored and ranked.

The Python API is four functions, see `benchkit.functional`; importing this package loads neither them nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchkit.functional import compare, corrupt, invert, load_backend

__all__ = ["compare", "corrupt", "invert", "load_backend"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'benchkit' has no attribute '{name}'")
    from benchkit import functional

    return getattr(functional, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
