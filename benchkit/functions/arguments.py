"""Arguments of the Python API, checked: numbers, seeds, true or false, texts for each image."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from benchkit.errors import ArgumentTypeError, ArgumentValueError, describe_value
from benchkit.inference.image_batch import ImageBatch
from benchkit.inference.images import check_sequence
from benchkit.specs.training_sets import SEEDS


def check_whole(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """Return a whole number in a range; raise ArgumentTypeError or ArgumentValueError that names the argument."""
    if hasattr(value, "__index__") and not isinstance(value, bool):
        with suppress(TypeError):  # an array, or a tensor of a fraction
            value = value.__index__()
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(f"{name}: {describe_value(value)} is no whole number: give one")
    if value < least or (most is not None and value > most):
        limits = f"{least} or more" if most is None else f"from {least} to {most}"
        given = f"{name} {value}" if name.startswith("`") else f"{name}={value}"  # the command line prints its flag
        raise ArgumentValueError(f"{given}: give a whole number, {limits}")
    return value


def check_number(name: str, value: Any, remedy: str) -> None:
    """Raise ArgumentTypeError for anything but a number or None; remedy: such as `give seconds`."""
    if isinstance(value, bool) or not (value is None or hasattr(value, "__float__")):
        raise ArgumentTypeError(f"{name}: {describe_value(value)} is no number: {remedy}")


def check_flags(**flags: Any) -> None:
    """Raise ArgumentTypeError for a flag that is neither True nor False; a text such as 'no' would count as true."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ArgumentTypeError(f"{name}: {describe_value(value)} is no bool: give True or False")


def check_texts(name: str, values: Sequence[Any], example: str) -> list[str]:
    """Return a list of texts; raise ArgumentTypeError for anything else in it. example: of one of them."""
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        raise ArgumentTypeError(f"{name}: {describe_value(wrong[0])} is no text: write it as '{example}'")
    return list(values)


def check_seed(seed: Any) -> int:
    """Return a seed, a whole number from 0 to 2^31 - 1; raise ArgumentTypeError or ArgumentValueError."""
    return check_whole("seed", seed, 0, SEEDS - 1)


def texts_of(
    images: Any, count: int, captions: Sequence[str | None] | None, ids: Sequence[str] | None
) -> tuple[list[str | None], list[str]]:
    """Return a caption and an id for each of `count` images.

    Where they are not given, those of an ImageBatch; else no caption, and the ids "0", "1", ... Raises
    ArgumentTypeError and ArgumentValueError for other types, and for another number of texts.
    """
    own = isinstance(images, ImageBatch)
    texts: list[Any] = list(images.captions) if own else [None] * count
    names: list[Any] = list(images.ids) if own else [str(i) for i in range(count)]
    texts = texts if captions is None else _texts("captions", captions, count, "a text or None")
    names = names if ids is None else _texts("ids", ids, count, "a text")
    if any(name is None for name in names):
        raise ArgumentTypeError("ids: an id is a text, not None")
    return texts, [str(name) for name in names]


def _texts(name: str, given: Any, count: int, each: str) -> list[str | None]:
    if isinstance(given, str):
        raise ArgumentTypeError(f"{name}: one text for {count} images: give a list with {each} for each")
    listed = list(check_sequence(given, name, f"a list with {each} for each image"))
    if len(listed) != count:
        raise ArgumentValueError(f"{name}: {len(listed)} for {count} images: give a list with {each} for each")
    wrong = next((one for one in listed if one is not None and not isinstance(one, str)), None)
    if wrong is not None:
        raise ArgumentTypeError(f"{name}: {wrong!r} is not text: give {each} for each image")
    return listed
