"""Where checkpoints are: revisions of repositories, parts in different precisions, odd names. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchkit.diffusion import checkpoint
from benchkit.diffusion.backend import DiffusionBackend
from benchkit.diffusion.hub import Repository, parse_repository
from benchkit.diffusion.options import ModelOptions, parse_model
from benchkit.errors import BenchkitError

OLD, NEW = "a" * 40, "b" * 40


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


@pytest.fixture
def hub(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with two commits of one repository: `main` is the new one, the tag `v1` the old one."""
    from huggingface_hub import constants

    home = tmp_path / "hub"
    root = home / "models--owner--tiny"
    for commit, prediction in ((OLD, "epsilon"), (NEW, "v_prediction")):
        shutil.copytree(tiny_checkpoint, root / "snapshots" / commit)
        edit(root / "snapshots" / commit / "scheduler/scheduler_config.json", prediction_type=prediction)
    (root / "refs").mkdir()
    (root / "refs/main").write_text(NEW)
    (root / "refs/v1").write_text(OLD)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return root


@pytest.mark.parametrize(
    ("name", "commit"),
    [("owner/tiny", NEW), ("owner/tiny@main", NEW), ("owner/tiny@v1", OLD), (f"owner/tiny@{OLD}", OLD)],
)
def test_a_revision_is_the_one_asked_for(hub: Path, name: str, commit: str) -> None:
    found = checkpoint.find(name)
    assert found.folder == hub / "snapshots" / commit
    assert found.revision == commit
    backend = DiffusionBackend.load(f"{name}:dtype=bf16", steps=10)
    assert backend.schedule.prediction == ("v_prediction" if commit == NEW else "epsilon")
    assert backend.identity == found.identity


def test_a_plan_names_the_commit(hub: Path) -> None:
    """What is planned is loaded and recorded, also where the branch moves meanwhile."""
    from benchkit.config.grid import load_grid
    from benchkit.runs.run import find_model

    for text, commit in (("owner/tiny", NEW), ("owner/tiny@v1", OLD), ("owner/tiny@v1:dtype=bf16,vae=tiled", OLD)):
        model = find_model(load_grid("quick").replaced(model=text))
        assert model.location == f"owner/tiny@{commit}{text.removeprefix('owner/tiny').removeprefix('@v1')}"
        assert model.identity == checkpoint.find(text).identity
        assert checkpoint.find(model.location).revision == commit


def test_a_checkpoint_that_was_changed_since_the_plan_is_not_used(copy: Path, tmp_path: Path) -> None:
    from benchkit.plugin.registry import Registry
    from benchkit.stages.base import Env, Model
    from benchkit.store.artifacts import ArtifactStore

    model = Model.of(str(copy), checkpoint.find(copy).identity, 10)
    edit(copy / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    with pytest.raises(BenchkitError, match=r"is another one than when the run was planned .*run the command again"):
        Env(Registry(), ArtifactStore(tmp_path / "cache")).backend(model)


def test_a_command_takes_a_revision_from_the_hubs_cache(hub: Path) -> None:
    """In a process of its own, where the hub reads its own variables."""
    code = "import sys; from benchkit.diffusion import checkpoint as c; print(c.find(sys.argv[1]).revision)"
    environment = {**os.environ, "HF_HUB_CACHE": str(hub.parent), "HF_HUB_OFFLINE": "1"}
    run = [sys.executable, "-c", code, "owner/tiny@v1"]
    assert subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.strip() == OLD


def test_a_revision_that_is_nowhere_is_named(hub: Path) -> None:
    with pytest.raises(BenchkitError, match="cannot get checkpoint 'owner/tiny@v2'") as caught:
        checkpoint.find("owner/tiny@v2")
    assert "\n" not in str(caught.value)


def test_a_folder_has_no_revisions(copy: Path) -> None:
    for name in (f"{copy}@main", "portraits@main"):
        with pytest.raises(BenchkitError, match=r"only a repository has revisions: remove '@main'"):
            checkpoint.find(name)
    named = copy.rename(copy.parent / "tiny@v1")
    assert checkpoint.find(named).folder == named
    assert checkpoint.find(named).revision is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("owner/name", Repository("owner/name")),
        ("owner/name@refs/pr/3", Repository("owner/name", "refs/pr/3")),
        ("Own-er_1/na.me-2@v1.0", Repository("Own-er_1/na.me-2", "v1.0")),
        ("owner/name@", None),
        ("owner/name@a@b", None),
        ("./name", None),
        ("/owner/name", None),
        ("a/b/c", None),
        ("name", None),
    ],
)
def test_what_is_a_repository(text: str, wanted: Repository | None) -> None:
    assert parse_repository(text) == wanted


@pytest.mark.parametrize("name", ["a b", "a:b", "a@b", "a,b=c", "ä (1)", "a:dtype=fp16", "#1", "2024"])
def test_a_folder_of_any_name_is_found_with_and_without_options(
    copy: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy.rename(copy.parent / name)
    monkeypatch.chdir(folder.parent)
    for written in (str(folder), name):
        assert checkpoint.find(written).folder.resolve() == folder
        assert parse_model(f"{written}:vae=tiled") == (written, ModelOptions(vae="tiled"))


@pytest.mark.parametrize("name", ["", "  ", ":dtype=fp16"])
def test_a_blank_name_is_no_folder(name: str) -> None:
    with pytest.raises(BenchkitError, match=r"has no name|unknown checkpoint|no checkpoint"):
        checkpoint.find(name)


def test_an_address_is_no_name() -> None:
    with pytest.raises(BenchkitError, match="is an address: name the repository, OWNER/NAME"):
        checkpoint.find("https://example.org/owner/name")


def half(folder: Path, part: str) -> None:
    """Replace a part's weights by half-precision ones, named as such."""
    stem = folder / part / checkpoint.WEIGHTS[part]
    weights = load_file(stem.with_suffix(".safetensors"))
    save_file({k: v.half() for k, v in weights.items()}, stem.with_suffix(".fp16.safetensors"), {"format": "pt"})
    stem.with_suffix(".safetensors").unlink()


def test_each_part_is_read_in_the_precision_that_is_there(copy: Path, tiny_checkpoint: Path) -> None:
    before = checkpoint.find(copy).identity
    half(copy, "unet")
    found = checkpoint.find(copy)
    assert found.variants == {"unet": "fp16", "vae": None, "text_encoder": None}
    assert found.identity != before
    mixed, whole = DiffusionBackend.load(copy), DiffusionBackend.load(tiny_checkpoint)
    for part in found.parts:
        ours, theirs = (getattr(one._pipeline, part).state_dict() for one in (mixed, whole))
        for name, value in theirs.items():
            expected = value.half().float() if part == "unet" and value.is_floating_point() else value
            assert torch.equal(ours[name], expected), (part, name)


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_beside_whole_files_are_read(copy: Path, variant: str | None) -> None:
    whole = DiffusionBackend.load(copy)
    (copy / "unet/diffusion_pytorch_model.safetensors").unlink()
    whole._unet.save_pretrained(copy / "unet", max_shard_size="20KB", variant=variant)
    assert len(list((copy / "unet").glob("*.safetensors"))) > 1
    found = checkpoint.find(copy)
    assert found.variants == {"unet": variant, "vae": None, "text_encoder": None}
    weights = DiffusionBackend.load(copy)._unet.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in whole._unet.state_dict().items())


def test_whole_files_win_over_half_precision_copies(copy: Path) -> None:
    path = copy / "unet/diffusion_pytorch_model.safetensors"
    shutil.copy(path, path.with_suffix(".fp16.safetensors"))
    assert checkpoint.find(copy).variants["unet"] is None


def test_weights_that_are_pickles_alone_are_named(copy: Path) -> None:
    path = copy / "unet/diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))
    words = r"no safetensors weights in unet/ \(only diffusion_pytorch_model.bin\), which is a pickle.*convert them"
    with pytest.raises(BenchkitError, match=words):
        checkpoint.find(copy)
