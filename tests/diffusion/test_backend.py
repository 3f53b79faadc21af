"""A checkpoint through the backend: what it computes, and what it says of a folder it cannot use."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.errors import BenchkitError

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def backend(tiny_checkpoint: Path) -> DiffusionBackend:
    return DiffusionBackend.load(tiny_checkpoint)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def images(count: int = 2, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_facts_come_from_the_checkpoint(backend: DiffusionBackend) -> None:
    assert (backend.factor, backend.latent_channels) == (8, 4)
    assert backend.schedule.timesteps[:2] == (1, 21)
    assert backend.schedule.alpha_bar[0] == pytest.approx(0.99915)
    assert backend.device.type == "cpu"


def test_encoding_is_the_scaled_posterior_mean(backend: DiffusionBackend) -> None:
    x = images()
    with torch.no_grad():
        mean = backend._vae.encode(2 * x - 1).latent_dist.mean
    z_0 = backend.encode(x)
    assert torch.allclose(z_0, 0.7 * (mean - 0.1), atol=1e-6)
    with torch.no_grad():
        expected = (backend._vae.decode(mean).sample / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(backend.decode(z_0), expected, atol=1e-5)
    assert torch.equal(backend.autoencode(x), backend.decode(z_0))
    assert torch.equal(backend.encode(x), z_0)


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (72, 104), (8, 200)])
def test_any_size_the_factor_divides_works(backend: DiffusionBackend, size: tuple[int, int]) -> None:
    z = backend.encode(images(1, *size))
    assert z.shape == (1, 4, size[0] // 8, size[1] // 8)
    assert backend.predict(z, 21, backend.embed([None])).shape == z.shape
    decoded = backend.decode(z)
    assert decoded.shape == (1, 3, *size)
    assert decoded.dtype == torch.float32
    assert 0 <= decoded.min() <= decoded.max() <= 1


@pytest.mark.parametrize("shape", [(1, 3, 60, 64), (1, 3, 64, 60), (1, 1, 64, 64), (3, 64, 64)])
def test_other_images_are_refused(backend: DiffusionBackend, shape: tuple[int, ...]) -> None:
    with pytest.raises(BenchkitError, match="divisible by 8"):
        backend.encode(torch.rand(shape))


def test_captions_are_embedded_as_the_pipeline_does(backend: DiffusionBackend) -> None:
    captions = ["a hat", None, "word " * 40]
    ours = backend.embed(captions)
    assert ours.text.shape == (3, 12, 16)
    assert ours.pooled is None
    for row, caption in zip(ours.text, captions, strict=True):
        theirs, _ = backend._pipeline.encode_prompt(caption or "", torch.device("cpu"), 1, False)
        assert torch.allclose(row, theirs[0], atol=1e-5)
    assert torch.equal(backend.embed([None]).text, backend.embed([""]).text)
    assert not torch.allclose(ours.text[0], ours.text[1])


def test_forwards_count_images(tiny_checkpoint: Path) -> None:
    backend = DiffusionBackend.load(tiny_checkpoint)
    z = backend.encode(images(3))
    backend.predict(z, 1, backend.embed([None] * 3))
    backend.predict(z[:2], 21, backend.embed([None] * 2))
    assert backend.network_evaluations == 5
    with pytest.raises(BenchkitError, match="2 text conditions for 3 latents"):
        backend.predict(z, 1, backend.embed([None] * 2))
    assert backend.network_evaluations == 5


def test_whatever_is_predicted_is_handed_out_as_noise(backend: DiffusionBackend, copy: Path) -> None:
    z, condition = backend.encode(images()), backend.embed(["a", "b"])
    raw = backend.predict(z, 41, condition)
    a = backend.schedule.alpha_bar[3]
    for kind, expected in {
        "v_prediction": math.sqrt(a) * raw + math.sqrt(1 - a) * z,
        "sample": (z - math.sqrt(a) * raw) / math.sqrt(1 - a),
    }.items():
        edit(copy / "scheduler/scheduler_config.json", prediction_type=kind)
        other = DiffusionBackend.load(copy)
        assert other.schedule.prediction == kind
        assert torch.allclose(other.predict(z, 41, condition), expected, atol=1e-5)


def test_results_may_enter_a_training_step(backend: DiffusionBackend) -> None:
    z = backend.encode(images())
    weight = torch.ones(1, requires_grad=True)
    for result in (z, backend.decode(z), backend.embed([None, None]).text):
        assert not result.is_inference()
        (weight * result).sum().backward()


def test_identity_follows_content_and_not_place(tiny_checkpoint: Path, copy: Path) -> None:
    identity = checkpoint.find(tiny_checkpoint).identity
    assert checkpoint.find(copy).identity == identity
    edit(copy / "unet/config.json", _name_or_path="elsewhere")
    (copy / "README.md").write_text("notes")
    assert DiffusionBackend.load(copy).identity == identity
    edit(copy / "scheduler/scheduler_config.json", beta_end=0.02)
    other = checkpoint.find(copy).identity
    assert other != identity
    weights = load_file(copy / UNET)
    weights["conv_in.bias"] += 1e-3
    save_file(weights, copy / UNET)
    assert checkpoint.find(copy).identity not in (identity, other)


def test_half_precision_weights_are_computed_in_float32(tiny_checkpoint: Path, copy: Path) -> None:
    for part in checkpoint.find(copy).parts:
        stem = checkpoint.WEIGHTS[part]
        path = copy / part / f"{stem}.safetensors"
        save_file({k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}, path)
    full, half = DiffusionBackend.load(tiny_checkpoint), DiffusionBackend.load(copy)
    assert {p.dtype for p in (*half._unet.parameters(), *half._vae.parameters())} == {torch.float32}
    assert {p.dtype for p in half._pipeline.text_encoder.parameters()} == {torch.float32}
    z = full.encode(images())
    assert torch.allclose(half.encode(images()), z, atol=5e-3)
    assert half.predict(z, 21, half.embed(["a", "b"])).dtype == torch.float32


def test_an_fp16_variant_is_found(copy: Path) -> None:
    for part in checkpoint.find(copy).parts:
        stem = checkpoint.WEIGHTS[part]
        (copy / part / f"{stem}.safetensors").rename(copy / part / f"{stem}.fp16.safetensors")
    assert set(checkpoint.find(copy).variants.values()) == {"fp16"}
    assert DiffusionBackend.load(copy).encode(images()).shape == (2, 4, 8, 8)


def test_lower_precision_on_demand_still_hands_out_float32(tiny_checkpoint: Path) -> None:
    backend = DiffusionBackend.load(tiny_checkpoint, dtype=torch.bfloat16)
    z = backend.encode(images())
    condition = backend.embed(["a", "b"])
    assert backend._unet.dtype == torch.bfloat16
    assert {t.dtype for t in (z, condition.text, backend.predict(z, 21, condition), backend.decode(z))} == {
        torch.float32
    }


def test_the_scheduler_config_on_disk_counts_not_what_the_pipeline_makes_of_it(copy: Path) -> None:
    """StableDiffusionPipeline rewrites steps_offset to 1 and clip_sample to false while it loads."""
    path = copy / "scheduler/scheduler_config.json"
    edit(path, steps_offset=0)
    assert DiffusionBackend.load(copy).schedule.timesteps[:2] == (0, 20)
    edit(path, clip_sample=True)
    with pytest.raises(BenchkitError, match="clip_sample"):
        DiffusionBackend.load(copy)
    # Left out, it has the class's own default: DDIM clips, PNDM (SD 1.x) does not.
    config = {k: v for k, v in json.loads(path.read_text()).items() if k != "clip_sample"}
    path.write_text(json.dumps(config))
    with pytest.raises(BenchkitError, match="clip_sample"):
        DiffusionBackend.load(copy)
    path.write_text(json.dumps({**config, "_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 1}))
    edit(copy / "model_index.json", scheduler=["diffusers", "PNDMScheduler"])
    assert DiffusionBackend.load(copy).schedule.timesteps[:2] == (1, 21)


def test_number_of_steps_is_an_argument(tiny_checkpoint: Path) -> None:
    assert DiffusionBackend.load(tiny_checkpoint, steps=10).schedule.timesteps[:2] == (1, 101)


def _truncate(folder: Path) -> None:
    path = folder / UNET
    path.write_bytes(path.read_bytes()[:-100])


def _lose_a_tensor(path: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        weights = load_file(folder / path)
        weights.pop(max(k for k in weights if k.endswith("weight")))
        save_file(weights, folder / path, metadata={"format": "pt"})

    return damage


def _shards_without_one(folder: Path) -> None:
    (folder / UNET).unlink()
    (folder / f"{UNET}.index.json").write_text(json.dumps({"weight_map": {"a": "shard-1.safetensors"}}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "no model_index.json"),
    "broken index": (lambda f: (f / "model_index.json").write_text("{"), "cannot be read as JSON"),
    "sdxl": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionXLPipeline"),
        "no text_encoder_2 in model_index.json",
    ),
    "other": (lambda f: edit(f / "model_index.json", _class_name="PixArtPipeline"), "PixArtPipeline"),
    "flow": (
        lambda f: edit(f / "model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"]),
        "flow-matching",
    ),
    "other vae": (lambda f: edit(f / "model_index.json", vae=["diffusers", "AutoencoderTiny"]), "AutoencoderTiny"),
    "half-downloaded": (_truncate, "half-downloaded: unet/diffusion_pytorch_model.safetensors has"),
    "pointer": (lambda f: (f / UNET).write_text("version https://git-lfs.github.com/spec/v1\n" * 3), "safetensors"),
    "empty file": (lambda f: (f / UNET).write_bytes(b""), "0 bytes"),
    "no weights": (lambda f: (f / UNET).unlink(), "no safetensors weights in unet/"),
    "lost shard": (_shards_without_one, "shard-1.safetensors is missing"),
    "no vae config": (lambda f: (f / "vae/config.json").unlink(), "vae/config.json is missing"),
    "no scheduler": (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "scheduler"),
    "no tokenizer": (lambda f: shutil.rmtree(f / "tokenizer"), "no vocabulary"),
    "missing unet tensor": (_lose_a_tensor(UNET), "weights are missing"),
    "missing text tensor": (_lose_a_tensor("text_encoder/model.safetensors"), "text_encoder/ lacks weights"),
    "unknown scheduler": (
        lambda f: edit(f / "scheduler/scheduler_config.json", _class_name="NobodysScheduler"),
        "NobodysScheduler",
    ),
    "edm": (
        lambda f: edit(f / "scheduler/scheduler_config.json", _class_name="EDMEulerScheduler"),
        "no beta schedule",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_an_unusable_folder_is_named_in_one_line(copy: Path, kind: str) -> None:
    damage, words = DAMAGE[kind]
    damage(copy)
    with pytest.raises(BenchkitError, match=words) as caught:
        DiffusionBackend.load(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_inpainting_denoiser_is_refused(copy: Path) -> None:
    weights = load_file(copy / UNET)
    weights["conv_in.weight"] = torch.zeros(16, 9, 3, 3)
    save_file(weights, copy / UNET, metadata={"format": "pt"})
    edit(copy / "unet/config.json", in_channels=9)
    with pytest.raises(BenchkitError, match="9 channels"):
        DiffusionBackend.load(copy)


def test_names_resolve_to_embedded_checkpoints_folders_and_repositories(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(checkpoint, "EMBEDDED", tiny_checkpoint.parent)
    assert checkpoint.list_embedded() == ["tiny"]
    assert checkpoint.find("tiny").folder == tiny_checkpoint
    with pytest.raises(BenchkitError, match="did you mean 'tiny'"):
        DiffusionBackend.load("tinny")
    with pytest.raises(BenchkitError, match="no checkpoint folder"):
        DiffusionBackend.load(tmp_path / "nowhere")
    (tmp_path / "model.ckpt").touch()
    with pytest.raises(BenchkitError, match="is a pickle"):
        DiffusionBackend.load(tmp_path / "model.ckpt")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo_id, **_: str(tiny_checkpoint))
    assert checkpoint.find("somebody/some-model").folder == tiny_checkpoint

    def offline(repo_id: str, **_: object) -> str:
        raise OSError("no network\nhere")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(BenchkitError, match=r"'somebody/some-model'.*no network$"):
        checkpoint.find("somebody/some-model")
