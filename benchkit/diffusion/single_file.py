"""Detect the family of a checkpoint in one safetensors file by its header; no tensor is read here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchkit.diffusion.families import BY_WIDTH, PREDICTIONS
from benchkit.diffusion.refusals import USABLE
from benchkit.errors import BenchkitError

Config = Mapping[str, Any]
#: Name of a tensor -> its shape.
Shapes = Mapping[str, tuple[int, ...]]

SUFFIX = ".safetensors"
#: Files that are pickles whatever they hold.
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
UNET, VAE = "model.diffusion_model.", "first_stage_model."
_CONV_IN, _VAE_IN = f"{UNET}input_blocks.0.0.weight", f"{VAE}encoder.conv_in.weight"
#: The first tensor of the text encoders of SD 1.x, 2.x, XL (two).
_TEXTS = (
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    "cond_stage_model.model.positional_embedding",
    "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight",
    "conditioner.embedders.1.model.positional_embedding",
)
_REFINER = "conditioner.embedders.0.model.positional_embedding"
#: Word in the names of tensors -> kind of a file that is not a whole Stable Diffusion checkpoint.
_OTHERS = {
    "lora_": "a LoRA: fuse it into a checkpoint (fuse_lora, save_pretrained)",
    ".lora.": "a LoRA: fuse it into a checkpoint (fuse_lora, save_pretrained)",
    ".lora_A.": "a LoRA: fuse it into a checkpoint (fuse_lora, save_pretrained)",
    "control_model.": "a ControlNet, whose denoiser needs a control image at every step",
    "double_blocks.": "a flow-matching model (Flux), which no inverter supports",
    "joint_blocks.": "a flow-matching model (SD 3), which no inverter supports",
    "edm_mean": "an EDM model, which has no DDIM steps to invert",
}
#: Values in a file's header for what its denoiser predicts.
_STATED = {"epsilon": "epsilon", "eps": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}
#: Tensors in XL files with v-prediction, and with zero signal at the last timestep.
_V_MARK, _ZERO_MARK = "v_pred", "ztsnr"


def read_header(path: Path, where: str, remedy: str) -> tuple[Shapes, Mapping[str, str]]:
    """Return the shapes of a safetensors file's tensors, and the metadata in its header.

    The file has 8 bytes with the length of a JSON header, the header, then the tensors. Raises BenchkitError that
    begins with `where` for a truncated or damaged file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or 8 + length > size:
            raise BenchkitError(f"{where} is not a complete safetensors file ({size} bytes); {remedy}")
        try:
            header = json.loads(file.read(length))
            remarks = header.pop("__metadata__", None) or {}
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
            end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
            remarks = {str(key): str(value) for key, value in remarks.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise BenchkitError(f"{where} has a damaged header; {remedy}") from error
    if size != 8 + length + end:
        raise BenchkitError(f"{where} has {size} of {8 + length + end} bytes; {remedy}")
    return shapes, remarks


def check_suffix(path: Path) -> None:
    """Raise BenchkitError unless this is a safetensors file; for a pickle with the lines that convert it."""
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise BenchkitError(
            f"{path} is a pickle, which can run any code while it is read, so benchkit does not read it; "
            f"if you trust it, {format_conversion(path)}"
        )
    if suffix != SUFFIX:
        raise BenchkitError(
            f"{path} is no {SUFFIX} file: name a folder in diffusers' layout, or a checkpoint's {SUFFIX} file"
        )


def format_conversion(path: Path, config: str = "") -> str:
    """Return the two lines of Python that convert a file to a folder."""
    more = f", config={config!r}" if config else ""
    made = repr(str(path.with_suffix("")))
    return (
        "convert it with two lines of Python, `from diffusers import StableDiffusionPipeline as P` and "
        f"`P.from_single_file({str(path)!r}{more}).save_pretrained({made})` (SDXL: "
        f"StableDiffusionXLPipeline), and name the folder {made}"
    )


def detect_family(path: Path, shapes: Shapes, remarks: Mapping[str, str], prediction: str) -> tuple[str, str]:
    """Return the family of a file, and what its denoiser predicts; prediction: the user's option, or "".

    Raises BenchkitError for a file that is not a whole text-to-image checkpoint of SD 1.x, 2.x or XL, and for a file
    that does not state what its denoiser predicts if its family has both types.
    """
    _check_whole(path, shapes)
    family = BY_WIDTH.get(_text_width(shapes))
    if family is None or shapes[_CONV_IN][0] != 320:
        raise BenchkitError(
            f"{path} does not have the sizes of SD 1.x, 2.x or XL (its denoiser begins with {shapes[_CONV_IN][0]} "
            f"channels and takes text of width {_text_width(shapes)}), and a single file does not contain its configs: "
            f"write {path}:config=FOLDER, a checkpoint folder of the same sizes, or {format_conversion(path, 'FOLDER')}"
        )
    if _ZERO_MARK in shapes and not prediction:
        raise BenchkitError(
            f"{path} was trained with a schedule of its own ({_ZERO_MARK}): write {path}:config=FOLDER, a checkpoint "
            "folder with its scheduler_config.json"
        )
    stated = _STATED.get(remarks.get("modelspec.prediction_type", "").lower(), "")
    stated = "v_prediction" if _V_MARK in shapes else stated
    if family == "sd-2" and not (prediction or stated):
        raise BenchkitError(
            f"{path} is of SD 2.x and does not say what its denoiser predicts: write {path}:prediction=epsilon (as the "
            f"512-pixel models do) or {path}:prediction=v_prediction (as the 768-pixel models do)"
        )
    return family, prediction or stated or PREDICTIONS[0]


def _check_whole(path: Path, shapes: Shapes) -> None:
    for mark, what in _OTHERS.items():
        if any(mark in name for name in shapes):
            raise BenchkitError(f"{path} is {what}; {USABLE}")
    if _CONV_IN not in shapes or not _text_width(shapes):
        parts = ("down_blocks.", "encoder.conv_in.", "text_model.")
        one = any(name.startswith(parts) for name in shapes)
        what = "one network of a checkpoint: name the checkpoint's folder" if one else f"no checkpoint; {USABLE}"
        raise BenchkitError(f"{path} is {what}")
    channels = shapes[_CONV_IN][1]
    if channels != 4:
        raise BenchkitError(
            f"{path}: its denoiser takes {channels} channels where its latents have 4 (an inpainting or editing "
            f"model?); {USABLE}"
        )
    if _REFINER in shapes:
        raise BenchkitError(f"{path} is SDXL's refiner, trained for the last timesteps only: use the base model")
    missing = [] if _VAE_IN in shapes else ["autoencoder"]
    missing += [] if any(name in shapes for name in _TEXTS) else ["text encoder"]
    if missing:
        raise BenchkitError(f"{path} has no {' and no '.join(missing)}: {USABLE} with all its parts")


def _text_width(shapes: Shapes) -> int:
    """Return the width of the denoiser's text input, 0 for a file without such a denoiser."""
    ending = "attn2.to_k.weight"
    widths = (shape[-1] for name, shape in shapes.items() if name.startswith(UNET) and name.endswith(ending) and shape)
    return next(widths, 0)


def check_sizes(path: Path, shapes: Shapes, configs: Mapping[str, Config], folder: Path) -> None:
    """Raise BenchkitError if a file's parts have other sizes than the configs in `folder`."""
    _check_whole(path, shapes)
    width = configs["unet"].get("cross_attention_dim")
    texts = [shapes[name][-1] for name in _TEXTS if name in shapes]
    encoders = [config.get("hidden_size") for part, config in configs.items() if part.startswith("text_encoder")]
    pairs = {
        "channels of the denoiser": (shapes[_CONV_IN][0], _first(configs["unet"], "block_out_channels")),
        "channels of the autoencoder": (shapes[_VAE_IN][0], _first(configs["vae"], "block_out_channels")),
        "width of the denoiser's text": (_text_width(shapes), width[0] if isinstance(width, list) else width),
        "width of its text encoders": (texts, encoders),
    }
    wrong = [f"{what} {stored}, not {stated}" for what, (stored, stated) in pairs.items() if stored != stated]
    if wrong:
        raise BenchkitError(f"{path} does not fit the configs in {folder}: {'; '.join(wrong)}")


def _first(config: Config, key: str) -> Any:
    values = config.get(key)
    return values[0] if isinstance(values, list) and values else values
