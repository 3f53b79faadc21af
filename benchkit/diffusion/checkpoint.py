"""From the name of a checkpoint to a folder that is known to hold one; no network is loaded here.

Everything that can be wrong with a folder is said here, in one line that names it, before diffusers sees it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit.errors import BenchkitError, UnknownNameError

PIPELINE = "StableDiffusionPipeline"
EMBEDDED = Path(__file__).parent.parent / "assets" / "checkpoints"
#: The parts that hold weights, with the stem diffusers and transformers give their files.
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """A folder in diffusers' layout. variant: the infix of its weight files, such as fp16, or None."""

    folder: Path
    variant: str | None

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
        found += [path for path in (self.folder / "tokenizer").glob("*") if path.suffix in (".json", ".txt")]
        for part in WEIGHTS:
            found += [self.folder / part / "config.json", *weight_files(self.folder, part, self.variant)]
        return sorted(found)


def embedded_names() -> list[str]:
    """The checkpoints that ship with benchkit."""
    return sorted(index.parent.name for index in EMBEDDED.glob("*/model_index.json"))


def find(name_or_path: str | Path) -> Checkpoint:
    """The checkpoint called so: an embedded one's name, a folder, or a Hugging Face repo id (downloaded if need be).

    Raises BenchkitError naming the folder and the remedy when it is no usable Stable Diffusion checkpoint.
    """
    folder = _locate(name_or_path)
    _check_pipeline(read_json(folder / "model_index.json", folder), folder)
    variant = next((v for v in (None, "fp16") if all(weight_files(folder, part, v) for part in WEIGHTS)), None)
    for part in WEIGHTS:
        if not (folder / part / "config.json").is_file():
            raise BenchkitError(f"{folder} is incomplete: {part}/config.json is missing; copy or download it again")
        files = weight_files(folder, part, variant)
        if not files:
            raise BenchkitError(f"{folder} has no safetensors weights in {part}/: download or convert them")
        for path in files:
            _check_safetensors(path, folder)
    # transformers makes an empty tokenizer of an empty folder, without a word.
    if not any((folder / "tokenizer" / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise BenchkitError(f"{folder} is incomplete: tokenizer/ holds no vocabulary; copy or download it again")
    return Checkpoint(folder, variant)


def _locate(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    if name in embedded_names():
        return EMBEDDED / name
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise BenchkitError(f"{folder} is no diffusers checkpoint: it has no model_index.json (save_pretrained)")
        return folder
    if folder.exists():
        raise BenchkitError(f"{folder} is a file: name the folder of a checkpoint in diffusers' layout")
    if _REPO_ID.fullmatch(name) and not name.startswith("."):
        return _download(name)
    if "/" in name or "\\" in name:
        raise BenchkitError(f"no checkpoint folder {folder}: check the path")
    raise UnknownNameError("checkpoint", name, embedded_names())


def _download(repo_id: str) -> Path:
    from huggingface_hub import snapshot_download

    # By name, because repositories also keep other precisions and formats of the same weights.
    wanted = ["model_index.json", "scheduler/*.json", "tokenizer/*"]
    for part, stem in WEIGHTS.items():
        wanted += [f"{part}/config.json", f"{part}/{stem}.safetensors"]
        wanted += [f"{part}/{stem}-*.safetensors", f"{part}/{stem}.safetensors.index.json"]
    try:
        folder = Path(snapshot_download(repo_id, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BenchkitError(
            f"cannot get checkpoint '{repo_id}', neither a folder here nor downloadable: {reason}"
        ) from error
    if not (folder / "model_index.json").is_file():
        raise BenchkitError(f"repository '{repo_id}' is no diffusers checkpoint: it has no model_index.json")
    return folder


def read_json(path: Path, folder: Path) -> dict[str, Any]:
    """A JSON object of the checkpoint in `folder`; raises BenchkitError when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        name = path.relative_to(folder)
        raise BenchkitError(f"{folder} is incomplete: {name} is missing; copy or download it again") from None
    except (OSError, ValueError) as error:
        raise BenchkitError(f"{path} cannot be read as JSON ({error}): download it again") from error
    if not isinstance(content, dict):
        raise BenchkitError(f"{path} holds no JSON object: download it again")
    return content


def _check_pipeline(index: dict[str, Any], folder: Path) -> None:
    def part(name: str) -> str:
        entry = index.get(name)
        return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 else str(entry)

    pipeline = str(index.get("_class_name"))
    if "FlowMatch" in part("scheduler"):
        raise BenchkitError(
            f"{folder} is a flow-matching model ({part('scheduler')}): none of the inverters is written for one; "
            "use a Stable Diffusion 1.x or 2.x checkpoint"
        )
    if pipeline != PIPELINE:
        known = "SDXL is not supported yet" if "XL" in pipeline else "it is not supported"
        raise BenchkitError(f"{folder} holds a {pipeline}: {known}; use a checkpoint of {PIPELINE} (SD 1.x, 2.x)")
    for name, wanted in {"vae": "AutoencoderKL", "unet": "UNet2DConditionModel"}.items():
        if part(name) != wanted:
            raise BenchkitError(f"{folder} has a {part(name)} as its {name}: only {wanted} is supported")


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
    shards = sorted({folder / part / str(name) for name in read_json(listing, folder).get("weight_map", {}).values()})
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
            end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
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
