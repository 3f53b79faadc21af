"""The training loop of detectors, learned selectors and pre-training: a pure function of its inputs and a seed.

Every random draw of iteration i comes from (seed, i), so that a run resumed from a checkpoint ends with the same bits
as one that was never interrupted. Paper, Sec. 4.4: cross-entropy, AdamW, lr 6e-5, betas (0.9, 0.999), decay 0.01.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchkit.errors import BenchkitError
from benchkit.specs.spec import TrainingConfig, keyed_fields
from benchkit.system.memory import explain_out_of_memory
from benchkit.training import augmentation
from benchkit.training.augmentation import IGNORED
from benchkit.training.ddp import Team
from benchkit.training.fitting import at_multiple, heads, multiple_of
from benchkit.training.losses import shared_losses
from benchkit.training.weights import load_network, load_state, pack, read_tensors, save_network, unpack, write_tensors

__all__ = [
    "PREDICT_BATCH",
    "TrainingConfig",
    "UnusableCheckpoint",
    "adamw",
    "batch_at",
    "check_data",
    "crop_window",
    "device_of",
    "load_network",
    "predict",
    "predict_classes",
    "save_network",
    "to_input",
    "train",
]

#: Images that `predict` shows the network at once. A part of every stage that predicts: change it, change the results.
PREDICT_BATCH = 16


class UnusableCheckpoint(BenchkitError):
    """A checkpoint of another run, or a damaged one: without it the training starts afresh, to the same end."""


#: (iterations done, iterations in all, that iteration's losses)
Progress = Callable[[int, int, dict[str, float]], None]


def train(
    network: nn.Module,
    images: np.ndarray,
    masks: np.ndarray,
    config: TrainingConfig,
    seed: int,
    *,
    optimiser: torch.optim.Optimizer | None = None,
    num_classes: int = 2,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train `network` in place on its own device and return the losses of every iteration.

    images: (N, H, W, 3) uint8. masks: (N, H, W) bool, or uint8 class ids below num_classes and IGNORED (255) for pixels
    that add nothing to the loss. The network maps
    (B, 3, h, w) float32 in [0, 1] to logits (B, num_classes, h, w), or to a sequence of them whose first is the main
    head's. optimiser: AdamW with the config's values if None; its own lr is what the schedule scales. checkpoint: a
    file to resume from and to write; left behind after the last iteration, for the caller to delete.
    The same seed, starting weights and number of threads give the same bits on a CPU. Where torch's process group is
    initialised, every process calls this alike and trains on its share of each batch; the first one writes. Raises
    BenchkitError for unfit data, a loss that is not finite (naming the iteration) or memory that ran out (saying what
    would need less), UnusableCheckpoint for a checkpoint that is damaged or of another run; the network may then hold
    a part of it.
    """
    check_data(images, masks, config, num_classes)
    _require(seed >= 0, f"training: the seed must not be negative: {seed}")
    optimiser = optimiser or adamw(network, config)
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])  # which a schedule that begins later asks for
    identity = _identity(network, images, masks, config, seed) if checkpoint else ""
    history = _resume(checkpoint, identity, network, optimiser) if checkpoint and checkpoint.exists() else []
    device, team = device_of(network), Team.current()
    with _reproducible(device), explain_out_of_memory("while training", lambda: _smaller(images, config, team)):
        network.train()
        shown = torch.zeros((1, 3, *_shown_size(images, config)), device=device)
        model = at_multiple(team.joined(network), multiple_of(network, shown))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, config.lr_factor, last_epoch=len(history) - 1)
        for iteration in range(len(history), config.iterations):
            crops, labels = batch_at(images, masks, config, seed, iteration)
            torch.manual_seed(_torch_seed(seed, iteration, team.rank))
            output = model(to_input(crops[team.share(len(crops))], device))
            losses = shared_losses(output, labels, config, num_classes, team)
            history.append(_step(network, optimiser, losses, config, iteration, team))
            schedule.step()
            done = iteration + 1
            if not team.writes:
                continue
            if checkpoint and (done % config.checkpoint_every == 0 or done == config.iterations):
                _save_checkpoint(checkpoint, identity, network, optimiser, history)
            if progress:
                progress(done, config.iterations, history[-1])
    network.eval()
    return history


def _shown_size(images: np.ndarray, config: TrainingConfig) -> tuple[int, int]:
    """Height and width of what the network sees of one image."""
    return (images.shape[1], images.shape[2]) if config.crop is None else (config.crop, config.crop)


def _smaller(images: np.ndarray, config: TrainingConfig, team: Team) -> str:
    """What would need less memory than the training did; only the first leaves the protocol as it is."""
    height, width = _shown_size(images, config)
    share = math.ceil(config.batch / team.size)
    if share == 1:
        one = f"one image of {width}x{height} is too much for this network here"
        return f"{one}: use smaller images (size= of the dataset) or crops (training.crop)"
    less = f"training.batch={max(2, config.batch // 2)} or smaller images (size= of the dataset)"
    seen = f"{share} images of {width}x{height} at once are too many for this network here"
    return f"{seen}: share each batch among more GPUs (`device` cuda:0,1), or change the protocol: {less}"


def adamw(network: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The suite's optimiser: AdamW over all the network's parameters (paper, Sec. 4.4)."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        trainable, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay, fused=bool(trainable)
    )


def batch_at(
    images: np.ndarray, masks: np.ndarray, config: TrainingConfig, seed: int, iteration: int
) -> tuple[np.ndarray, np.ndarray]:
    """The batch of one iteration: crops (B, h, w, 3) uint8 and their labels (B, h, w) int64.

    Depends on (seed, iteration) alone. Each image comes up once an epoch, in a new order every epoch.
    """
    rng = np.random.default_rng([seed, 1, iteration])
    crops, labels = [], []
    for position in range(iteration * config.batch, (iteration + 1) * config.batch):
        epoch, place = divmod(position, len(images))
        index = int(_order(len(images), seed, epoch)[place])
        crop, label = _augmented(images[index], masks[index], config, rng)
        crops.append(crop)
        labels.append(label)
    return np.stack(crops), np.stack(labels).astype(np.int64)


def _augmented(
    image: np.ndarray, mask: np.ndarray, config: TrainingConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One pair, resized, cropped, mirrored and distorted as the config says; as large as the crop or the image."""
    height, width = mask.shape
    size = (height, width) if config.crop is None else (config.crop, config.crop)
    if config.resize is not None:
        image, mask = augmentation.resized(image, mask.astype(np.uint8), rng.uniform(*config.resize))
    if config.crop is not None or config.resize is not None:
        window = crop_window(mask, size, config.positive_crop, rng)
        image, mask = augmentation.padded(image[window], mask[window], size)
    mirror = slice(None, None, -1 if config.flip and rng.random() < 0.5 else 1)
    image, mask = image[:, mirror], mask[:, mirror]
    return (augmentation.photometric(image, rng) if config.photometric else image), mask


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


def crop_window(
    mask: np.ndarray, size: tuple[int, int], positive: float, rng: np.random.Generator
) -> tuple[slice, slice]:
    """Rows and columns of a random crop of `size` (height, width), or less where the mask (H, W) is smaller.

    positive: the fraction of crops that are centred on a pixel of a class other than 0, never on an IGNORED one.
    """
    (height, width), (tall, wide) = mask.shape, size
    rows, columns = max(0, height - tall), max(0, width - wide)
    top, left = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
    if positive and rng.random() < positive:
        found = np.flatnonzero(mask if mask.dtype == np.bool_ else (mask != 0) & (mask != IGNORED))
        if found.size:
            y, x = divmod(int(found[rng.integers(found.size)]), width)
            top = min(max(y - tall // 2, 0), rows)
            left = min(max(x - wide // 2, 0), columns)
    return slice(top, top + tall), slice(left, left + wide)


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    losses: list[Tensor],
    config: TrainingConfig,
    iteration: int,
    team: Team,
) -> dict[str, float]:
    loss = losses[0] + config.auxiliary_weight * sum(losses[1:], start=losses[0].new_zeros(()))
    record = dict(zip(("loss", "main"), team.mean(torch.stack([loss, losses[0]]).detach()).tolist(), strict=True))
    if not math.isfinite(record["loss"]):
        raise BenchkitError(f"training diverged: the loss is {record['loss']} at iteration {iteration}; lower the lr")
    optimiser.zero_grad()
    loss.backward()
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
    optimiser.step()
    return record


def predict(network: nn.Module, images: np.ndarray, batch: int = PREDICT_BATCH) -> np.ndarray:
    """Artifact probability of every pixel: images (N, H, W, 3) uint8 -> (N, H, W) float32 in [0, 1], in eval mode.

    Chunks start at multiples of `batch`, so that the same array gives the same bits whoever asks.
    """
    out = np.empty(images.shape[:3], np.float32)
    for start, logits in _chunks(network, images, batch):
        out[start : start + len(logits)] = logits.softmax(1)[:, 1].cpu().numpy()
    return out


def predict_classes(network: nn.Module, images: np.ndarray, batch: int = PREDICT_BATCH) -> np.ndarray:
    """The likeliest class of every pixel: images (N, H, W, 3) uint8 -> (N, H, W) uint8, in eval mode."""
    out = np.empty(images.shape[:3], np.uint8)
    for start, logits in _chunks(network, images, batch):
        out[start : start + len(logits)] = logits.argmax(1).cpu().numpy()
    return out


def _chunks(network: nn.Module, images: np.ndarray, batch: int) -> Iterator[tuple[int, Tensor]]:
    _check_images(images)
    device, was_training = device_of(network), network.training
    network.eval()
    try:
        for start in range(0, len(images), batch):
            chunk = images[start : start + batch]
            with explain_out_of_memory("while predicting", partial(_fewer, chunk)), torch.inference_mode():
                logits = heads(network, to_input(chunk, device))[0]
            yield start, logits
    finally:
        network.train(was_training)


def _fewer(images: np.ndarray) -> str:
    count, height, width = images.shape[:3]
    return (
        f"{count} images of {width}x{height} at once are too many for this network here: use smaller ones (size= of "
        "the dataset, the tiles of `benchkit detect`) or a larger device"
    )


def to_input(images: np.ndarray, device: torch.device) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1] on `device`."""
    return torch.tensor(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float().div(255).contiguous()


def device_of(network: nn.Module) -> torch.device:
    """Where the network's first parameter lives; the CPU for one that has none."""
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def check_data(images: np.ndarray, masks: np.ndarray, config: TrainingConfig, num_classes: int) -> None:
    """Raise BenchkitError unless images (N, H, W, 3) and masks (N, H, W) can train a network of num_classes."""
    _check_images(images)
    _require(len(images) > 0, "training: there are no images")
    same = masks.shape == images.shape[:3] and masks.dtype in (np.bool_, np.uint8)
    _require(same, f"training: masks must be {images.shape[:3]} bool or uint8, not {masks.shape} {masks.dtype}")
    counted = masks if masks.dtype == np.bool_ else masks[masks != IGNORED]
    _require(counted.size > 0, "training: every pixel is ignored: no label is left to learn from")
    largest = int(counted.max())
    _require(largest < num_classes, f"training: masks hold class {largest}, but there are {num_classes} classes")
    side = min(images.shape[1:3])
    _require(config.crop is None or config.crop <= side, f"training: crop {config.crop} exceeds the images' {side}")
    weights = config.class_weights
    _require(weights is None or len(weights) == num_classes, f"training: class_weights must be {num_classes} numbers")


def _check_images(images: np.ndarray) -> None:
    fit = images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8
    _require(fit, f"images must be (N, H, W, 3) uint8, not {images.shape} {images.dtype}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BenchkitError(message)


def _torch_seed(seed: int, iteration: int, rank: int) -> int:
    # The first process of a team draws as one alone does; the others draw their own.
    entropy = [seed, 2, iteration, rank] if rank else [seed, 2, iteration]
    return int(np.random.default_rng(entropy).integers(2**63))


@contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Torch's generators left as they were found, and kernels whose sums do not depend on thread timing."""
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # Warn only: some CUDA kernels have no deterministic twin, and a run there is better than none.
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn)
            memory.fill_uninitialized_memory = fill


def _identity(network: nn.Module, images: np.ndarray, masks: np.ndarray, config: TrainingConfig, seed: int) -> str:
    """A digest of what decides the final weights, so that a checkpoint resumes its own run only."""
    settings = {f.name: getattr(config, f.name) for f in keyed_fields(config) if f.name != "checkpoint_every"}
    digest = hashlib.sha256(json.dumps([settings, seed, images.shape, str(masks.dtype)]).encode())
    for array in (images, masks):
        for row in array:
            digest.update(np.ascontiguousarray(row).tobytes())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _save_checkpoint(
    path: Path,
    identity: str,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: Sequence[dict[str, float]],
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    state = pack(optimiser.state_dict(), "optimiser", tensors)
    facts = {"identity": identity, "optimiser": state, "history": list(history)}
    text = json.dumps(facts)
    write_tensors(path, tensors, {"training": text, "sha256": _digest(text, tensors)})


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Of all that a checkpoint holds: safetensors itself does not notice a flipped bit."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _resume(path: Path, identity: str, network: nn.Module, optimiser: torch.optim.Optimizer) -> list[dict[str, float]]:
    try:
        tensors, metadata = read_tensors(path)
    except BenchkitError as error:
        raise UnusableCheckpoint(str(error)) from error
    text = metadata.get("training", "{}")
    if metadata.get("sha256") != _digest(text, tensors):
        raise UnusableCheckpoint(f"{path}: damaged, its checksum differs; delete it")
    facts = json.loads(text)
    if facts.get("identity") != identity:
        raise UnusableCheckpoint(
            f"{path}: not a checkpoint of this run (other data, settings, seed or start); delete it"
        )
    prefix = "network."
    load_state(network, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, path)
    optimiser.load_state_dict(unpack(facts["optimiser"], tensors))
    history: list[dict[str, float]] = facts["history"]
    return history
