"""Checkpoints as a Python caller gives them: a name, a folder, or the object that `load_model` returned."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError, as_argument_error, describe_value

if TYPE_CHECKING:
    from benchkit.diffusion.backend import DiffusionBackend

    #: A checkpoint's name, its folder or file, or a loaded one.
    ModelLike = str | Path | DiffusionBackend


def find_model(model: ModelLike, device: str = "auto") -> DiffusionBackend:
    """Return a loaded checkpoint, or load the one of a name; the last one is kept. Raises ArgumentTypeError."""
    if (loaded := get_loaded(model)) is not None:
        return loaded
    from benchkit.system.devices import resolve_device

    with as_argument_error("model"):
        return _load(str(model), resolve_device(device))


@lru_cache(maxsize=1)
def _load(name: str, device: str) -> DiffusionBackend:
    from benchkit.diffusion.backend import DiffusionBackend

    return DiffusionBackend.load(name, device)


def get_loaded(model: Any) -> DiffusionBackend | None:
    """Return a loaded checkpoint, or None for a name; raise ArgumentTypeError for anything else."""
    if isinstance(model, str | Path):
        return None
    from benchkit.diffusion.backend import DiffusionBackend

    if isinstance(model, DiffusionBackend):
        return model
    remedy = "give a checkpoint's name, its folder, or what benchkit.load_model returned"
    raise ArgumentTypeError(f"model: {describe_value(model)} is no checkpoint: {remedy}")


def name_model(model: ModelLike) -> str:
    """Return the text that names a checkpoint in a grid. For a loaded one every process finds it again by this text.

    Raises ArgumentTypeError for anything else, and ArgumentValueError if the files of a loaded one have changed since.
    """
    if (loaded := get_loaded(model)) is None:
        return str(model)
    with as_argument_error("model"):
        _ = loaded.identity
    return loaded.location


def check_schedule(model: ModelLike | None, num_inference_steps: int) -> None:
    """Raise ArgumentValueError if a loaded checkpoint has another schedule than the comparison that is to use it."""
    loaded = None if model is None else get_loaded(model)
    if loaded is not None and loaded.schedule.steps != num_inference_steps:
        own = loaded.schedule.steps
        raise ArgumentValueError(
            f"model: it was loaded with num_inference_steps={own}, and this comparison has {num_inference_steps}: load "
            f"it with num_inference_steps={num_inference_steps}, or give settings={{'num_inference_steps': {own}}}"
        )
