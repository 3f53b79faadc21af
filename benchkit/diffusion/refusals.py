"""Refuse unusable checkpoints by their configs, before any weight is loaded or downloaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError

Config = Mapping[str, Any]

USABLE = "use a text-to-image checkpoint of Stable Diffusion 1.x, 2.x or XL"
#: Word in a pipeline's name -> why its denoiser cannot be inverted here.
_OTHER_JOBS = {
    "ControlNet": "its denoiser needs a control image at every step",
    "Adapter": "its denoiser needs a control image at every step",
    "Inpaint": "its denoiser is one for inpainting, which also takes a mask and an image",
    "InstructPix2Pix": "its denoiser also takes the image that is edited",
    "Upscale": "its denoiser also takes a small image",
    "Depth2Img": "its denoiser also takes a depth map",
    "Img2Img": "a refiner or image-to-image model, which may not be trained for all timesteps",
    "LatentConsistency": "its denoiser also takes a guidance scale",
}
#: Supported classes of a pipeline's parts.
_CLASSES = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel"},
    "text_encoder_2": {"CLIPTextModelWithProjection"},
    "tokenizer": {"CLIPTokenizer", "CLIPTokenizerFast"},
    "tokenizer_2": {"CLIPTokenizer", "CLIPTokenizerFast"},
}
#: Number of size conditions: height and width before cropping, the crop's corner, height and width.
SIZE_IDS = 6
#: Largest number of timesteps of a noise schedule.
MOST_STEPS = 100_000
#: Keys of widths in a config: positive whole numbers, or lists of them.
WIDTHS = ("hidden_size", "projection_dim", "cross_attention_dim", "block_out_channels", "addition_time_embed_dim")


def check_pipeline(index: Config, folder: Path) -> str:
    """Return the pipeline that a model_index.json names; raise BenchkitError with the reason if it is not usable."""
    pipeline, scheduler = str(index.get("_class_name")), _class(index, "scheduler")
    if "FlowMatch" in scheduler or "FlowMatch" in pipeline:
        raise explain_flow_matching(folder, f"{pipeline} with {scheduler}")
    if pipeline not in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        why = next((text for word, text in _OTHER_JOBS.items() if word in pipeline), "it is of another architecture")
        raise BenchkitError(f"{folder} holds a {pipeline} ({why}): {USABLE}")
    if index.get("requires_aesthetics_score"):
        raise BenchkitError(f"{folder} is SDXL's refiner, trained for the last timesteps only: use the base model")
    for part, classes in _CLASSES.items():
        if part.endswith("_2") and "XL" not in pipeline:
            continue
        if _class(index, part) in ("None", ""):
            raise BenchkitError(f"{folder} has no {part} in model_index.json: {USABLE} with all its parts")
        if _class(index, part) not in classes:
            raise BenchkitError(f"{folder} has a {_class(index, part)} as its {part}: only {min(classes)} is supported")
    return pipeline


def check_scheduler(config: Config, folder: Path) -> None:
    """Raise BenchkitError for the scheduler config of a flow-matching model, or with impossible values."""
    name = str(config.get("_class_name"))
    if "FlowMatch" in name or config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction":
        raise explain_flow_matching(folder, name)
    where = f"{folder}/scheduler/scheduler_config.json"
    steps = config.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MOST_STEPS:
        raise BenchkitError(
            f"{where}: num_train_timesteps {steps!r} is not a number from 1 to {MOST_STEPS}: download it again"
        )
    for key in ("beta_start", "beta_end"):
        value = config.get(key, 0.5)
        if not isinstance(value, int | float) or not 0 < value < 1:
            raise BenchkitError(f"{where}: {key} {value!r} is not a number between 0 and 1: download it again")


def explain_flow_matching(folder: Path, what: str) -> BenchkitError:
    """Return the error for a flow-matching model."""
    return BenchkitError(
        f"{folder} is a flow-matching model ({what}): it predicts a velocity along straight lines from noise to image, "
        f"not the noise of a DDIM step, and no inverter supports that; {USABLE}"
    )


def explain_no_pipeline(folder: Path) -> BenchkitError:
    """Return the error for a folder without model_index.json, with what it seems to be."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        part = str(content["_class_name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        part = ""
    if part:
        return BenchkitError(
            f"{folder} holds one network ({part}), not a whole checkpoint with model_index.json: {USABLE}"
        )
    if any(folder.glob("*lora*.safetensors")):
        return BenchkitError(f"{folder} holds a LoRA, not a checkpoint: fuse it into one (fuse_lora, save_pretrained)")
    if files := sorted(folder.glob("*.safetensors")):
        return BenchkitError(
            f"{folder} has no model_index.json; if {files[0].name} is a whole checkpoint, name the file: {files[0]}"
        )
    return BenchkitError(f"{folder} is not a diffusers checkpoint: it has no model_index.json (save_pretrained)")


def check_networks(configs: Mapping[str, Config], folder: Path) -> None:
    """Raise BenchkitError if the parts' configs do not fit together, or need unsupported inputs.

    configs: of every part that has weights. Missing keys have transformers' defaults.
    """
    unet, vae = configs["unet"], configs["vae"]
    latent, taken = vae.get("latent_channels", 4), unet.get("in_channels", 4)
    if taken != latent:
        raise BenchkitError(
            f"{folder}: its denoiser takes {taken} channels where its latents have {latent} (an inpainting or editing "
            f"model?); {USABLE}"
        )
    if unet.get("out_channels", 4) != latent:
        raise BenchkitError(
            f"{folder}: its denoiser returns {unet['out_channels']} channels, its latents have {latent}"
        )
    for key in ("class_embed_type", "num_class_embeds", "time_cond_proj_dim", "encoder_hid_dim_type"):
        if unet.get(key) is not None:
            raise BenchkitError(f"{folder}: its denoiser needs more than captions (unet/config.json: {key}); {USABLE}")
    encoders = [config for part, config in configs.items() if part.startswith("text_encoder")]
    _check_added(unet, encoders, folder)
    for part, config in configs.items():
        for key in WIDTHS:
            values = config[key] if isinstance(config.get(key), list) else [config.get(key, 1)]
            if not all(value is None or (isinstance(value, int) and value > 0) for value in values):
                raise BenchkitError(f"{folder}/{part}/config.json: {key} {values!r} is not a width: download it again")
    widths = unet.get("cross_attention_dim", 1280)
    text = sum(int(config.get("hidden_size", 512)) for config in encoders)
    if set(widths if isinstance(widths, list) else [widths]) != {text}:
        raise BenchkitError(
            f"{folder}: its denoiser takes text embeddings of width {widths}, its text encoders give {text}: "
            "parts of different checkpoints; copy or download it again"
        )


def _check_added(unet: Config, encoders: list[Config], folder: Path) -> None:
    """Raise BenchkitError unless pooled text and sizes are inputs if and only if there are two text encoders."""
    kind, wanted = unet.get("addition_embed_type"), "text_time" if len(encoders) == 2 else None
    if kind != wanted:
        raise BenchkitError(
            f"{folder}: its denoiser has addition_embed_type {kind} where {wanted} belongs to {len(encoders)} text "
            "encoder(s): its architecture is not the one in model_index.json"
        )
    if wanted is None:
        return
    expected = encoders[1].get("projection_dim", 512) + SIZE_IDS * (unet.get("addition_time_embed_dim") or 0)
    width = unet.get("projection_class_embeddings_input_dim")
    if width != expected:
        raise BenchkitError(
            f"{folder}: its denoiser takes text and sizes of width {width}, not {expected} (a refiner?); {USABLE}"
        )


def _class(index: Config, part: str) -> str:
    entry = index.get(part)
    return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 else str(entry or "")
