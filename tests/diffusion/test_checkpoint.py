"""The embedded checkpoint: small, plain files, opened by diffusers and by benchkit alike, as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.checkpoint import EMBEDDED
from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.resample import resample
from benchkit.stages.images import to_tensor
from benchkit_plugins.datasets.portraits.caption import VOCABULARY, caption
from benchkit_plugins.datasets.portraits.draw import render
from benchkit_plugins.datasets.portraits.splits import scene_at
from benchkit_plugins.inverters.renoise import ReNoise

FOLDER = EMBEDDED / "portraits"
COUNT = 8
FLOOR = 24.0
"""PSNR in dB that the autoencoder must not fall below on eight scenes; the card has the gate's figure."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="this copy has no embedded checkpoint")


def files() -> list[Path]:
    return [path for path in FOLDER.rglob("*") if path.is_file()]


def psnr(images: Tensor, reference: Tensor) -> float:
    """Mean over images, peak 1."""
    return float((-10 * (images - reference).pow(2).flatten(1).mean(1).log10()).mean())


@pytest.fixture(scope="module")
def backend() -> DiffusionBackend:
    return DiffusionBackend.load("portraits")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return to_tensor(np.stack([render(scene_at("heldout", i)).image for i in range(COUNT)]))


@pytest.fixture(scope="module")
def captions() -> list[str]:
    return [caption(scene_at("heldout", i)) for i in range(COUNT)]


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "card.json").read_text())
    return content


def test_is_small_and_holds_no_pickle() -> None:
    assert sum(path.stat().st_size for path in files()) <= 40e6
    assert {path.suffix for path in files()} <= {".json", ".txt", ".md", ".safetensors"}


def test_configs_name_no_place_of_the_machine_that_wrote_them() -> None:
    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [s for item in value.values() for s in strings(item)]
        if isinstance(value, list):
            return [s for item in value for s in strings(item)]
        return [value] if isinstance(value, str) else []

    for path in files():
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            assert "_name_or_path" not in content
            assert not [s for s in strings(content) if s.startswith(("/", "~"))], path


def test_weights_are_float16() -> None:
    from safetensors import safe_open

    for path in files():
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            assert kinds <= {"F16", "I64"}, path


def test_card_speaks_of_these_weights_and_names_its_figures(backend: DiffusionBackend, card: dict[str, Any]) -> None:
    page = (FOLDER / "README.md").read_text()
    assert card["identity"] == backend.identity
    assert backend.identity in page
    assert {"autoencoder", "noise_prediction", "round_trip", "samples"} <= card["figures"].keys()
    for gate in card["gates"]:
        assert f"| {gate['gate']} | {gate['wanted']} | {gate['measured']} |" in page
        assert gate["held"] is not None, "not measured"
        if not gate["held"]:
            assert f"{gate['gate']} ({gate['measured']}" in page.partition("**Missed:**")[2]


def test_every_word_of_the_captions_is_one_token(captions: list[str]) -> None:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(FOLDER / "tokenizer")
    assert all(len(tokenizer(word).input_ids) == 3 for word in VOCABULARY)
    for text in captions:
        rows = tokenizer(text).input_ids
        assert len(rows) == len(text.split()) + 2 <= tokenizer.model_max_length
        assert tokenizer.decode(rows, skip_special_tokens=True).strip() == text


def test_opens_in_diffusers_without_arguments_and_predicts_what_benchkit_predicts(
    backend: DiffusionBackend, captions: list[str]
) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(FOLDER)
    pipeline.set_progress_bar_config(disable=True)
    z = torch.randn(2, backend.latent_channels, 16, 16, generator=torch.Generator().manual_seed(0))
    tokens = pipeline.tokenizer(captions[:2], padding="max_length", return_tensors="pt").input_ids
    with torch.inference_mode():
        theirs = pipeline.unet(z, 201, encoder_hidden_states=pipeline.text_encoder(tokens)[0]).sample
    assert torch.equal(backend.predict(z, 201, backend.embed(captions[:2])), theirs)
    image = pipeline(captions[0], num_inference_steps=2, guidance_scale=1.0).images[0]
    assert image.size == (128, 128)


def test_latents_have_about_unit_variance(backend: DiffusionBackend, images: Tensor) -> None:
    z_0 = backend.encode(images)
    assert z_0.shape == (COUNT, backend.latent_channels, 16, 16)
    assert 0.8 < float(z_0.std()) < 1.25


def test_autoencoder_is_as_good_as_its_card_says(
    backend: DiffusionBackend, images: Tensor, card: dict[str, Any]
) -> None:
    found = psnr(backend.autoencode(images), images)
    assert found >= FLOOR
    assert found == pytest.approx(card["figures"]["autoencoder"]["psnr_db"], abs=2.0)


def test_returns_from_ten_steps_of_renoise(backend: DiffusionBackend, images: Tensor, captions: list[str]) -> None:
    z_0 = backend.encode(images)
    plain = backend.decode(z_0)
    condition = backend.embed(captions)

    def predict(z: Tensor, t: int) -> Tensor:
        return backend.predict(z, t, condition)

    rng = ImageNoise(0, [str(i) for i in range(COUNT)])
    path = compute_trajectory(ReNoise(), predict, backend.schedule, z_0, rng, None, 10)
    returned = backend.decode(resample(predict, backend.schedule, path[-1], 10))
    assert psnr(returned, plain) >= 35
    assert psnr(plain, images) - psnr(returned, images) <= 0.5


def test_denoiser_knows_noise_from_picture(backend: DiffusionBackend, images: Tensor, captions: list[str]) -> None:
    """Halfway up the schedule most of the noise must be recognised: predicting nothing has an error of one."""
    level = 25
    alpha_bar, t = backend.schedule.alpha_bar[level], backend.schedule.t(level)
    z_0 = backend.encode(images)
    noise = ImageNoise(0, [str(i) for i in range(COUNT)]).normal(tuple(z_0.shape[1:]))
    z = alpha_bar**0.5 * z_0 + (1 - alpha_bar) ** 0.5 * noise
    assert float((backend.predict(z, t, backend.embed(captions)) - noise).pow(2).mean()) < 0.3
