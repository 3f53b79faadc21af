"""Checkpoints in one safetensors file: the same numbers as the folder they were made of, and what is refused."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchkit.diffusion import checkpoint, families
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.families import FAMILIES, write_config_folder
from benchkit.diffusion.tokens import caption_length
from benchkit.errors import BenchkitError
from tests.diffusion.ldm_names import save_as_one_file

CAPTIONS = ["a hat", "two red cats", None]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHKIT_CACHE", str(folder))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, Path]]:
    """Family -> a tiny checkpoint's folder, and the same weights in one file."""
    from tests.diffusion.tiny_models import tiny_sd2, tiny_xl
    from tests.helpers.tiny_checkpoint import tiny_pipeline

    root, found = tmp_path_factory.mktemp("files"), {}
    for name, pipeline in (("sd1", tiny_pipeline()), ("sd2", tiny_sd2()), ("xl", tiny_xl())):
        pipeline.save_pretrained(root / name)
        found[name] = root / name, save_as_one_file(pipeline, root / f"{name}.safetensors")
    return found


@pytest.mark.parametrize("name", ["sd1", "sd2", "xl"])
def test_one_file_computes_what_its_folder_does(made: Mapping[str, tuple[Path, Path]], name: str) -> None:
    folder, file = made[name]
    whole, single = DiffusionBackend.load(folder, steps=10), DiffusionBackend.load(f"{file}:config={folder}", steps=10)
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    z = whole.encode(x)
    assert torch.equal(single.encode(x), z)
    assert torch.equal(single.decode(z), whole.decode(z))
    here, there = single.embed(CAPTIONS), whole.embed(CAPTIONS)
    assert torch.equal(here.text, there.text)
    assert torch.equal(single.predict(z, 101, here), whole.predict(z, 101, there))
    assert single.schedule.timesteps == whole.schedule.timesteps
    assert single.identity == checkpoint.find(f"{file}:config={folder}").identity != whole.identity


def test_what_an_identity_of_a_file_covers(made: Mapping[str, tuple[Path, Path]], tmp_path: Path) -> None:
    folder, file = made["sd1"]
    known = checkpoint.find(f"{file}:config={folder}").identity
    other, configs = Path(shutil.copy(file, tmp_path / "other name.safetensors")), tmp_path / "configs"
    shutil.copytree(folder, configs, ignore=shutil.ignore_patterns("*.safetensors"))
    assert checkpoint.find(f"{other}:config={configs}").identity == known
    path = configs / "scheduler/scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "v_prediction"}))
    assert checkpoint.find(f"{other}:config={configs}").identity != known
    data = bytearray(other.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    assert checkpoint.find(f"{other}:config={folder}").identity != known


def test_half_precision_and_sdxls_autoencoder(made: Mapping[str, tuple[Path, Path]]) -> None:
    folder, file = made["xl"]
    backend = DiffusionBackend.load(f"{file}:config={folder},dtype=bf16")
    found = {part: getattr(backend._pipeline, part).dtype for part in backend._source.parts}
    assert found.pop("vae") == torch.float32
    assert set(found.values()) == {torch.bfloat16}


#: Numbers of the published networks, in millions.
MILLIONS = {
    "sd-1": {"unet": 859.52, "vae": 83.65, "text_encoder": 123.06},
    "sd-2": {"unet": 865.91, "vae": 83.65, "text_encoder": 340.39},
    "sdxl": {"unet": 2567.46, "vae": 83.65, "text_encoder": 123.06, "text_encoder_2": 694.66},
}


@pytest.mark.parametrize("family", MILLIONS)
def test_the_configs_are_of_the_published_networks(family: str) -> None:
    import diffusers
    import transformers

    folder = write_config_folder(family, "epsilon")
    for part, expected in MILLIONS[family].items():
        config = json.loads((folder / part / "config.json").read_text())
        with torch.device("meta"):
            if part.startswith("text_encoder"):
                name = config["architectures"][0]
                network = getattr(transformers, name)(transformers.CLIPTextConfig(**config))
            else:
                network = getattr(diffusers, config["_class_name"]).from_config(config)
        assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(expected, abs=0.005), part


@pytest.mark.parametrize("family", FAMILIES)
def test_the_config_folder_is_a_checkpoint_without_weights(family: str) -> None:
    folder = write_config_folder(family, "epsilon")
    with pytest.raises(BenchkitError, match="no safetensors weights in unet/"):
        checkpoint.find(folder)


def test_the_tokenizer_is_clips(cache: Path) -> None:
    """Token numbers as they are published with CLIP."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(write_config_folder("sdxl", "epsilon") / "tokenizer")
    assert tokenizer("a photo of a cat")["input_ids"] == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (len(tokenizer), tokenizer.model_max_length, tokenizer.pad_token_id) == (49408, 77, 49407)
    assert CLIPTokenizer.from_pretrained(write_config_folder("sdxl", "epsilon") / "tokenizer_2").pad_token_id == 0


def test_a_damaged_config_folder_is_mended() -> None:
    folder = write_config_folder("sd-1", "epsilon")
    before = (folder / "tokenizer/vocab.json").read_bytes()
    (folder / "tokenizer/vocab.json").write_bytes(b"{}")
    (folder / "unet/config.json").unlink()
    assert (write_config_folder("sd-1", "epsilon") / "tokenizer/vocab.json").read_bytes() == before
    assert (folder / "unet/config.json").is_file()


def header_of(family: str, **changes: tuple[int, ...] | None) -> dict[str, tuple[int, ...]]:
    """The tensors by which a file's family is told, with their shapes in the published files."""
    width = FAMILIES[family]["unet"]["cross_attention_dim"]
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, width),
        "first_stage_model.encoder.conv_in.weight": (128, 3, 3, 3),
    }
    clip = "transformer.text_model.embeddings.position_embedding.weight"
    shapes |= {
        "sd-1": {f"cond_stage_model.{clip}": (77, 768)},
        "sd-2": {"cond_stage_model.model.positional_embedding": (77, 1024)},
        "sdxl": {
            f"conditioner.embedders.0.{clip}": (77, 768),
            "conditioner.embedders.1.model.positional_embedding": (77, 1280),
        },
    }[family]
    return {k: v for k, v in {**shapes, **changes}.items() if v is not None}


def written(path: Path, shapes: Mapping[str, tuple[int, ...]], **remarks: str) -> Path:
    """A sparse file of these tensors, all zero."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(torch.Size(shape).numel())
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({**header, **({"__metadata__": remarks} if remarks else {})}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


@pytest.mark.parametrize(
    ("family", "options", "marks", "prediction"),
    [
        ("sd-1", "", {}, "epsilon"),
        ("sdxl", "", {}, "epsilon"),
        ("sdxl", "", {"v_pred": (1,)}, "v_prediction"),
        ("sd-1", ":prediction=v_prediction", {}, "v_prediction"),
        ("sd-2", ":prediction=epsilon", {}, "epsilon"),
        ("sd-2", ":prediction=v_prediction", {}, "v_prediction"),
    ],
)
def test_the_published_families_need_no_configs(
    tmp_path: Path, family: str, options: str, marks: dict[str, tuple[int, ...]], prediction: str
) -> None:
    path = written(tmp_path / "m.safetensors", header_of(family, **marks))
    found = checkpoint.find(f"{path}{options}")
    assert found.file == path
    assert found.scheduler_config()["prediction_type"] == prediction
    assert found.is_xl == (family == "sdxl")
    count, limit = caption_length(f"{path}{options}")
    assert (count("a photo of a cat"), limit) == (7, 77)


def test_a_file_may_say_what_it_predicts(tmp_path: Path) -> None:
    remarks = {"modelspec.prediction_type": "v"}
    path = written(tmp_path / "m.safetensors", header_of("sd-2"), **remarks)
    assert checkpoint.find(path).scheduler_config()["prediction_type"] == "v_prediction"


CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"
REFUSED = {
    "SD 2 that says nothing": (header_of("sd-2"), "", r"write .*m\.safetensors:prediction=epsilon .* 512"),
    "inpainting": (header_of("sd-1", **{CONV_IN: (320, 9, 3, 3)}), "", "takes 9 channels where its latents have 4"),
    "no autoencoder": (
        header_of("sd-1", **{"first_stage_model.encoder.conv_in.weight": None}),
        "",
        "has no autoencoder: use a text-to-image",
    ),
    "of another size": (
        header_of("sd-1", **{CONV_IN: (64, 4, 3, 3)}),
        "",
        r"begins with 64 channels.*m\.safetensors:config=FOLDER.*from_single_file\('.*m\.safetensors', config='FOLDER'",
    ),
    "zero signal": (header_of("sdxl", v_pred=(1,), ztsnr=(1,)), "", r"schedule of its own \(ztsnr\)"),
    "a LoRA": ({"lora_unet_down_blocks_0.lora_up.weight": (4, 4)}, "", "is a LoRA"),
    "Flux": ({"model.diffusion_model.double_blocks.0.img_attn.proj.weight": (4, 4)}, "", "flow-matching model"),
    "SD 3": ({"model.diffusion_model.joint_blocks.0.x_block.attn.proj.weight": (4, 4)}, "", "flow-matching"),
    "one network": ({"down_blocks.0.resnets.0.conv1.weight": (4, 4, 3, 3)}, "", "one network of a checkpoint"),
    "something else": ({"weight": (4,)}, "", "is no checkpoint"),
    "both options": (header_of("sd-1"), ":config=portraits,prediction=epsilon", "give config= or prediction="),
    "other configs": (header_of("sd-1"), ":config=portraits", "does not fit the configs in .*portraits: channels"),
    "an unknown prediction": (header_of("sd-1"), ":prediction=v", "choose epsilon or v_prediction"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_said_in_one_line(tmp_path: Path, kind: str) -> None:
    shapes, options, words = REFUSED[kind]
    path = written(tmp_path / "m.safetensors", shapes)
    with pytest.raises(BenchkitError, match=words) as caught:
        checkpoint.find(f"{path}{options}")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.ckpt", "model.PT", "model.bin"])
def test_pickles_are_refused_with_the_two_lines_that_convert_them(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'id'\ntR.")
    with pytest.raises(BenchkitError, match="is a pickle, which can run any code") as caught:
        checkpoint.find(path)
    assert "from diffusers import StableDiffusionPipeline as P" in str(caught.value)
    assert f"P.from_single_file('{path}').save_pretrained('{tmp_path / 'model'}')" in str(caught.value)


def test_a_folder_of_single_files_says_how_to_name_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", header_of("sd-1"))
    with pytest.raises(BenchkitError, match=r"has no model_index\.json; if a\.safetensors is a whole .*name the file"):
        checkpoint.find(tmp_path)
    assert checkpoint.find(path).file == path


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(BenchkitError, match=r"is no \.safetensors file"):
        checkpoint.find(tmp_path / "model.gguf")


@pytest.mark.parametrize("keep", [0, 5, 40, -3])
def test_a_file_that_was_cut_short_is_named(made: Mapping[str, tuple[Path, Path]], tmp_path: Path, keep: int) -> None:
    folder, file = made["sd1"]
    path = tmp_path / "cut.safetensors"
    path.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BenchkitError, match=r"cut\.safetensors"):
        checkpoint.find(f"{path}:config={folder}")


@pytest.mark.parametrize("lost", ["output_blocks.1.0.in_layers.2.weight", "middle_block.2.emb_layers.1.bias"])
def test_weights_that_are_missing_or_left_over_are_an_error(
    made: Mapping[str, tuple[Path, Path]], tmp_path: Path, lost: str
) -> None:
    folder, file = made["sd1"]
    weights = load_file(file)
    more = {**weights, "model.diffusion_model.output_blocks.3.1.transformer_blocks.1.norm1.weight": torch.ones(16)}
    del weights[f"model.diffusion_model.{lost}"]
    for content in (weights, more):
        save_file(content, tmp_path / "m.safetensors")
        with pytest.raises(BenchkitError, match=r"m\.safetensors cannot be loaded by diffusers"):
            DiffusionBackend.load(f"{tmp_path / 'm.safetensors'}:config={folder}")


def test_without_the_vocabulary_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "VOCABULARY", "utils/nothing.gz")
    families._files.cache_clear()
    path = written(tmp_path / "m.safetensors", header_of("sd-1"))
    with pytest.raises(BenchkitError, match=r"CLIP's vocabulary.*:config=FOLDER"):
        checkpoint.find(path)


def test_options_of_files_are_refused_for_folders(made: Mapping[str, tuple[Path, Path]]) -> None:
    for options in ("config=portraits", "prediction=epsilon"):
        with pytest.raises(BenchkitError, match=r"is for a checkpoint in one \.safetensors file"):
            checkpoint.find(f"{made['sd1'][0]}:{options}")
