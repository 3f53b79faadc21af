"""Configs and tokenizer of SD 1.x, 2.x and XL, for checkpoints in one file, which contain neither.

The vocabulary of CLIP's tokenizer is read from the installed mmsegmentation, on which benchkit depends anyway.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError
from benchkit.store.location import get_default_cache, get_local_folder
from benchkit.system.files import write_atomic

Config = Mapping[str, Any]

VOCABULARY = "utils/bpe_simple_vocab_16e6.txt.gz"
VOCABULARY_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
#: Tokens of CLIP's vocabulary, its merges among them, and how many tokens a caption may have.
TOKENS, MERGES, CAPTION = 49408, 48894, 77
START, END = "<|startoftext|>", "<|endoftext|>"
PREDICTIONS = ("epsilon", "v_prediction")

_CLIP = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "vocab_size": TOKENS,
    "max_position_embeddings": CAPTION,
    "layer_norm_eps": 1e-05,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}


def _text(hidden: int, layers: int, heads: int, activation: str, projection: int, **more: Any) -> Config:
    return {
        **_CLIP,
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_act": activation,
        "projection_dim": projection,
        **more,
    }


def _unet(text: int, side: int, crossed: str, heads: int | list[int], **more: Any) -> Config:
    """Return a denoiser's config; crossed: a letter per resolution, `x` with attention to the text, `-` without."""
    down = ["CrossAttnDownBlock2D" if letter == "x" else "DownBlock2D" for letter in crossed]
    up = ["CrossAttnUpBlock2D" if letter == "x" else "UpBlock2D" for letter in reversed(crossed)]
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": side,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 2,
        "block_out_channels": [320, 640, 1280, 1280][: len(crossed)],
        "down_block_types": down,
        "up_block_types": up,
        "cross_attention_dim": text,
        "attention_head_dim": heads,
        **more,
    }


def _vae(side: int, scale: float, **more: Any) -> Config:
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": side,
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "norm_num_groups": 32,
        "scaling_factor": scale,
        **more,
    }


_LARGE = _text(768, 12, 12, "quick_gelu", 768)
#: Family -> part -> config.
FAMILIES: Mapping[str, Mapping[str, Config]] = {
    "sd-1": {"unet": _unet(768, 64, "xxx-", 8), "vae": _vae(512, 0.18215), "text_encoder": _LARGE},
    "sd-2": {
        "unet": _unet(1024, 96, "xxx-", [5, 10, 20, 20], use_linear_projection=True, upcast_attention=True),
        "vae": _vae(768, 0.18215),
        "text_encoder": _text(1024, 23, 16, "gelu", 512),
    },
    "sdxl": {
        "unet": _unet(
            2048,
            128,
            "-xx",
            [5, 10, 20],
            use_linear_projection=True,
            transformer_layers_per_block=[1, 2, 10],
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        ),
        "vae": _vae(1024, 0.13025, force_upcast=True),
        "text_encoder": _LARGE,
        "text_encoder_2": _text(1280, 32, 20, "gelu", 1280, architectures=["CLIPTextModelWithProjection"]),
    },
}
#: Width of the text that the denoiser takes -> family.
BY_WIDTH = {parts["unet"]["cross_attention_dim"]: family for family, parts in FAMILIES.items()}
#: Tokenizers that pad captions with `!` (token 0) instead of the end token.
_PADDED_WITH_0 = (("sd-2", "tokenizer"), ("sdxl", "tokenizer_2"))
_CLASSES = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
}


def write_config_folder(family: str, prediction: str) -> Path:
    """Write a folder with a family's configs and tokenizers into the cache; prediction: one of PREDICTIONS.

    Raises BenchkitError if it cannot be written, and for an mmsegmentation without CLIP's vocabulary.
    """
    folder = get_local_folder(get_default_cache()) / "configs" / f"{family}-{prediction}"
    for name, data in _files(family, prediction).items():
        path = folder / name
        try:
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, data)
        except OSError as error:
            reason = error.strerror or error
            raise BenchkitError(
                f"{path} cannot be written ({reason}): choose another cache ($BENCHKIT_CACHE)"
            ) from None
    return folder


@lru_cache(maxsize=4)
def _files(family: str, prediction: str) -> Mapping[str, bytes]:
    """Return name -> content of all files of a config folder."""
    parts = FAMILIES[family]
    tokenizers = [part.replace("text_encoder", "tokenizer") for part in parts if "text_encoder" in part]
    index: dict[str, Any] = {
        "_class_name": f"StableDiffusion{'XL' if 'text_encoder_2' in parts else ''}Pipeline",
        **{part: _CLASSES[part] for part in parts},
        **{name: ["transformers", "CLIPTokenizer"] for name in tokenizers},
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    if "text_encoder_2" in parts:
        index["force_zeros_for_empty_prompt"] = True
    else:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
        index["requires_safety_checker"] = False
    found = {"model_index.json": _json(index), "scheduler/scheduler_config.json": _json(_scheduler(prediction))}
    found |= {f"{part}/config.json": _json(config) for part, config in parts.items()}
    vocabulary, merges = _vocabulary()
    for name in tokenizers:
        pad = "!" if (family, name) in _PADDED_WITH_0 else END
        found[f"{name}/vocab.json"], found[f"{name}/merges.txt"] = vocabulary, merges
        found[f"{name}/tokenizer_config.json"] = _json(_tokenizer(pad))
    return found


def _scheduler(prediction: str) -> Config:
    """Return the scheduler of all three families, with the spacing and offset of their published configs."""
    return {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "prediction_type": prediction,
    }


def _tokenizer(pad: str) -> Config:
    return {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": CAPTION,
        "do_lower_case": True,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad,
    }


def _json(content: Config) -> bytes:
    return f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode()


def _vocabulary() -> tuple[bytes, bytes]:
    """Return vocab.json and merges.txt of CLIP's tokenizer."""
    spec = find_spec("mmseg")
    places = [Path(place) / VOCABULARY for place in (spec.submodule_search_locations or ())] if spec else []
    packed = next((path.read_bytes() for path in places if path.is_file()), b"")
    if hashlib.sha256(packed).hexdigest() != VOCABULARY_SHA256:
        raise BenchkitError(
            "the installed mmsegmentation does not have CLIP's vocabulary, which a checkpoint in one file needs: write "
            "FILE.safetensors:config=FOLDER, with a checkpoint folder of the same family"
        )
    merges = gzip.decompress(packed).decode().split("\n")[1 : MERGES + 1]
    letters = _byte_letters()
    words = [*letters, *(f"{c}</w>" for c in letters), *(merge.replace(" ", "") for merge in merges), START, END]
    vocabulary = {word: number for number, word in enumerate(words)}
    return _json(vocabulary), "\n".join(["#version: 0.2", *merges, ""]).encode()


def _byte_letters() -> list[str]:
    """Return the letters of the 256 bytes in a byte-level vocabulary, in its order.

    Printable bytes of Latin-1 come first, as themselves; the others are numbered from 256.
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = len(set(range(256)) - set(printable))
    return [chr(code) for code in [*printable, *range(256, 256 + others)]]
