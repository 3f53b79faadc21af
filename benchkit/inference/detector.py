"""A trained detector: a folder with weights and a card, loaded as a function of images."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchkit.api import Detector
from benchkit.errors import ArgumentValueError, BenchkitError, describe_error, describe_value
from benchkit.plugin.networks import build_network
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.system.paths import check_path

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor, nn

    from benchkit.inference.image_batch import ImageBatch

CARD, WEIGHTS = "card.json", "model.safetensors"
#: Of the card.
SCHEMA = 1
#: Default of the longest side that the network processes at once; larger images are divided into tiles.
TILE = 1024
#: Values may lie this far outside [0, 1], since a decoder or a gradient step can leave the range.
TOLERATED = 0.1


@dataclass(frozen=True)
class Scores:
    """Scores of one image: mean and largest probability, and the fraction of pixels at or above the threshold."""

    mean: float
    largest: float
    area: float


@dataclass(frozen=True)
class TrainedDetector:
    """A network that finds artifacts. Called with images of any sizes, it returns each one's probabilities.

    threshold: pixels with this probability or more are artifacts. card: facts on its origin. tile: the longest side in
    pixels that the network processes at once.

    Example:
        >>> import benchkit
        >>> detector = benchkit.load_detector("detectors/human", device="cpu")
        >>> (heat,) = detector(benchkit.load_dataset("portraits")["test"][:1])
        >>> 0 <= detector.scores(heat).mean <= 1
        True
    """

    network: nn.Module
    threshold: float
    card: Mapping[str, Any]
    tile: int = TILE

    def __call__(self, images: ImageBatch | Sequence[Image | np.ndarray] | np.ndarray) -> list[np.ndarray]:
        """Return artifact probabilities of images of any sizes: PIL images or (H, W, 3) uint8 -> (H, W) float32 each.

        A PIL image is rotated as its EXIF says, and so is its map. An image with a side above `tile` is processed in
        overlapping tiles. Raises ArgumentTypeError or ArgumentValueError for anything else.
        """
        from benchkit.inference.images import pixel_arrays
        from benchkit.inference.tiling import predict_tiled
        from benchkit.training import loop as training

        return [
            predict_tiled(lambda x: training.predict(self.network, x), pixels, self.tile)
            for pixels in pixel_arrays(images)
        ]

    def probabilities(self, images: Tensor) -> Tensor:
        """Return artifact probabilities with gradients, for a reward or guidance: (N, 3, H, W) in [0, 1] -> (N, H, W).

        The images are processed whole, on the network's device. Raises ArgumentTypeError or ArgumentValueError for
        another type or shape, and for values more than 0.1 outside [0, 1].
        """
        from benchkit.inference.images import check_floats
        from benchkit.training.loop import device_of
        from benchkit.training.padding import heads

        check_floats(images, tolerance=TOLERATED)
        return heads(self.network, images.to(device_of(self.network)).float())[0].softmax(1)[:, 1]

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write weights and card into a new or empty folder, which `benchkit.load_detector` reads.

        force: replace a detector that lies there. Raises ArgumentValueError for a plugin that was defined in this
        session, which no other session could load.
        """
        from benchkit.system.output_files import check_folder, replace_folder
        from benchkit.training import weights

        detector = self.card.get("detector") or {}
        if not isinstance(detector.get("identity"), str):
            raise ArgumentValueError(
                f"detector '{detector.get('name')}' is a class of this session: write it to a file with "
                "benchkit.save_plugin, train the detector of that file (plugins=[…]), and save that"
            )
        target = check_path("folder", folder)
        check_folder(target, force, CARD, "a detector")
        with replace_folder(target, force, CARD, lambda: (CARD, WEIGHTS)) as written:
            weights.save_network(self.network, written / WEIGHTS)
            digest = hashlib.sha256((written / WEIGHTS).read_bytes()).hexdigest()
            card = {**self.card, "schema": SCHEMA, "threshold": self.threshold, "sha256": digest}
            (written / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def scores(self, probabilities: np.ndarray) -> Scores:
        """Return the scores of one image's probabilities (H, W). Rank or reward by `mean`; less is better."""
        if getattr(probabilities, "ndim", None) != 2:
            given = getattr(probabilities, "shape", describe_value(probabilities))
            raise ArgumentValueError(f"probabilities: give the map of one image, an array (H, W), not {given}")
        area = float((probabilities >= self.threshold).mean())
        return Scores(float(probabilities.mean()), float(probabilities.max()), area)


def predict_chunk(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return a network's artifact probabilities of a chunk of images, as the stages compute them.

    images: (N, H, W, 3) uint8, at most CHUNK of one size -> (N, H, W) float32 in [0, 1].
    """
    import torch

    from benchkit.training.batches import to_input
    from benchkit.training.features import FrozenNetwork
    from benchkit.training.loop import device_of, predict

    if not isinstance(network, FrozenNetwork):
        return predict(network, images)
    with torch.inference_mode():
        maps = network.maps(to_input(images, device_of(network)))
    return network.predict(maps, (images.shape[1], images.shape[2]))


def read_detector(
    folder: Path, device: str, registry: Registry, warn: Callable[[str], None] | None = None
) -> TrainedDetector:
    """Return the detector that `benchkit export` or `TrainedDetector.save` wrote into a folder, in evaluation mode.

    device: see `benchkit.system.devices.resolve_device`. registry: the plugins. warn: called with one line if the
    plugin's source has changed since training; None means Python's warnings. Raises BenchkitError if the folder holds
    no detector, if its weights are damaged or do not fit the plugin, or if there is no such plugin.
    """
    from benchkit.system.devices import resolve_device
    from benchkit.training import weights

    card = read_card(folder)
    spec = Spec.of("detector", card["detector"]["name"], **card["detector"]["params"])
    if registry.identity(spec) != card["detector"]["identity"]:
        text = (
            f"detector '{spec}' in {folder} was trained with another version of its plugin (source "
            f"{card['detector']['identity'][:12]}, here {registry.identity(spec)[:12]}): its predictions may differ"
        )
        warn(text) if warn else warnings.warn(text, stacklevel=2)
    _check_digest(folder / WEIGHTS, card["sha256"])
    network = build_network(registry, registry.make(spec, Detector))  # type: ignore[type-abstract]
    weights.load_network(network, folder / WEIGHTS)
    network.requires_grad_(False)
    return TrainedDetector(network.to(resolve_device(device)).eval(), card["threshold"], card)


def is_detector(folder: Path) -> bool:
    """Return whether a folder has the files that `read_detector` reads."""
    # os.path returns False for an impossible name, where Path raises.
    return all(os.path.isfile(folder / name) for name in (CARD, WEIGHTS))  # noqa: PTH113


def read_card(folder: Path) -> dict[str, Any]:
    """Read and check a detector's card; raise BenchkitError that names the file."""
    file = folder / CARD
    try:
        card = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or f"not JSON ({describe_error(error)})"
        raise BenchkitError(
            f"no detector in '{folder}': {file.name}: {reason}; name a folder of an exported detector"
        ) from None
    detector = card.get("detector") if isinstance(card, dict) else None
    if not isinstance(detector, dict) or card.get("schema") != SCHEMA or not _is_card(card, detector):
        raise BenchkitError(f"'{file}' is not the card of a detector of this version (schema {SCHEMA})")
    return dict(card)


def _is_card(card: Mapping[str, Any], detector: Mapping[str, Any]) -> bool:
    """Return whether every value has the right type; a card may come from anywhere."""
    texts = (detector.get("name"), detector.get("identity"), card.get("sha256"))
    params, threshold = detector.get("params"), card.get("threshold")
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(params, dict)
        and all(value is None or isinstance(value, bool | int | float | str) for value in params.values())
        and isinstance(threshold, int | float)
        and 0 <= threshold <= 1
    )


def _check_digest(file: Path, expected: str) -> None:
    try:
        with file.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise BenchkitError(f"cannot read '{file}': {error.strerror or error}") from None
    if found != expected:
        raise BenchkitError(f"'{file}' is damaged or incomplete: its sha256 is not that in the card; copy it again")
