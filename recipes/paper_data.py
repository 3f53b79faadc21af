"""The paper's data and checkpoint in small: RichHF-18k's records, the DALL-E 3 set's shards, SD 1.5's classes.

Formats are the published ones byte by byte; the content is made up, and the weights are random.
"""

from __future__ import annotations

import io
import json
import string
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchkit.testing.worlds import SCHEDULE
from recipes.tfrecord_writer import example, write

#: What RichHF-18k's maps measure.
MAP = 512
SPLITS = {"train": 24, "dev": 4, "test": 6}
#: Scores that three annotators can give: means of answers from 1 to 5, brought to 0 ... 1.
TWELFTHS = np.arange(13) / 12


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A picture file's bytes."""
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, format=kind, **options)
    return sink.getvalue()


def _scene(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Coarse noise, smoothly enlarged: something a detector can tell apart from what is pasted in."""
    coarse = Image.fromarray(rng.integers(40, 200, (8, 8, 3), np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def write_richhf(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """RichHF-18k's three record files and the folder of Pick-a-Pic's images, with captions, that they speak of.

    Two squares an image: one that three annotators marked, striped in the image, and one that a single one marked.
    """
    records, images = folder / "richhf-18k", folder / "pickapic"
    records.mkdir(parents=True)
    images.mkdir()
    rng = np.random.default_rng(seed)
    for split, count in SPLITS.items():
        payloads = []
        for i in range(count):
            name = f"{seed:08d}-{list(SPLITS).index(split):04d}-4000-8000-{i:012d}"
            payloads.append(_annotated(rng, name, split, images))
        write(records / f"{split}.tfrecord", payloads)
    return records, images


def _annotated(rng: np.random.Generator, name: str, split: str, images: Path) -> bytes:
    """One record as published; its image and caption are written beside."""
    picture, votes = _scene(rng, MAP, MAP), np.zeros((MAP, MAP), np.uint8)
    for level, left in ((255, 0), (85, MAP // 2)):
        row, column = int(rng.integers(0, MAP - 160)), left + int(rng.integers(0, MAP // 2 - 160))
        votes[row : row + 160, column : column + 160] = level
        if level == 255:
            picture[row : row + 160 : 8, column : column + 160] = 255
    (images / f"{name}.png").write_bytes(encoded(picture))
    (images / f"{name}.txt").write_text("a hand with too many fingers")
    scores = {key: [float(rng.choice(TWELFTHS))] for key in ("aesthetics", "artifact", "misalignment", "overall")}
    return example(
        {
            "filename": [f"{split}/{name}.png".encode()],
            **{f"{key}_score": value for key, value in scores.items()},
            "artifact_map": [encoded(votes, "JPEG", quality=95)],
            "misalignment_map": [encoded(np.zeros((MAP, MAP), np.uint8), "JPEG", quality=95)],
            "prompt_misalignment_label": [b"1 1 0 1 1 1"],
        }
    )


def write_dalle3(folder: Path, count: int = 24, shards: int = 2, seed: int = 1) -> Path:
    """Tar shards of images, square and wide, each with its JSON."""
    made = folder / "dalle3"
    made.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for shard in range(shards):
        with tarfile.open(made / f"data-{shard:06d}.tar", "w") as archive:
            for i in range(shard, count, shards):
                height, width = (512, 512) if i % 3 else (512, 896)
                name = f"dalle3-{i:06d}"
                facts = {
                    "image_name": f"{name}.jpg",
                    **({"width": width, "height": height} if i % 5 else {}),
                    "short_caption": f"a scene with a hand, number {i}",
                    "long_caption": "a scene with a hand, described at length",
                    "original_prompt": "hand",
                }
                _put(archive, f"{name}.jpg", encoded(_scene(rng, height, width), "JPEG", quality=92))
                _put(archive, f"{name}.json", json.dumps(facts).encode())
    return made


def _put(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def full_sd15() -> Any:
    """A random pipeline of SD 1.5's classes at SD 1.5's size: 860 M, 84 M and 123 M parameters; letters for tokens."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(15)
    schedule = {k: v for k, v in SCHEDULE.items() if k != "clip_sample"}
    letters = string.ascii_lowercase
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    tokenizer = CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[], model_max_length=77)
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        scheduler=diffusers.PNDMScheduler(**schedule, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
