"""SD 1, SD 2 and SDXL through the backend, against diffusers' own pipelines on tiny random checkpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchkit.api import LatentContext, LatentCorruptor, add_noise
from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.condition import Condition
from benchkit.diffusion.inversion import compute_trajectory
from benchkit.diffusion.noise import ImageNoise
from benchkit.diffusion.resample import corrupt_and_resample, resample
from benchkit.errors import BenchkitError
from benchkit.system.fetching import forbid_downloads
from benchkit_plugins.inverters.fixed_point import FixedPoint

CAPTIONS = ["a hat", "two red cats", None]


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from tests.diffusion.tiny_models import tiny_sd2, tiny_xl

    root = tmp_path_factory.mktemp("models")
    tiny_sd2().save_pretrained(root / "sd2")
    tiny_xl().save_pretrained(root / "xl")
    turbo = Path(shutil.copytree(root / "xl", root / "turbo"))
    edit(turbo / "model_index.json", scheduler=["diffusers", "EulerAncestralDiscreteScheduler"])
    config = turbo / "scheduler/scheduler_config.json"
    edit(config, _class_name="EulerAncestralDiscreteScheduler", timestep_spacing="trailing")
    return {"sd1": tiny_checkpoint, **{name: root / name for name in ("sd2", "xl", "turbo")}}


@pytest.fixture(scope="module")
def backends(folders: dict[str, Path]) -> dict[str, DiffusionBackend]:
    return {name: DiffusionBackend.load(folder, steps=10) for name, folder in folders.items()}


@pytest.fixture
def xl(backends: dict[str, DiffusionBackend]) -> DiffusionBackend:
    return backends["xl"]


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["xl"], tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(count: int = 2, height: int = 64, width: int = 64) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def bound(backend: DiffusionBackend, condition: Condition) -> Callable[[Tensor, int], Tensor]:
    return lambda z, t: backend.predict(z, t, condition)


@pytest.mark.parametrize("name", ["sd1", "sd2", "xl", "turbo"])
def test_a_fixed_point_returns_to_the_images_latent(backends: dict[str, DiffusionBackend], name: str) -> None:
    backend = backends[name]
    z_0 = backend.encode(images())
    predict = bound(backend, backend.embed(["a hat", None]))
    start = compute_trajectory(FixedPoint(), predict, backend.schedule, z_0, ImageNoise(0, ["a", "b"]), None, 2)[-1]
    assert (start - z_0).abs().max() > 0.05
    assert (resample(predict, backend.schedule, start, 2) - z_0).abs().max() < 2e-4


@pytest.mark.parametrize("name", ["sd1", "sd2", "xl", "turbo"])
def test_our_loop_is_the_pipelines(backends: dict[str, DiffusionBackend], name: str) -> None:
    """The whole of text-to-image with diffusers' DDIM, without guidance: the pipeline's latents and ours."""
    from diffusers import DDIMScheduler

    backend, start = backends[name], noise(1, 4, 8, 8, seed=3)
    pipeline = backend._pipeline
    config = {**pipeline.scheduler.config, "clip_sample": False}
    before, pipeline.scheduler = pipeline.scheduler, DDIMScheduler.from_config(config)
    pipeline.set_progress_bar_config(disable=True)
    try:
        expected = pipeline(
            "a hat", num_inference_steps=10, guidance_scale=1.0, latents=start, output_type="latent"
        ).images
        timesteps = pipeline.scheduler.timesteps.tolist()
    finally:
        pipeline.scheduler = before
    assert backend.schedule.timesteps == tuple(reversed(timesteps))
    z = resample(bound(backend, backend.embed(["a hat"])), backend.schedule, start, 10)
    assert torch.allclose(z, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_v_prediction_is_converted_as_diffusers_steps(backends: dict[str, DiffusionBackend]) -> None:
    """One step from the raw output by DDIMScheduler.step, and from our eps by eq. 6."""
    from diffusers import DDIMScheduler

    backend = backends["sd2"]
    assert backend.schedule.prediction == "v_prediction"
    scheduler = DDIMScheduler.from_config(backend._pipeline.scheduler.config)
    scheduler.set_timesteps(10)
    z, condition = noise(2, 4, 8, 8), backend.embed(["a hat", None])
    for k in (2, 6, 10):
        t = backend.schedule.t(k)
        with torch.inference_mode():
            raw = backend._unet(z, t, encoder_hidden_states=condition.text).sample
        expected = scheduler.step(raw, t, z).prev_sample
        eps, (phi, psi) = backend.predict(z, t, condition), backend.schedule.coefficients(k)
        assert torch.allclose(phi * z + psi * eps, expected, atol=1e-5)
        assert not torch.allclose(eps, raw, atol=1e-2)


def test_turbo_has_its_schedulers_spacing(backends: dict[str, DiffusionBackend]) -> None:
    assert backends["turbo"].schedule.timesteps[0] == 99
    assert backends["turbo"].schedule.timesteps[-1] == 999
    assert backends["xl"].schedule.timesteps[0] == 1
    assert backends["turbo"].identity != backends["xl"].identity


def test_sdxl_embeds_and_predicts_as_its_pipeline_would(xl: DiffusionBackend) -> None:
    """A call of the denoiser by hand, with the pipeline's own prompt embeddings and size ids."""
    condition, z, height, width = xl.embed(CAPTIONS), noise(3, 4, 10, 6), 80, 48
    pipeline = xl._pipeline
    for row, caption in enumerate(CAPTIONS):
        text, _, pooled, _ = pipeline.encode_prompt(caption or "", device="cpu", do_classifier_free_guidance=False)
        sizes = pipeline._get_add_time_ids((height, width), (0, 0), (height, width), torch.float32, pooled.shape[1])
        with torch.inference_mode():
            expected = xl._unet(
                z[row : row + 1],
                301,
                encoder_hidden_states=text,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes},
            ).sample
        assert torch.allclose(condition.text[row], text[0], atol=1e-5)
        assert condition.pooled is not None
        assert torch.allclose(condition.pooled[row], pooled[0], atol=1e-5)
        assert torch.allclose(xl.predict(z[row : row + 1], 301, condition[row : row + 1]), expected, atol=1e-5)


def test_captions_reach_the_denoiser_by_every_way(xl: DiffusionBackend) -> None:
    """Through each encoder's fraction of the text, and through the pooled vector."""
    z = noise(1, 4, 8, 8)
    one, other = xl.embed(["a hat"]), xl.embed(["two red cats"])
    assert one.pooled is not None
    width = xl._pipeline.text_encoder.config.hidden_size
    first, second = one.text.clone(), one.text.clone()
    first[..., :width], second[..., width:] = other.text[..., :width], other.text[..., width:]
    usual = xl.predict(z, 301, one)
    for changed in (replace(one, text=first), replace(one, text=second), replace(one, pooled=other.pooled)):
        assert (xl.predict(z, 301, changed) - usual).abs().max() > 1e-5


def test_captions_reach_sd2s_denoiser(backends: dict[str, DiffusionBackend]) -> None:
    backend, z = backends["sd2"], noise(1, 4, 8, 8)
    eps = [backend.predict(z, 301, backend.embed([caption])) for caption in CAPTIONS]
    assert min(float((a - b).abs().max()) for a, b in ((eps[0], eps[1]), (eps[0], eps[2]))) > 1e-5
    for row, caption in zip(backend.embed(CAPTIONS).text, CAPTIONS, strict=True):
        theirs, _ = backend._pipeline.encode_prompt(caption or "", torch.device("cpu"), 1, False)
        assert torch.allclose(row, theirs[0], atol=1e-5)


def test_the_size_reaches_the_denoiser(xl: DiffusionBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same latents under another factor are told to be of another size, and of nothing else."""
    z, condition = noise(1, 4, 8, 8), xl.embed(["a hat"])
    usual = xl.predict(z, 301, condition)
    monkeypatch.setattr(xl, "factor", 128)
    assert (xl.predict(z, 301, condition) - usual).abs().max() > 1e-5


@pytest.mark.parametrize("name", ["sd2", "xl"])
def test_a_chunk_equals_its_images_alone(backends: dict[str, DiffusionBackend], name: str) -> None:
    backend, z = backends[name], noise(3, 4, 8, 8)
    condition = backend.embed(CAPTIONS)
    together = backend.predict(z, 301, condition)
    for i, caption in enumerate(CAPTIONS):
        assert torch.allclose(
            backend.predict(z[i : i + 1], 301, backend.embed([caption])), together[i : i + 1], atol=1e-5
        )
    pieces = condition.split(2)
    assert [len(piece) for piece in pieces] == [2, 1]
    assert torch.equal(backend.predict(z[2:], 301, pieces[1]), backend.predict(z[2:], 301, condition[[2]]))
    assert (condition[[2]].pooled is None) == (name == "sd2")


class Negated(LatentCorruptor):
    name = "negated"

    def corrupt(self, at: LatentContext) -> Tensor:
        return -at.z_t


def test_corrupted_latents_are_resampled_under_their_captions(xl: DiffusionBackend) -> None:
    z_0 = noise(3, 4, 8, 8, seed=5)
    mask = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    mask[..., 2:5, 2:5] = True
    level = xl.schedule.alpha_bar[2]
    at = LatentContext(
        add_noise(z_0, noise(3, 4, 8, 8), level), z_0, mask, level, 64, tuple(CAPTIONS), ImageNoise(0, ["a", "b", "c"])
    )
    made = corrupt_and_resample(xl.predict, xl.embed, xl.schedule, Negated(steps=2), at)
    start = torch.where(mask, -at.z_t, at.z_t)
    assert torch.allclose(made, resample(bound(xl, xl.embed(CAPTIONS)), xl.schedule, start, 2), atol=1e-5)


def test_identity_covers_both_encoders_and_tokenizers(folders: dict[str, Path], copy: Path) -> None:
    known = {checkpoint.find(folders["xl"]).identity}
    assert checkpoint.find(copy).identity in known
    weights = copy / "text_encoder_2/model.safetensors"
    for path in (weights, copy / "tokenizer_2/tokenizer.json", copy / "text_encoder_2/config.json"):
        if path == weights:
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        else:
            edit(path, edited=True)
        identity = checkpoint.find(copy).identity
        assert identity not in known
        known.add(identity)


def test_half_precision_leaves_sdxls_autoencoder_in_float32(folders: dict[str, Path], copy: Path) -> None:
    backend = DiffusionBackend.load(f"{folders['xl']}:dtype=bf16")
    parts = {part: getattr(backend._pipeline, part).dtype for part in backend._source.parts}
    assert parts.pop("vae") == torch.float32
    assert set(parts.values()) == {torch.bfloat16}
    z, condition = backend.encode(images()), backend.embed(["a hat", None])
    eps = backend.predict(z, 301, condition)
    assert condition.pooled is not None
    assert {x.dtype for x in (z, condition.text, condition.pooled, eps, backend.decode(z))} == {torch.float32}
    full = DiffusionBackend.load(folders["xl"])
    assert torch.equal(full.encode(images()), z)
    exact = full.predict(z, 301, full.embed(["a hat", None]))
    assert 0 < (eps - exact).abs().max() < 0.1
    edit(copy / "vae/config.json", force_upcast=False)
    assert DiffusionBackend.load(copy, dtype=torch.bfloat16)._vae.dtype == torch.bfloat16


def test_latents_are_normalised_per_channel_where_the_config_says_so(xl: DiffusionBackend, copy: Path) -> None:
    """diffusers' SDXL pipeline decodes latents * std / scaling_factor + mean."""
    mean, deviation = [0.1, -0.2, 0.3, 0.0], [1.5, 2.0, 0.5, 1.0]
    edit(copy / "vae/config.json", latents_mean=mean, latents_std=deviation)
    other = DiffusionBackend.load(copy)
    z, std = xl.encode(images()), torch.tensor(deviation).view(1, 4, 1, 1)
    ours = other.encode(images())
    assert torch.allclose(ours * std / 4.0 + torch.tensor(mean).view(1, 4, 1, 1), z / 4.0, atol=1e-5)
    assert torch.allclose(other.decode(ours), xl.decode(z), atol=1e-5)


def damaged_width(folder: Path) -> None:
    edit(folder / "text_encoder_2/config.json", hidden_size=32)


def without(key: str) -> Callable[[Path], None]:
    def lose(folder: Path) -> None:
        edit(folder / "model_index.json", **{key: [None, None]})

    return lose


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "refiner": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionXLImg2ImgPipeline"),
        "refiner or image-to-image",
    ),
    "refiner as base": (lambda f: edit(f / "model_index.json", requires_aesthetics_score=True), "SDXL's refiner"),
    "refiner's sizes": (
        lambda f: edit(f / "unet/config.json", projection_class_embeddings_input_dim=50),
        "of width 50, not 58",
    ),
    "inpainting": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionXLInpaintPipeline"),
        "for inpainting",
    ),
    "controlnet": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionXLControlNetPipeline"),
        "control image",
    ),
    "nine channels": (lambda f: edit(f / "unet/config.json", in_channels=9), "takes 9 channels"),
    "guidance scale": (lambda f: edit(f / "unet/config.json", time_cond_proj_dim=256), "time_cond_proj_dim"),
    "flow sigmas": (lambda f: edit(f / "scheduler/scheduler_config.json", use_flow_sigmas=True), "flow-matching"),
    "flow prediction": (
        lambda f: edit(f / "scheduler/scheduler_config.json", prediction_type="flow_prediction"),
        "flow-matching",
    ),
    "another's encoder": (damaged_width, "text embeddings of width 40, its text encoders give 48"),
    "no second encoder": (without("text_encoder_2"), "has no text_encoder_2"),
    "another encoder": (
        lambda f: edit(f / "model_index.json", text_encoder=["transformers", "T5EncoderModel"]),
        "T5EncoderModel as its text_encoder",
    ),
    "no second tokenizer": (lambda f: shutil.rmtree(f / "tokenizer_2"), "tokenizer_2/ has no vocabulary"),
    "sd 1 under its name": (
        lambda f: edit(f / "unet/config.json", addition_embed_type=None),
        "its architecture is not the one in model_index.json",
    ),
    "truncated": (
        lambda f: (f / "text_encoder_2/model.safetensors").write_bytes(
            (f / "text_encoder_2/model.safetensors").read_bytes()[:-7]
        ),
        "half-downloaded: text_encoder_2/model.safetensors",
    ),
    "truncated header": (
        lambda f: (f / "unet/diffusion_pytorch_model.safetensors").write_bytes(
            (f / "unet/diffusion_pytorch_model.safetensors").read_bytes()[:40]
        ),
        "half-downloaded: unet/diffusion_pytorch_model.safetensors",
    ),
    "other weights": (lambda f: edit(f / "unet/config.json", block_out_channels=[16, 64]), "cannot be loaded"),
    "other text weights": (
        lambda f: edit(f / "text_encoder_2/config.json", intermediate_size=50),
        "cannot be loaded",
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


@pytest.mark.parametrize("pipeline", ["FluxPipeline", "StableDiffusion3Pipeline"])
def test_flow_matching_is_refused_before_its_weights_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    """From its index alone, and of a repository nothing else than that is downloaded."""
    import huggingface_hub

    index = {"_class_name": pipeline, "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    asked: list[str] = []

    def fetched(repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    for name in (tmp_path, "somebody/flux"):
        with pytest.raises(BenchkitError, match=rf"flow-matching model \({pipeline} .*velocity"):
            checkpoint.find(name)
    assert asked
    assert not [pattern for pattern in asked if "safetensors" in pattern]


def test_a_repository_of_half_precision_files_alone_is_fetched(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fnmatch

    import huggingface_hub

    parts = checkpoint.PIPELINES["StableDiffusionXLPipeline"]
    for part in parts:
        stem = copy / part / checkpoint.WEIGHTS[part]
        stem.with_suffix(".safetensors").rename(stem.with_suffix(".fp16.safetensors"))
    (copy / "unet/diffusion_pytorch_model.bin").touch()

    def fetched(repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        for path in copy.rglob("*"):
            name = path.relative_to(copy).as_posix()
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "hub" / name)
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    with forbid_downloads():
        planned = checkpoint.find("somebody/xl")
    assert not list(planned.folder.rglob("*.safetensors")), "a dry run plans with the configs"
    assert planned.scheduler_config() == checkpoint.find(copy).scheduler_config() and planned.identity
    found = checkpoint.find("somebody/xl")
    with forbid_downloads():
        assert checkpoint.find("somebody/xl").identity == found.identity, "what is here is read"
    assert set(found.variants.values()) == {"fp16"}
    assert not list(found.folder.rglob("*.bin"))
    assert found.identity == checkpoint.find(copy).identity


def test_a_part_or_a_lora_is_no_checkpoint(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchkitError, match=r"holds one network \(UNet2DConditionModel\)"):
        checkpoint.find(copy / "unet")
    (tmp_path / "pytorch_lora_weights.safetensors").touch()
    with pytest.raises(BenchkitError, match="holds a LoRA"):
        checkpoint.find(tmp_path)


@pytest.mark.parametrize("name", ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"])
def test_a_file_that_may_not_be_read_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plain = Path.open

    def refusing(path: Path, *given: Any, **more: Any) -> Any:
        if path == copy / name:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *given, **more)

    monkeypatch.setattr(Path, "open", refusing)
    monkeypatch.setattr(Path, "read_text", lambda path, **_: path.open("rb").read().decode())
    with pytest.raises(BenchkitError) as refused:
        checkpoint.find(copy)
    assert str(refused.value) == f"{copy / name}: permission denied: make it readable"
