"""From the name of a checkpoint to a folder that is known to hold one; no network is loaded here.

Everything that can be wrong with a folder is said here, in one line that names it, before diffusers sees it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.diffusion.options import parse_model
from benchkit.diffusion.refusals import check_networks, check_pipeline, check_scheduler, no_pipeline
from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.fetching import may_fetch
from benchkit.paths import expanded
from benchkit.specs import said, shortened

_PARTS = ("unet", "vae", "text_encoder")
#: The pipelines that can be used, and the parts of each that hold weights.
PIPELINES = {"StableDiffusionPipeline": _PARTS, "StableDiffusionXLPipeline": (*_PARTS, "text_encoder_2")}
EMBEDDED = Path(__file__).parent.parent / "assets" / "checkpoints"
#: The stem that diffusers and transformers give a part's weight files.
WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
#: The infixes of weight files that are looked for, in this order: none, or that of half-precision copies.
VARIANTS = (None, "fp16")
#: A longer name is no folder's and no repository's.
LONGEST = 250
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """A folder in diffusers' layout. variant: the infix of its weight files, such as fp16, or None."""

    folder: Path
    variant: str | None
    pipeline: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that hold weights."""
        return PIPELINES[self.pipeline]

    @property
    def is_xl(self) -> bool:
        """Whether it has SDXL's two text encoders, and is told sizes."""
        return "text_encoder_2" in self.parts

    @property
    def identity(self) -> str:
        """sha256 over the configs, tokenizer and weights that are used: the same wherever the folder lies.

        The place a config says it was loaded from (`_name_or_path`) is left out.
        """
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(f"{path.relative_to(self.folder).as_posix()}\n{_file_digest(path)}\n".encode())
        return digest.hexdigest()

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's config as the checkpoint states it: pipelines rewrite theirs while they load."""
        return read_json(self.folder / "scheduler" / "scheduler_config.json", self.folder)

    def _files(self) -> list[Path]:
        found = [self.folder / "model_index.json", self.folder / "scheduler" / "scheduler_config.json"]
        for name in tokenizers(self.pipeline):
            found += [path for path in (self.folder / name).glob("*") if path.suffix in (".json", ".txt")]
        for part in self.parts:
            found += [self.folder / part / "config.json", *weight_files(self.folder, part, self.variant)]
        return sorted(found)


def embedded_names() -> list[str]:
    """The checkpoints that ship with benchkit."""
    return sorted(index.parent.name for index in EMBEDDED.glob("*/model_index.json"))


def tokenizers(pipeline: str) -> list[str]:
    """The folders of a pipeline's tokenizers, one a text encoder."""
    return [part.replace("text_encoder", "tokenizer") for part in PIPELINES[pipeline] if "text_encoder" in part]


def find(name_or_path: str | Path) -> Checkpoint:
    """The checkpoint called so: an embedded one's name, a folder, or a Hugging Face repo id (downloaded if need be).

    Options behind the name (`benchkit.diffusion.options`) are none of this function's business. While a dry run plans,
    of a repository the configs alone are downloaded. Raises BenchkitError
    naming the folder and the remedy when it is no usable Stable Diffusion checkpoint.
    """
    name = parse_model(name_or_path)[0]
    folder = _locate(name)
    pipeline = check_pipeline(read_json(folder / "model_index.json", folder), folder)
    parts = PIPELINES[pipeline]
    planned = not may_fetch() and _is_elsewhere(name)
    for part in parts:
        if not (folder / part / "config.json").is_file():
            raise BenchkitError(f"{folder} is incomplete: {part}/config.json is missing; copy or download it again")
    variant = next((v for v in VARIANTS if all(weight_files(folder, part, v) for part in parts)), None)
    for part in parts:
        files = weight_files(folder, part, variant)
        if not files and planned:
            continue  # a repository that was not downloaded yet: its configs are all that planning needs
        if not files:
            raise BenchkitError(f"{folder} has no safetensors weights in {part}/: download or convert them")
        for path in files:
            _check_safetensors(path, folder)
    for part in () if planned else tokenizers(pipeline):
        # transformers makes an empty tokenizer of an empty folder, without a word.
        if not any((folder / part / file).is_file() for file in ("tokenizer.json", "vocab.json")):
            raise BenchkitError(f"{folder} is incomplete: {part}/ holds no vocabulary; copy or download it again")
    found = Checkpoint(folder, variant, pipeline)
    check_scheduler(found.scheduler_config(), folder)
    check_networks({part: read_json(folder / part / "config.json", folder) for part in parts}, folder)
    return found


def _is_elsewhere(name: str | Path) -> bool:
    """Whether a checkpoint's name is that of a repository rather than of something here."""
    return str(name) not in embedded_names() and not expanded(name).exists()


def _locate(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    if name in embedded_names():
        return EMBEDDED / name
    folder = expanded(name)
    if not os.path.exists(folder) and len(name) > LONGEST:  # noqa: PTH110
        raise BenchkitError(f"no checkpoint folder '{shortened(name)}': check the path")
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise no_pipeline(folder)
        return folder
    if folder.exists():
        raise BenchkitError(f"{folder} is a file: name the folder of a checkpoint in diffusers' layout")
    if _REPO_ID.fullmatch(name) and not name.startswith("."):
        return _download(name)
    if "/" in name or "\\" in name:
        raise BenchkitError(f"no checkpoint folder {folder}: check the path")
    raise UnknownNameError("checkpoint", name, embedded_names())


def _download(repo_id: str) -> Path:
    # What decides whether it can be used comes first: it is small, and the weights are gigabytes.
    folder = _fetched(repo_id, ["model_index.json", "scheduler/*.json", *(f"{part}/config.json" for part in WEIGHTS)])
    if not (folder / "model_index.json").is_file():
        raise BenchkitError(f"repository '{repo_id}' is no diffusers checkpoint: it has no model_index.json")
    pipeline = check_pipeline(read_json(folder / "model_index.json", folder), folder)
    for variant in VARIANTS if may_fetch() else ():
        # By name, because repositories also keep other precisions and formats of the same weights.
        wanted = ["model_index.json", "scheduler/*.json", *(f"{name}/*" for name in tokenizers(pipeline))]
        infix = f".{variant}" if variant else ""
        for part in PIPELINES[pipeline]:
            stem = f"{part}/{WEIGHTS[part]}"
            # Shards have their infix before or behind their number, as the library's age will have it.
            weights = {
                f"{stem}{infix}.safetensors",
                f"{stem}{infix}-?????-*.safetensors",
                f"{stem}-*-of-?????{infix}.*",
            }
            wanted += [f"{part}/config.json", f"{stem}.safetensors.index{infix}.json", *sorted(weights)]
        folder = _fetched(repo_id, wanted)
        if all(weight_files(folder, part, variant) for part in PIPELINES[pipeline]):
            break
    return folder


def _fetched(repo_id: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BenchkitError(
            f"cannot get checkpoint '{repo_id}', neither a folder here nor downloadable: {reason}"
        ) from error


def read_json(path: Path, folder: Path) -> dict[str, Any]:
    """A JSON object of the checkpoint in `folder`; raises BenchkitError when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        name = path.relative_to(folder)
        raise BenchkitError(f"{folder} is incomplete: {name} is missing; copy or download it again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BenchkitError(f"{path} cannot be read as JSON ({said(error)}): download it again") from error
    if not isinstance(content, dict):
        raise BenchkitError(f"{path} holds no JSON object: download it again")
    return content


def weight_files(folder: Path, part: str, variant: str | None) -> list[Path]:
    """The safetensors files of one part, in one piece or in shards (with their index), or none.

    Raises BenchkitError when the index names a shard that is not there.
    """
    infix = f".{variant}" if variant else ""
    whole = folder / part / f"{WEIGHTS[part]}{infix}.safetensors"
    if whole.is_file():
        return [whole]
    listing = folder / part / f"{WEIGHTS[part]}.safetensors.index{infix}.json"
    if not listing.is_file():
        return []
    weight_map = read_json(listing, folder).get("weight_map")
    if not isinstance(weight_map, dict):
        raise BenchkitError(f"{listing} has no weight_map: download it again")
    names = sorted(map(str, weight_map.values()))
    if outside := [name for name in names if Path(name).name != name or "\\" in name or name in (".", "..")]:
        raise BenchkitError(f"{listing} names '{shortened(outside[0])}', outside of its folder: download it again")
    shards = [folder / part / name for name in dict.fromkeys(names)]
    for shard in shards:
        if not shard.is_file():
            raise BenchkitError(f"{folder} is half-downloaded: {part}/{shard.name} is missing; download it again")
    return shards


def _check_safetensors(path: Path, folder: Path) -> None:
    """A safetensors file states its own length: 8 bytes, a JSON header of that many bytes, then the tensors."""
    where = f"{folder} is half-downloaded: {path.relative_to(folder)}"
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or 8 + length > size:
            raise BenchkitError(f"{where} is no complete safetensors file ({size} bytes); download it again")
        try:
            header = json.loads(file.read(length))
            end = max(
                (int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"), default=0
            )
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise BenchkitError(f"{where} has a damaged header; download it again") from error
    if size != 8 + length + end:
        raise BenchkitError(f"{where} has {size} of {8 + length + end} bytes; download it again")


def _file_digest(path: Path) -> str:
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if isinstance(content, dict):
            content.pop("_name_or_path", None)
            return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
