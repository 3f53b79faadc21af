"""The paper's tables at the paper's sizes, on data of the published formats and random weights: is every path there?

    python recipes/rehearse.py FOLDER [--scale 0.001] [--device cuda] [--size 512] [--tables table1,table4]

writes sets in the formats of RichHF-18k and the DALL-E 3 set, prepares them, saves a random checkpoint of SD 1.5's
classes and size (2.2 GB in half precision), and runs `benchkit compare TABLE` at 512 x 512 with Swin-T and ConvNeXt-T.
Its boards, FOLDER/runs/TABLE, rehearse the machinery and are no result. Wants a GPU, or patience and `--device cpu
--size 128 --scale 0.0001`; goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchkit.cli.main import main

TABLES = ("table1", "table2", "table2-equal-steps", "table3", "table4")
DETECTORS = ("--detector", "upernet-convnext:size=tiny", "--detector", "upernet-swin:size=tiny")


def done(*arguments: str) -> None:
    """One command of benchkit's, which has to succeed."""
    if code := main(list(arguments)):
        raise SystemExit(f"benchkit {' '.join(arguments)}: exit code {code}")


def prepared(folder: Path, device: str) -> Path:
    """The sets and the checkpoint in the folder, made where they lack; the checkpoint's place."""
    import torch

    from recipes.paper_data import full_sd15, write_dalle3, write_richhf

    sets, model = folder / "sets", folder / "sd15"
    if not (sets / "dalle3-hq").exists():
        records, images = write_richhf(folder)
        written = ("--records", str(records), "--images", str(images), "--out", str(sets / "richhf-18k"))
        done("data", "prepare", "richhf-18k", *written)
        shards = ("--shards", str(write_dalle3(folder)), "--count", "16", "--out", str(sets / "dalle3-hq"))
        done("data", "prepare", "dalle3-hq", *shards)
    if not (model / "model_index.json").exists():
        with torch.device(device):
            pipeline = full_sd15()
        pipeline.to("cpu", torch.float16).save_pretrained(model)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", default="0.001")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--tables", default=",".join(TABLES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ["BENCHKIT_DATA"] = str(options.folder / "sets")
    os.environ["BENCHKIT_CACHE"] = str(options.folder / "cache")
    checkpoint = prepared(options.folder, options.device)
    budget = ("--seeds", "0", "--scale", options.scale, "--device", options.device)
    precision = "float32" if options.device == "cpu" else "float16"
    for table in options.tables.split(","):
        began, out = time.monotonic(), options.folder / "runs" / table
        source = "sources.0.dataset" if table in ("table1", "table3") else "source.dataset"
        data = ("--dataset", f"richhf-18k:size={options.size}", "--set", f"{source}=dalle3-hq:size={options.size}")
        model = ("--model", f"{checkpoint}:dtype={precision}")
        done("compare", table, *data, *model, *DETECTORS, *budget, "--out", str(out))
        print(f"{table}: {time.monotonic() - began:.0f} s", flush=True)
