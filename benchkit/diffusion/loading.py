"""Load the networks and the scheduler of a checkpoint by diffusers. Only this file imports diffusers."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchkit.diffusion import checkpoint
from benchkit.diffusion.single_file import UNET
from benchkit.errors import BenchkitError


def load_pipeline(source: checkpoint.Checkpoint, dtype: torch.dtype) -> Any:
    """Return a pipeline with a checkpoint's networks and tokenizers; errors of diffusers and torch pass through."""
    import diffusers

    given = _networks_of_file(source, dtype) if source.file else _networks(source, dtype)
    # Safety checkers, image encoders and watermarks are never loaded.
    given |= {"feature_extractor": None, "image_encoder": None}
    given |= {"add_watermarker": False} if source.is_xl else {"safety_checker": None, "requires_safety_checker": False}
    return getattr(diffusers, source.pipeline).from_pretrained(source.folder, local_files_only=True, **given)


def _networks(source: checkpoint.Checkpoint, dtype: torch.dtype) -> dict[str, Any]:
    """Return all networks of a folder, each from the existing variant of its weights."""
    import diffusers

    found = {part: _text_encoder(source, part, dtype) for part in source.parts if part in _encoders()}
    for part, network in (("unet", diffusers.UNet2DConditionModel), ("vae", diffusers.AutoencoderKL)):
        found[part] = network.from_pretrained(
            source.folder / part,
            variant=source.variants[part],
            torch_dtype=_precision(source, part, dtype),
            use_safetensors=True,
            local_files_only=True,
        )
    return found


def _networks_of_file(source: checkpoint.Checkpoint, dtype: torch.dtype) -> dict[str, Any]:
    """Return all networks of a checkpoint in one file, converted by diffusers."""
    import diffusers
    from diffusers.loaders import single_file_utils
    from safetensors.torch import load_file

    assert source.file is not None
    weights, configs = load_file(source.file), str(source.folder)
    networks = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL}
    try:
        found = {
            part: network.from_single_file(
                weights,
                config=configs,
                subfolder=part,
                torch_dtype=_precision(source, part, dtype),
                local_files_only=True,
            )
            for part, network in networks.items()
        }
    except single_file_utils.SingleFileComponentError as error:
        raise ValueError(str(error)) from error
    _check_all_used(weights, found["unet"])
    for part, encoder in _encoders().items():
        if part in source.parts:
            found[part] = single_file_utils.create_diffusers_clip_model_from_ldm(
                encoder, weights, subfolder=part, config=configs, torch_dtype=dtype, local_files_only=True
            )
    return found


def _check_all_used(weights: dict[str, Tensor], unet: Any) -> None:
    """Raise ValueError if the network has not all weights of the file; diffusers drops others silently."""
    stored = sum(weights[name].numel() for name in weights if name.startswith(UNET))
    used = sum(parameter.numel() for parameter in unet.parameters())
    if stored != used:
        raise ValueError(f"its denoiser has {stored} weights, that of its configs {used}")


def _encoders() -> dict[str, Any]:
    import transformers

    return {"text_encoder": transformers.CLIPTextModel, "text_encoder_2": transformers.CLIPTextModelWithProjection}


def _precision(source: checkpoint.Checkpoint, part: str, dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if part == "vae" and wants_float32(source) else dtype


def _text_encoder(source: checkpoint.Checkpoint, part: str, dtype: torch.dtype) -> Any:
    # Loaded separately, because a pipeline draws missing weights at random instead of reporting them.
    network, report = _encoders()[part].from_pretrained(
        source.folder / part,
        variant=source.variants[part],
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise ValueError(f"{part}/ lacks weights, such as {min(report['missing_keys'])}")
    return network.to(dtype)


def wants_float32(source: checkpoint.Checkpoint) -> bool:
    """Return whether the autoencoder stays in float32.

    SDXL's overflows in half precision, unless its config says otherwise. Those of SD 1.x and 2.x do not overflow.
    """
    config = checkpoint.read_json(source.folder / "vae" / "config.json", source.folder)
    return source.is_xl and bool(config.get("force_upcast", True))


def make_empty_denoiser(config: Mapping[str, Any]) -> Any:
    """Return a denoiser of a config on the device "meta": its tensors have sizes and no content.

    Raises BenchkitError if diffusers can make no network of it.
    """
    import diffusers

    try:
        with torch.device("meta"), quiet():
            return diffusers.UNet2DConditionModel.from_config(dict(config))
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise BenchkitError(f"diffusers makes no denoiser of this config: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress progress bars and warnings about unused parts; errors are still raised."""
    from diffusers.utils import logging as diffusers_log
    from transformers.utils import logging as transformers_log

    logs = [(log, log.get_verbosity()) for log in (diffusers_log, transformers_log)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            for log, _ in logs:
                log.set_verbosity_error()
                log.disable_progress_bar()
            yield
        finally:
            for log, verbosity in logs:
                log.set_verbosity(verbosity)
                log.enable_progress_bar()


def read_ddim_config(source: checkpoint.Checkpoint) -> dict[str, Any]:
    """Return the checkpoint's scheduler as a complete DDIM config.

    It is read from the file, because a loaded pipeline silently changes steps_offset to 1 and clip_sample to false. For
    a scheduler class without clipping, the config has none, although DDIM's default is to clip.
    """
    import diffusers

    config = source.scheduler_config()
    name = str(config.get("_class_name"))
    scheduler = getattr(diffusers, name, None)
    if scheduler is None or not hasattr(scheduler, "from_config"):
        raise BenchkitError(f"{source.folder}: scheduler '{name}' is unknown to diffusers {diffusers.__version__}")
    # The class is inspected, because a config also keeps unknown keys.
    if "beta_schedule" not in inspect.signature(scheduler.__init__).parameters:
        raise BenchkitError(f"{source.folder}: scheduler '{name}' has no beta schedule, so no DDIM steps to invert")
    own = scheduler.from_config(config).config
    clipping = {key: bool(own.get(key, False)) for key in ("clip_sample", "thresholding")}
    return {**diffusers.DDIMScheduler.from_config(own).config, **clipping}
