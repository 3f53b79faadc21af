"""Precision, tiles and offloading: what may be written, what enters a key, what they change, running out of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.options import ModelOptions, parse_model, public_name
from benchkit.errors import BenchkitError
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import ImageSet
from benchkit.stages.base import Model
from benchkit.stages.images import Latents, Source
from benchkit.system.memory import is_out_of_memory, suggest_savings


def images(count: int, side: int) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_options_stand_behind_the_name(tmp_path: Path) -> None:
    assert parse_model("portraits") == ("portraits", ModelOptions())
    assert parse_model("a/b:dtype=fp16, vae=tiled,offload=true") == ("a/b", ModelOptions("float16", "tiled", True))
    assert parse_model("/x:y/z:dtype=bf16") == ("/x:y/z", ModelOptions("bfloat16"))
    folder = tmp_path / "xl:dtype=fp16"
    folder.mkdir()
    assert parse_model(folder) == (str(folder), ModelOptions())


def test_names_in_records_hold_neither_options_nor_folders(tmp_path: Path) -> None:
    (tmp_path / "sd,1").mkdir()
    assert public_name(f"{tmp_path}/sd,1") == public_name(f"{tmp_path}/sd,1:dtype=fp16") == "sd,1"
    assert public_name("/gone/v1-5.safetensors:config=/else/where") == "v1-5.safetensors"
    assert public_name("owner/name@v1:dtype=fp16") == "owner/name@v1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("dtype=fp8", "dtype=fp8: choose float32"),
        ("vae=halved", "vae=halved: choose whole, sliced, tiled"),
        ("offload=gpu", "offload=gpu: choose true or false"),
        ("dype=fp16", "did you mean 'dtype'"),
        ("dtype=fp16,dtype=fp32", "given twice"),
        ("dtype=fp16|fp32", "write it without"),
    ],
)
def test_wrong_options_are_named_in_one_line(options: str, words: str) -> None:
    with pytest.raises(BenchkitError, match=words) as caught:
        parse_model(f"portraits:{options}")
    assert "\n" not in str(caught.value)


def key(text: str) -> str:
    source = Source(ImageSet(Spec.parse("dataset", "portraits"), "test", (0, 1)), "fingerprint", "test", (0, 1))
    return Latents(source, Model.of(text, "identity", 50)).key


def test_what_decides_results_enters_the_key_and_nothing_else() -> None:
    # The key as it was before there were options: caches filled then are read now.
    assert key("portraits") == "9b1dea62a35f82da8e91c9965120c46b4d112a9441f4a83989202599a35f75f8"
    assert (
        key("elsewhere")
        == key("portraits:dtype=float32")
        == key("portraits:vae=whole,offload=true")
        == key("portraits")
    )
    others = {key(f"portraits:{text}") for text in ("dtype=fp16", "dtype=bf16", "vae=tiled", "vae=sliced")}
    assert len(others | {key("portraits")}) == 5
    assert key("portraits:dtype=fp16") == key("portraits:dtype=float16")


def test_slices_and_tiles_are_the_whole_within_their_reach(tiny_checkpoint: Path) -> None:
    """This autoencoder's tiles have 32 pixels a side: slices agree everywhere, tiles at most roughly."""
    whole, sliced, tiled = (
        DiffusionBackend.load(f"{tiny_checkpoint}:vae={vae}") for vae in ("whole", "sliced", "tiled")
    )
    x = images(3, 64)
    z = whole.encode(x)
    assert torch.allclose(sliced.encode(x), z, atol=1e-5)
    assert torch.allclose(sliced.decode(z), whole.decode(z), atol=1e-5)
    assert not torch.allclose(tiled.encode(x), z, atol=1e-5)
    assert tiled.encode(x).shape == z.shape
    assert tiled.decode(z).shape == x.shape
    small = images(2, 32)
    assert torch.allclose(tiled.encode(small), whole.encode(small), atol=1e-5)


def test_large_tiles_are_made_smaller(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SDXL's own are as large as its images, so that tiling would do nothing."""
    from benchkit.diffusion import backend

    monkeypatch.setattr(backend, "TILE", 16)
    loaded = DiffusionBackend.load(f"{tiny_checkpoint}:vae=tiled")
    assert (loaded._vae.tile_sample_min_size, loaded._vae.tile_latent_min_size) == (16, 2)


def test_offloading_brings_one_network_at_a_time_and_changes_nothing(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[tuple[str, str]] = []
    plain = DiffusionBackend.load(tiny_checkpoint)
    backend = DiffusionBackend.load(f"{tiny_checkpoint}:offload=true")
    for part in backend._source.parts:
        network = getattr(backend._pipeline, part)
        monkeypatch.setattr(
            network,
            "to",
            lambda device, part=part, move=network.to: (moves.append((part, str(device))), move("cpu"))[1],
        )
    backend.device = torch.device("meta")  # a name for the device in `moves`; inputs go back to the CPU below
    for part in ("vae", "vae", "unet", "vae"):
        backend._at_work(part)  # type: ignore[arg-type]
    assert moves == [("vae", "meta"), ("vae", "cpu"), ("unet", "meta"), ("unet", "cpu"), ("vae", "meta")]
    backend.device = torch.device("cpu")
    x, captions = images(2, 64), ["a hat", None]
    z = plain.encode(x)
    assert torch.equal(backend.encode(x), z)
    assert torch.equal(backend.predict(z, 21, backend.embed(captions)), plain.predict(z, 21, plain.embed(captions)))
    assert torch.equal(backend.decode(z), plain.decode(z))


def test_running_out_of_memory_says_what_would_need_less(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = DiffusionBackend.load(tiny_checkpoint)

    def exhausted(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of\nx")

    z, condition = backend.encode(images(1, 64)), backend.embed([None])
    monkeypatch.setattr(backend._unet, "forward", exhausted)
    with pytest.raises(
        BenchkitError, match=r"while predicting noise \(2.50 GiB more .*dtype=float16.* or offload=true"
    ) as caught:
        backend.predict(z, 21, condition)
    assert "\n" not in str(caught.value)
    assert "sampling.chunk" not in str(caught.value), "one image cannot be divided"
    monkeypatch.setattr(backend._vae, "decode", exhausted)
    with pytest.raises(BenchkitError, match=r"while decoding .* set the grid's sampling\.chunk to 4 \(it was 8\)"):
        backend.decode(z.repeat(8, 1, 1, 1))


def test_an_allocation_that_main_memory_refuses_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_the_remedy_leaves_out_what_is_done_already() -> None:
    assert "take 5.0 instead of 10.0 GiB" in suggest_savings(ModelOptions(), 10 * 2**28)
    assert "dtype=float16 (" not in suggest_savings(ModelOptions("bfloat16"), 2**28)
    assert "smaller images" in suggest_savings(ModelOptions("float16", "tiled", True), 2**28)


def test_values_that_overflow_float16_are_no_black_images(tiny_checkpoint: Path) -> None:
    backend = DiffusionBackend.load(f"{tiny_checkpoint}:dtype=fp16")
    assert backend._vae.dtype == torch.float16
    with torch.no_grad():
        backend._vae.decoder.conv_out.bias.fill_(torch.inf)
        backend._vae.decoder.conv_out.bias[0] = torch.nan
    with pytest.raises(BenchkitError, match="not finite in float16: use bfloat16"):
        backend.decode(torch.zeros(1, 4, 8, 8))


def test_half_precision_of_the_sampling_leaves_the_encoders_exact(tiny_checkpoint: Path) -> None:
    plain = DiffusionBackend.load(tiny_checkpoint)
    half = DiffusionBackend.load(tiny_checkpoint, sampling="bfloat16")
    x, captions = images(2, 64), ["a hat", None]
    z, condition = plain.encode(x), plain.embed(captions)
    assert torch.equal(half.encode(x), z)
    assert torch.equal(half.embed(captions).text, condition.text)
    for exact, found in (
        (plain.predict(z, 21, condition), half.predict(z, 21, condition)),
        (plain.decode(z), half.decode(z)),
    ):
        assert found.dtype == torch.float32 and found.is_contiguous()
        assert not torch.equal(found, exact), "it was computed in float32"
        assert torch.nn.functional.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.99


def test_find_takes_the_text_as_it_is(tiny_checkpoint: Path) -> None:
    assert checkpoint.find(f"{tiny_checkpoint}:dtype=fp16").identity == checkpoint.find(tiny_checkpoint).identity
