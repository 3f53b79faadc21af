"""Tiny random checkpoints of the classes that SD 2 and SDXL are made of; `tiny.py` has that of SD 1.x."""

from __future__ import annotations

import string
from typing import Any

from tests.helpers.tiny_checkpoint import SD1, tiny_pipeline

TOKENS = 12


def _tokenizer(pad: str) -> Any:
    """CLIP's tokenizer over single letters; SD 2 and SDXL's second encoder pad with `!`, not with the end token."""
    from transformers import CLIPTokenizer

    letters = string.ascii_lowercase
    words = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    vocabulary = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS, pad_token=pad)


def _text_config(width: int, **more: Any) -> Any:
    """OpenCLIP's text tower in small: exact GELU and several layers."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=3 + 2 * 26,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **more,
    )


def _unet(**more: Any) -> Any:
    """SD 2's and SDXL's denoiser in small: linear projections, a number of heads for each level."""
    import diffusers

    return diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        norm_num_groups=8,
        **more,
    )


def tiny_sd2() -> Any:
    """A pipeline built as SD 2.1 is: OpenCLIP's text encoder, v-prediction."""
    import diffusers
    import torch
    from transformers import CLIPTextModel

    torch.manual_seed(1)
    return diffusers.StableDiffusionPipeline(
        vae=tiny_pipeline().vae,
        text_encoder=CLIPTextModel(_text_config(24, hidden_act="gelu")),
        tokenizer=_tokenizer("!"),
        unet=_unet(cross_attention_dim=24, upcast_attention=True),
        scheduler=diffusers.DDIMScheduler(**{**SD1, "prediction_type": "v_prediction"}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_xl() -> Any:
    """A pipeline built as SDXL is: two text encoders, pooled text, size ids, several transformer layers, Euler."""
    import diffusers
    import torch
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(2)
    vae = tiny_pipeline().vae
    # Not SDXL's 0.13025: random weights give small latents, and a denoiser is smooth only at a spread of about one.
    vae.register_to_config(scaling_factor=4.0, shift_factor=None, force_upcast=True)
    return diffusers.StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(_text_config(16, hidden_act="quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(24, hidden_act="gelu", projection_dim=10)),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_tokenizer("!"),
        unet=_unet(
            cross_attention_dim=16 + 24,
            transformer_layers_per_block=(1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=10 + 6 * 8,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=SD1["beta_start"],
            beta_end=SD1["beta_end"],
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
