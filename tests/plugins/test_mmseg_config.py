"""Any mmsegmentation config as a detector: built for two classes, normalised as it says, loaded key by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchkit.api import BenchkitError
from benchkit.plugin.networks import build_trunk, find_trunk, read_maps
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.testing import report_on
from benchkit.training.loop import TrainingConfig, predict, train
from benchkit_plugins.detectors.frozen_mmseg import FrozenMMSeg
from benchkit_plugins.detectors.mmseg_config import MMSegConfig

#: A SegFormer of a few thousand weights, as a user might write one: inherited, synchronised, weights to fetch.
BASE = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    pretrained='http://127.0.0.1:9/never-fetched.pth',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        type='MixVisionTransformer', embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 2, 2],
        init_cfg=dict(type='Pretrained', checkpoint='http://127.0.0.1:9/nor-this.pth')),
    decode_head=dict(
        type='SegformerHead', in_channels=[8, 8, 16, 16], in_index=[0, 1, 2, 3], channels=16, num_classes=19,
        norm_cfg=norm_cfg, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False)),
    auxiliary_head=[
        dict(type='FCNHead', in_channels=16, in_index=2, channels=8, num_convs=1, num_classes=19, norm_cfg=norm_cfg),
        dict(type='FCNHead', in_channels=16, in_index=3, channels=8, num_convs=1, num_classes=19, norm_cfg=norm_cfg)])
"""
CHILD = "_base_ = ['./base.py']\nmodel = dict(decode_head=dict(num_classes=150))\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configs")
    (folder / "base.py").write_text(BASE)
    (folder / "child.py").write_text(CHILD)
    return folder / "child.py"


def build(config: Path, **options: str) -> Any:
    torch.manual_seed(0)
    return MMSegConfig(config=str(config), **options).build()


def test_it_is_built_for_two_classes_in_every_head(config: Path) -> None:
    network = build(config)
    main, first, second = network.train()(torch.rand(2, 3, 50, 77))
    assert main.shape == first.shape == second.shape == (2, 2, 50, 77)
    logits = network.eval()(torch.rand(2, 3, 64, 64))
    assert isinstance(logits, Tensor) and logits.shape == (2, 2, 64, 64)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    again = build(config)
    for name, value in network.train().state_dict().items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, again.state_dict()[name]), name


def test_it_trains_and_conforms(config: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    masks = images[..., 0] > 200
    network = build(config)
    history = train(network, images, masks, TrainingConfig(iterations=2, batch=2, crop=32), 0)
    assert history[0]["loss"] > history[0]["main"] > 0
    assert predict(network, images).shape == masks.shape
    report = report_on(MMSegConfig, registry=Registry.load(), params={"config": str(config)})
    assert report.ok, report.text()


@pytest.mark.parametrize("rgb", [True, False])
def test_the_backbone_sees_what_mmsegmentations_preprocessor_makes(rgb: bool) -> None:
    from mmseg.models.data_preprocessor import SegDataPreProcessor

    from benchkit_plugins.detectors._segmentor import Segmentor

    settings: dict[str, Any] = {"mean": [10.0, 20.0, 30.0], "std": [2.0, 4.0, 8.0], "bgr_to_rgb": rgb}
    levels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    as_read = levels.flip(1)  # mmsegmentation reads images as BGR
    expected = torch.stack(SegDataPreProcessor(**settings)({"inputs": list(as_read)})["inputs"].unbind())
    seen = Segmentor(nn.Identity(), settings, "").normalised(levels / 255)
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-5)


def test_a_checkpoint_is_loaded_key_by_key(config: Path, tmp_path: Path) -> None:
    from benchkit_plugins.detectors._segmentor import build_model, read

    torch.manual_seed(5)
    theirs = build_model(read(config)["model"], "", 150).state_dict()
    path = tmp_path / "segformer.pth"
    torch.save({"meta": {"CLASSES": ["wall"]}, "state_dict": {**theirs, "extra.weight": torch.ones(1)}}, path)
    network = build(config, checkpoint=str(path))
    last = {name for name in theirs if "conv_seg" in name}
    assert len(last) == 6
    for name, value in network.segmentor.state_dict().items():
        assert torch.equal(value, theirs[name]) == (name not in last), name
    assert set(network.pretraining.fresh) == last
    assert set(network.pretraining.unused) == last | {"extra.weight"}
    assert set(network.pretraining.loaded) == set(theirs) - last
    torch.save({"state_dict": {"backbone.conv1.weight": torch.ones(3)}}, path)
    with pytest.raises(BenchkitError, match="weights of another architecture"):
        build(config, checkpoint=str(path))


def test_its_identity_follows_all_that_it_is_made_of(config: Path, tmp_path: Path) -> None:
    for file in config.parent.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text())
    child, weights = tmp_path / "child.py", tmp_path / "x.pth"
    weights.write_bytes(b"1")
    seen = [MMSegConfig(config=str(config)).depends_on()]
    assert MMSegConfig(config=str(child)).depends_on() == seen[0]  # the content counts, not the place
    seen.append(MMSegConfig(config=str(child), checkpoint=str(weights)).depends_on())
    (tmp_path / "base.py").write_text(BASE.replace("channels=16", "channels=24"))
    seen.append(MMSegConfig(config=str(child)).depends_on())
    child.write_text(CHILD + "x = 1\n")
    seen.append(MMSegConfig(config=str(child)).depends_on())
    assert len(set(seen)) == 4


HEAD = "type='SegformerHead', in_channels=[8, 8, 16, 16], in_index=[0, 1, 2, 3]"
DANET = "type='DAHead', in_channels=16, in_index=3, pam_channels=8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE.replace(HEAD, DANET), "DAHead has a loss of its own"),
        (BASE.replace("EncoderDecoder", "CascadeEncoderDecoder"), "its model is a CascadeEncoderDecoder"),
        (BASE.replace("SegformerHead", "NoSuchHead"), "cannot build it: .*NoSuchHead"),
        ("dataset = dict()\n", "has no 'model'"),
        ("model = dict(\n", "cannot be read as an mmsegmentation config"),
        ("custom_imports = dict(imports='no_such_package')\nmodel = dict()\n", "cannot be read .*no_such_package"),
        (BASE.replace("103.53]", "103.53, 1.0]"), "mean has 4 values"),
    ],
    ids=["own-loss", "cascade", "unknown", "no-model", "syntax", "import", "channels"],
)
def test_what_cannot_be_a_detector_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(text)
    with pytest.raises(BenchkitError, match=message) as caught:
        build(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_a_config_that_is_nowhere(tmp_path: Path) -> None:
    for absent in (tmp_path / "absent.py", Path("no-such-config")):
        with pytest.raises(BenchkitError, match="no such file"):
            MMSegConfig(config=str(absent)).depends_on()


def test_a_frozen_trunk_is_the_backbone_of_the_config(config: Path) -> None:
    frozen = FrozenMMSeg(config=str(config), checkpoint="none", outputs="8x4+8x8+16x16+16x32")
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    trunk = build_trunk(frozen)
    with torch.inference_mode():
        found = trunk(images)
    declared = [(channels, 64 // stride, 96 // stride) for channels, stride in read_maps(frozen)]
    assert [tuple(one.shape[1:]) for one in found] == declared
    whole = build(config).eval()
    with torch.inference_mode():
        expected = whole.segmentor.extract_feat(whole.normalised(images))
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(found, expected, strict=True))


def test_the_default_of_frozen_mmseg_declares_the_maps_of_its_config() -> None:
    frozen = FrozenMMSeg(checkpoint="none")
    with torch.inference_mode():
        found = build_trunk(frozen)(torch.zeros(1, 3, 64, 64))
    assert [(one.shape[1], 64 // one.shape[2]) for one in found] == list(read_maps(frozen))


def test_the_weights_of_the_whole_config_are_the_trunks(config: Path, tmp_path: Path) -> None:
    registry = Registry.load()
    text = f"frozen-mmseg:config='{config}',checkpoint=none,outputs=8x4+8x8+16x16+16x32"
    narrow, wide = (registry.complete(Spec.parse("detector", f"{text},width={width}")) for width in (4, 8))
    assert find_trunk(registry, narrow) == find_trunk(registry, wide)
    (whole,) = registry.parts(narrow)
    assert (whole.name, whole.values["config"], whole.values["checkpoint"]) == ("mmseg", str(config), "none")


@pytest.mark.parametrize("outputs", ["", "32", "32x", "0x4", "32x4,64x8", "32x4+", "x4"])
def test_maps_of_another_form_are_refused(outputs: str) -> None:
    with pytest.raises(BenchkitError, match="write CHANNELSxSTRIDE of each map"):
        FrozenMMSeg(outputs=outputs)


def test_a_frozen_trunk_with_random_weights_is_warned_of(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    FrozenMMSeg(config=str(config)).build_trunk()
    assert "name weights by checkpoint=FILE" in caplog.text
