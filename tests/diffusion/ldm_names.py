"""Write a diffusers pipeline as one file with the names of the original Stable Diffusion code (LDM)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE = (
    (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"attn_1\.group_norm", "attn_1.norm"),
    (r"attn_1\.to_(q|k|v)", r"attn_1.\1"),
    (r"attn_1\.to_out\.0", "attn_1.proj_out"),
    (r"conv_shortcut", "nin_shortcut"),
    (r"conv_norm_out", "norm_out"),
)


def save_as_one_file(pipeline: Any, path: Path, **more: Tensor) -> Path:
    """Write all weights of a pipeline into one file; more: further tensors."""
    weights = {f"model.diffusion_model.{k}": v for k, v in _unet(pipeline.unet).items()}
    weights |= {f"first_stage_model.{k}": v for k, v in _vae(pipeline.vae).items()}
    second = getattr(pipeline, "text_encoder_2", None)
    if second is not None:
        weights |= _clip(pipeline.text_encoder, "conditioner.embedders.0.transformer.text_model.")
        weights |= _openclip(second, "conditioner.embedders.1.model.")
    elif pipeline.text_encoder.config.hidden_act == "gelu":
        weights |= _openclip(pipeline.text_encoder, "cond_stage_model.model.")
    else:
        weights |= _clip(pipeline.text_encoder, "cond_stage_model.transformer.text_model.")
    save_file({name: value.contiguous().clone() for name, value in (weights | more).items()}, path)
    return path


def _unet(unet: Any) -> dict[str, Tensor]:
    return {_unet_name(name, unet): value for name, value in unet.state_dict().items()}


def _unet_name(name: str, unet: Any) -> str:
    for theirs, ours in _OUTER.items():
        if name.startswith(f"{theirs}."):
            return name.replace(theirs, ours, 1)
    per_level = unet.config.layers_per_block + 1
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if match is None:
        found = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name)
        assert found is not None, name
        place = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{place}.{_inner(found[3])}"
    way, level, what, place = match[1], int(match[2]), match[3], int(match[4])
    if what == "downsamplers":
        return f"input_blocks.{(level + 1) * per_level}.0.op.{match[5].removeprefix('conv.')}"
    if what == "upsamplers":
        crossed = unet.config.up_block_types[level].startswith("Cross")
        return f"output_blocks.{level * per_level + per_level - 1}.{2 if crossed else 1}.{match[5]}"
    number = 1 + level * per_level + place if way == "down" else level * per_level + place
    return f"{'input' if way == 'down' else 'output'}_blocks.{number}.{int(what == 'attentions')}.{_inner(match[5])}"


def _inner(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{_RESNET[first]}.{rest}" if first in _RESNET else name


def _vae(vae: Any) -> dict[str, Tensor]:
    found, levels = {}, len(vae.config.block_out_channels)
    for name, value in vae.state_dict().items():
        ours = name
        up = re.match(r"decoder\.up_blocks\.(\d+)\.(resnets\.(\d+)|upsamplers\.0)", ours)
        if up:
            what = f"block.{up[3]}" if up[3] else "upsample"
            ours = f"decoder.up.{levels - 1 - int(up[1])}.{what}{ours[up.end() :]}"
        for pattern, replacement in _VAE:
            ours = re.sub(pattern, replacement, ours)
        attends = ".attn_1." in ours and ours.split(".")[-2] != "norm" and ours.endswith("weight")
        found[ours] = value[:, :, None, None] if attends else value
    return found


def _clip(encoder: Any, prefix: str) -> dict[str, Tensor]:
    return {prefix + name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}


def _openclip(encoder: Any, prefix: str) -> dict[str, Tensor]:
    plain = {name.removeprefix("text_model."): value for name, value in encoder.state_dict().items()}
    found = {
        "positional_embedding": plain["embeddings.position_embedding.weight"],
        "token_embedding.weight": plain["embeddings.token_embedding.weight"],
        "ln_final.weight": plain["final_layer_norm.weight"],
        "ln_final.bias": plain["final_layer_norm.bias"],
    }
    width = encoder.config.hidden_size
    projection = plain.get("text_projection.weight")
    found["text_projection"] = torch.eye(width) if projection is None else projection.T
    for layer in range(encoder.config.num_hidden_layers):
        theirs, ours = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [plain[f"{theirs}self_attn.{one}_proj.{kind}"] for one in "qkv"]
            found[f"{ours}attn.in_proj_{kind}"] = torch.cat(parts)
            found[f"{ours}attn.out_proj.{kind}"] = plain[f"{theirs}self_attn.out_proj.{kind}"]
            for name, other in (("fc1", "c_fc"), ("fc2", "c_proj")):
                found[f"{ours}mlp.{other}.{kind}"] = plain[f"{theirs}mlp.{name}.{kind}"]
            for number in (1, 2):
                found[f"{ours}ln_{number}.{kind}"] = plain[f"{theirs}layer_norm{number}.{kind}"]
    return {prefix + name: value for name, value in found.items()}
