"""Ignored pixels count in nothing: not in the loss, not in a metric, not in the prevalence."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import stats
from sklearn import metrics as sk
from torch.nn import functional

from benchkit import metrics as bm
from benchkit.api import Dataset
from benchkit.errors import BenchkitError
from benchkit.outputs.exports import make_format
from benchkit.outputs.exports.items import Item
from benchkit.plugin.registry import Registry
from benchkit.specs.spec import Spec
from benchkit.specs.training_config import TrainingConfig
from benchkit.stages.evaluate import _mean_mask
from benchkit.stages.pairs import Pairs, labels_of
from benchkit.stages.train import Train
from benchkit.training import augmentation
from benchkit.training import loop as training
from benchkit.training.augmentation import IGNORED
from benchkit.training.ddp import Team
from benchkit.training.losses import losses, shared_losses


def case(seed, fraction=0.3, images=4, side=9):
    """Scores, labels and ignored pixels, (N, H, W) each; the last image is ignored as a whole."""
    rng = np.random.default_rng(seed)
    ignored = rng.random((images, side, side)) < fraction
    ignored[-1] = True
    labels = (rng.random(ignored.shape) < 0.3) & ~ignored
    labels[0] = False
    return rng.random(ignored.shape).astype(np.float32), labels, ignored


def test_counts_by_hand():
    scores = np.array([[[0.9, 0.8, 0.7], [0.5, 0.1, 0.2]]])
    labels = np.array([[[1, 0, 0], [1, 1, 0]]], bool)
    ignored = np.array([[[0, 0, 1], [0, 0, 1]]], bool)
    m = bm.measure(scores, labels, ignored=ignored)
    assert m.table[["tp", "fp", "fn", "tn"]].to_numpy().tolist() == [[2, 1, 1, 0]]
    assert_array_equal(m.histograms.sum(2), [[1, 3]])
    got = bm.summarise(m)
    assert got["artifact_iou"] == pytest.approx(2 / 4)
    assert got["average_precision"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)  # 0.9 hit, 0.8 miss, 0.5 hit, 0.1 hit


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.6]))
def test_every_pooled_figure_is_that_of_the_remaining_pixels(seed, share):
    scores, labels, ignored = case(seed, share)
    got, kept = bm.summarise(bm.measure(scores, labels, ignored=ignored)), ~ignored
    y, s = labels[kept], scores[kept].astype(float)
    if y.any():
        assert got["average_precision"] == pytest.approx(sk.average_precision_score(y, s))
        assert got["auroc"] == pytest.approx(sk.roc_auc_score(y, s))
        assert got["artifact_iou"] == pytest.approx(sk.jaccard_score(y, s >= 0.5))
        assert got["f1"] == pytest.approx(sk.f1_score(y, s >= 0.5))
    images = [i for i in range(len(scores)) if kept[i].any()]
    clean = [(scores[i] >= 0.5)[kept[i]].mean() for i in images if not labels[i].any()]
    assert got["false_positive_area"] == pytest.approx(np.mean(clean))


def test_heat_map_measures_see_the_remaining_pixels_alone():
    scores, labels, ignored = case(3)
    table = bm.measure(scores, labels, ignored=ignored).table
    for i in (1, 2):
        p, q = scores[i][~ignored[i]].astype(float), labels[i][~ignored[i]]
        assert table.cc[i] == pytest.approx(stats.pearsonr(p, q).statistic)
        assert table.kld[i] == pytest.approx(stats.entropy(q / q.sum(), p / p.sum()), abs=1e-9)
        assert table.sim[i] == pytest.approx(np.minimum(p / p.sum(), q / q.sum()).sum())
        assert table.nss[i] == pytest.approx(stats.zscore(p)[q].mean())
    assert table.loc[3, ["cc", "kld", "sim", "nss"]].isna().all()


def test_an_image_that_is_ignored_as_a_whole_is_neither_clean_nor_marked():
    scores, labels, ignored = case(4)
    coverage = bm.coverage(bm.measure(scores, labels, ignored=ignored))
    assert (coverage["images"], coverage["artifact_images"], coverage["clean_images"]) == (4, 2, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_scores_and_labels_inside_ignored_pixels_change_no_figure(seed):
    scores, labels, ignored = case(seed)
    kinds = [{"eyes": mask} for mask in np.random.default_rng(seed).random(labels.shape) < 0.5]
    density = np.random.default_rng(seed + 1).random(labels.shape)
    m = bm.measure(scores, labels, kinds, density, ignored=ignored, threshold=0.3)
    flipped = np.where(ignored, 1 - scores, scores)
    other = bm.measure(flipped, labels | ignored, kinds, np.where(ignored, 7, density), ignored=ignored, threshold=0.3)
    assert_array_equal(m.edges, other.edges)
    for name, array in m.arrays().items():
        assert_array_equal(array, other.arrays()[name], err_msg=name)
    assert bm.by_kind(m).keys() == bm.by_kind(other).keys()


def test_regions_are_those_of_the_remaining_artifact_pixels():
    labels, ignored = np.zeros((2, 1, 5, 5), bool)
    labels[0, 2] = True
    ignored[0, 2, 2] = True
    assert bm.measure(np.zeros((1, 5, 5)), labels, ignored=ignored).regions.sum() == pytest.approx(2)


def test_no_ignored_pixel_is_the_same_as_none_given():
    scores, labels, _ = case(5)
    plain, none = bm.measure(scores, labels), bm.measure(scores, labels, ignored=np.zeros_like(labels))
    for name, array in plain.arrays().items():
        assert_array_equal(array, none.arrays()[name], err_msg=name)


def test_labels_and_prevalence_leave_ignored_pixels_out():
    masks = np.array([[[1, 0], [0, 0]], [[0, 0], [1, 0]]], bool)
    assert labels_of({"masks": masks}) is masks
    assert Pairs(np.zeros(()), masks).prevalence == 0.25
    ignored = np.array([[[0, 1], [1, 0]], [[0, 0], [0, 1]]], bool)
    labels = labels_of({"masks": masks, "ignored": ignored})
    assert labels.dtype == np.uint8
    assert np.stack(list(labels)).tolist() == [[[1, 255], [255, 0]], [[0, 0], [1, 255]]]
    assert Pairs(np.zeros(()), labels).prevalence == pytest.approx(2 / 5)
    with pytest.raises(BenchkitError, match="every pixel of the training images is ignored"):
        _ = Pairs(np.zeros(()), np.full((1, 2, 2), IGNORED, np.uint8)).prevalence


def test_labelled_images_without_an_artifact_are_refused_before_a_training():
    pairs = SimpleNamespace(load=lambda _: Pairs(np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 8, 8), bool)))
    stage = Train(pairs, Spec.of("detector", "dot"), "1", CONFIG, 0)
    with pytest.raises(BenchkitError, match="none of the 3 training images shows an artifact; name labelled images"):
        stage.run(None)


def test_the_mean_mask_is_that_of_the_images_where_a_pixel_counts():
    masks = np.array([[[1, 0]], [[0, 0]], [[1, 0]]], bool)
    ignored = np.array([[[0, 1]], [[1, 1]], [[0, 1]]], bool)
    assert _mean_mask([{"masks": masks}]).tolist() == [[pytest.approx(2 / 3), 0]]
    # The first pixel counts in two images and is marked in both; the second counts nowhere: the prevalence, 2 of 2.
    assert _mean_mask([{"masks": masks[:1], "ignored": ignored[:1]}, {"masks": masks[1:]}]).shape == (1, 2)
    assert _mean_mask([{"masks": masks, "ignored": ignored}]).tolist() == [[1, 1]]


LOGITS = torch.tensor([[[[2.0, -1.0, 5.0]], [[0.0, 1.0, -5.0]]]])


@pytest.mark.parametrize("weights", [None, (1.0, 3.0)])
def test_the_loss_is_torch_s_over_the_remaining_pixels(weights):
    labels = np.array([[[0, 1, IGNORED]]])
    logits = LOGITS.clone().requires_grad_()
    config = TrainingConfig(1, class_weights=weights)
    heads = losses([logits, logits * 2], labels, config, 2)
    kept, target = LOGITS[..., :2], torch.tensor([[[0, 1]]])
    weight = None if weights is None else torch.tensor(weights)
    for loss, factor in zip(heads, (1, 2), strict=True):
        assert loss.item() == pytest.approx(functional.cross_entropy(kept * factor, target, weight=weight).item())
    sum(heads).backward()
    assert logits.grad[..., 2].abs().max() == 0
    assert logits.grad[..., :2].abs().min() > 0


def test_a_batch_that_is_ignored_as_a_whole_has_loss_zero_and_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    (loss,) = losses(logits, np.full((1, 1, 3), IGNORED), TrainingConfig(1), 2)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().max() == 0


def test_processes_that_share_a_batch_have_its_loss_also_where_one_sees_ignored_pixels_alone():
    labels = np.array([[[IGNORED, IGNORED]], [[1, IGNORED]], [[0, 1]]])
    logits = torch.tensor(np.random.default_rng(0).normal(size=(3, 2, 1, 2)))
    config = TrainingConfig(1, class_weights=(1.0, 2.0))
    (whole,) = losses(logits, labels, config, 2)
    teams = [Team(rank, 3) for rank in range(3)]
    shares = [shared_losses(logits[t.share(3)], labels, config, 2, t)[0].item() for t in teams]
    assert shares[0] == 0
    assert np.mean(shares) == pytest.approx(whole.item())
    nothing = np.full_like(labels, IGNORED)
    assert shared_losses(logits[:1], nothing, config, 2, teams[0])[0].item() == 0


class Pixelwise(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return self.head(x)


def trained(labels, config, images=None):
    torch.manual_seed(0)
    network = Pixelwise()
    images = np.random.default_rng(0).integers(0, 255, (*labels.shape, 3), np.uint8) if images is None else images
    history = training.train(network, images, labels, config, 0)
    return [p.detach().clone() for p in network.parameters()], history


CONFIG = TrainingConfig(iterations=4, batch=2, lr=0.01, crop=8, resize=(0.5, 2.0), flip=True, photometric=False)


def test_what_an_ignored_pixel_shows_does_not_train():
    rng = np.random.default_rng(1)
    labels = (rng.random((3, 8, 8)) < 0.3).astype(np.uint8)
    labels[:, 3:, 4:] = IGNORED
    images = rng.integers(0, 255, (3, 8, 8, 3), np.uint8)
    plain = replace(CONFIG, resize=None, crop=None)
    other = np.where((labels == IGNORED)[..., None], 255 - images, images).astype(np.uint8)
    first, second = trained(labels, plain, images)[0], trained(labels, plain, other)[0]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_crops_without_a_counted_pixel_train_on():
    labels = np.full((4, 8, 8), IGNORED, np.uint8)
    labels[0, :2, :2] = 1
    weights, history = trained(labels, replace(CONFIG, iterations=8))
    assert all(np.isfinite(one["loss"]) for one in history)
    assert min(one["loss"] for one in history) == 0 < max(one["loss"] for one in history)
    assert all(torch.isfinite(one).all() for one in weights)


def test_nothing_but_ignored_pixels_is_refused():
    with pytest.raises(BenchkitError, match="every pixel is ignored"):
        trained(np.full((2, 8, 8), IGNORED, np.uint8), CONFIG)


def test_no_crop_is_centred_on_an_ignored_pixel():
    mask = np.full((40, 40), IGNORED, np.uint8)
    mask[:20] = 0
    mask[5, 7] = 1
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows, columns = training.crop_window(mask, (5, 5), 1.0, rng)
        assert (rows.start, columns.start) == (3, 5)


def test_augmentation_keeps_ignored_pixels_ignored():
    labels = np.zeros((6, 6), np.uint8)
    labels[:3, :3], labels[3:, 3:] = IGNORED, 1
    _, grown = augmentation.resized(np.zeros((6, 6, 3), np.uint8), labels, 2)
    assert set(np.unique(grown)) == {0, 1, IGNORED}
    assert (grown[:6, :6] == IGNORED).all() and (grown == IGNORED).sum() == 36


@pytest.mark.parametrize(
    ("name", "option"), [("folder", {"ignore": 128}), ("mmseg", {"ignore": 255}), ("coco", {}), ("hf", {"ignore": 128})]
)
def test_exports_keep_ignored_pixels(name, option, tmp_path):
    rng = np.random.default_rng(0)
    ignored, masks = rng.random((2, 3, 64, 64)) < 0.3
    ignored[2] = False
    masks &= ~ignored
    images = rng.integers(0, 255, (3, 64, 64, 3), np.uint8)
    items = [
        Item(f"n{i}", f"n{i}", images[i], masks[i], None, "labelled", "pool", ignored[i] if i < 2 else None)
        for i in range(3)
    ]
    make_format(name).write(items, tmp_path, "train", {"title": "t", "run": "r", "begun": "b"})
    spec = Spec.of("dataset", "folder", root=str(tmp_path), size=64, autoencode=False, **option)
    read = Registry.load().make(spec, Dataset).read("train", range(3))
    for sample in read:
        i = int(sample.id[-1])
        assert_array_equal(sample.mask, masks[i])
        assert_array_equal(np.zeros((64, 64), bool) if sample.ignored is None else sample.ignored, ignored[i])


def test_the_mask_of_an_item_has_a_value_for_ignored_pixels():
    mask, ignored = np.array([[True, False, False]]), np.array([[False, True, False]])
    plain = Item("a", "a", np.zeros((1, 3, 3), np.uint8), mask, None, "labelled", "pool")
    assert (plain.values().tolist(), plain.annotated) == ([[255, 0, 0]], pytest.approx(1 / 3))
    some = replace(plain, ignored=ignored)
    assert (some.values().tolist(), some.values(1, 255).tolist(), some.annotated) == (
        [[255, 128, 0]],
        [[1, 255, 0]],
        0.5,
    )
