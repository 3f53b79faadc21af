"""Checkpoints and trained detectors that are damaged, foreign or hostile."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.bad_world import (
    PLUGINS,
    Arguments,
    Bad,
    World,
    bad,
    compared,
    deep,
    edited,
    encoded,
    grey,
    noise,
)

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def model(change: Callable[[Path], object]) -> Arguments:
    def arguments(w: World) -> tuple[object, ...]:
        image, mask = w.file("a.png", encoded(noise())), w.file("m.png", encoded(grey(255)))
        usual = ("--out", w.folder / "o.png", "--device", "cpu", "--corruptor", "none:steps=1")
        return ("corrupt", image, "--mask", mask, "--model", w.model(change), *usual)

    return arguments


def config(file: str, **changes: Any) -> Arguments:
    return model(lambda r: edited(r / file, lambda c: c.update(changes)))


def header(content: object, body: bytes = b"") -> Callable[[Path], object]:
    """A safetensors file of this header."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda r: (r / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + body)


def sharded(weight_map: object) -> Arguments:
    def change(root: Path) -> None:
        (root / WEIGHTS).rename(root / "unet" / "kept.safetensors")
        (root / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return model(change)


CARD: dict[str, Any] = {
    "schema": 1,
    "detector": {"name": "dot", "params": {}, "identity": "0" * 64},
    "sha256": hashlib.sha256(b"x").hexdigest(),
    "threshold": 0.5,
}


def detector(card: object, weights: bytes = b"x") -> Arguments:
    def arguments(w: World) -> tuple[object, ...]:
        w.file("d/card.json", card if isinstance(card, str) else json.dumps(card))
        w.file("d/model.safetensors", weights)
        image = w.file("a.png", encoded(noise()))
        return ("detect", w.folder / "d", image, "--out", w.out, "--device", "cpu", "--plugin", PLUGINS)

    return arguments


def of(**changes: Any) -> dict[str, Any]:
    return {**CARD, "detector": {**CARD["detector"], **changes}}


CASES: dict[str, Bad] = {
    "index nested too deep": bad(
        model(lambda r: (r / "model_index.json").write_text(deep())), "model_index.json", "download it again"
    ),
    "index that is a list": bad(model(lambda r: (r / "model_index.json").write_text("[]")), "not a JSON object"),
    "index with a class of its own": bad(
        config("model_index.json", unet=["evil_module", "Evil"]), "Evil", "only UNet2DConditionModel"
    ),
    "weights with a header of exabytes": bad(
        model(lambda r: (r / WEIGHTS).write_bytes(b"\xff" * 8 + bytes(100))), "not a complete safetensors file"
    ),
    "header that is a list": bad(model(header([])), "damaged header"),
    "header nested too deep": bad(model(header(deep().encode())), "damaged header"),
    "header of text offsets": bad(model(header({"a": {"data_offsets": ["0", "x"]}})), "damaged header"),
    "header of negative offsets": bad(
        model(header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}})), "unet", "cannot be loaded"
    ),
    "weights of another network": bad(
        model(header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))), "model"
    ),
    "shards outside of the folder": bad(sharded({"a": "../../../secret.safetensors"}), "index.json", "outside"),
    "shards at the root": bad(sharded({"a": "/etc/passwd"}), "index.json", "outside"),
    "shards as a list": bad(sharded(["x"]), "index.json", "download it again"),
    "config that is no JSON": bad(model(lambda r: (r / "unet/config.json").write_text("\xff")), "unet/config.json"),
    "config of a text width": bad(config("text_encoder/config.json", hidden_size="wide"), "text_encoder/config.json"),
    "config of a list as width": bad(config("unet/config.json", cross_attention_dim=[[8]]), "cross_attention_dim"),
    "config of a negative width": bad(config("unet/config.json", block_out_channels=[-8, 8]), "block_out_channels"),
    "scheduler of text": bad(config("scheduler/scheduler_config.json", num_train_timesteps="many"), "scheduler"),
    "scheduler of no steps": bad(config("scheduler/scheduler_config.json", num_train_timesteps=0), "scheduler"),
    "scheduler of trillions of steps": bad(
        config("scheduler/scheduler_config.json", num_train_timesteps=10**13), "num_train_timesteps"
    ),
    "scheduler with nan": bad(config("scheduler/scheduler_config.json", beta_start=float("nan")), "scheduler"),
    "a folder of nothing": bad(lambda w: compared("--model", w.out.parent)(w), "is not a diffusers checkpoint"),
    "tokenizer that is no JSON": bad(model(lambda r: [
        p.write_text("{") for p in (r / "tokenizer").glob("*.json")]), "model"),
    "detector: nested too deep": bad(detector(deep()), "card.json"),
    "detector: a list for a name": bad(detector(of(name=["dot"])), "card.json", "not the card"),
    "detector: a number for an identity": bad(detector(of(identity=3)), "card.json", "not the card"),
    "detector: parameters that are a list": bad(detector(of(params=[1])), "card.json", "not the card"),
    "detector: a parameter that is a list": bad(detector(of(params={"a": [1]})), "card.json", "not the card"),
    "detector: a parameter called kind": bad(detector(of(params={"kind": 1})), "'kind'"),
    "detector: a threshold of text": bad(detector({**CARD, "threshold": "half"}), "card.json", "not the card"),
    "detector: a threshold of nan": bad(detector({**CARD, "threshold": float("nan")}), "card.json", "not the card"),
    "detector: a digest that is a list": bad(detector({**CARD, "sha256": [1]}), "card.json", "not the card"),
    "detector: weights that are a pickle": bad(detector(CARD), "model.safetensors"),
}  # fmt: skip
