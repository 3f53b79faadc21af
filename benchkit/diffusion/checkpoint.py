"""Find the files of a checkpoint by its name, and check them; no network is loaded here.

Faults are reported in one line that names the file, before diffusers reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchkit.diffusion import hub, single_file
from benchkit.diffusion.families import write_config_folder
from benchkit.diffusion.options import ModelOptions, format_model, parse_model
from benchkit.diffusion.refusals import check_networks, check_pipeline, check_scheduler, explain_no_pipeline
from benchkit.errors import BenchkitError, UnknownNameError, describe_error, shortened
from benchkit.store.digests import compute_file_digest
from benchkit.system.fetching import may_download
from benchkit.system.paths import expand_path

_PARTS = ("unet", "vae", "text_encoder")
#: The supported pipelines, and the parts of each that have weights.
PIPELINES = {"StableDiffusionPipeline": _PARTS, "StableDiffusionXLPipeline": (*_PARTS, "text_encoder_2")}
EMBEDDED = Path(__file__).parent.parent / "assets" / "checkpoints"
#: The stem that diffusers and transformers give a part's weight files.
WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
#: Infixes of weight files, in the order in which they are tried for each part: none, or that of a precision.
VARIANTS = (None, "fp16", "bf16", "fp32")
#: Largest length of the name of a folder or repository.
LONGEST = 250


@dataclass(frozen=True)
class Checkpoint:
    """The files of a checkpoint: configs, tokenizers and weights.

    folder: in diffusers' layout. variants: part -> infix of its weight files, such as fp16, or None. file: one
    file with all weights; the folder then has only configs and tokenizers. revision: the commit of a repository.
    """

    folder: Path
    pipeline: str
    variants: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    file: Path | None = None
    revision: str | None = None

    @property
    def place(self) -> Path:
        """The path of the checkpoint in messages."""
        return self.file or self.folder

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that have weights."""
        return PIPELINES[self.pipeline]

    @property
    def is_xl(self) -> bool:
        """Whether it has SDXL's two text encoders and conditions on sizes."""
        return "text_encoder_2" in self.parts

    @property
    def identity(self) -> str:
        """sha256 of the used configs, tokenizers and weights, independent of their place.

        `_name_or_path` in a config, the place from which it was loaded, is skipped.
        """
        digest = hashlib.sha256()
        for path in self._files():
            digest.update(f"{path.relative_to(self.folder).as_posix()}\n{_digest_file(path)}\n".encode())
        if self.file is not None:
            digest.update(f"{compute_file_digest(self.file)}\n".encode())
        return digest.hexdigest()

    def make_absolute(self) -> Checkpoint:
        """Return the same files by absolute paths, which another working folder does not change."""
        return replace(self, folder=self.folder.absolute(), file=self.file and self.file.absolute())

    def list_states(self) -> list[tuple[Path, int, int]]:
        """Return size and time of change of every file, so that a replaced file is noticed without reading it."""
        files = self._files() if self.file is None else [*self._files(), self.file]
        return [(path, status.st_size, status.st_mtime_ns) for path in files if (status := path.stat())]

    def scheduler_config(self) -> dict[str, Any]:
        """Return the scheduler's config of the checkpoint; a loaded pipeline changes it."""
        return read_json(self.folder / "scheduler" / "scheduler_config.json", self.folder)

    def _files(self) -> list[Path]:
        found = [self.folder / "model_index.json", self.folder / "scheduler" / "scheduler_config.json"]
        for name in list_tokenizers(self.pipeline):
            found += [path for path in (self.folder / name).glob("*") if path.suffix in (".json", ".txt")]
        for part in self.parts:
            found.append(self.folder / part / "config.json")
            found += list_weight_files(self.folder, part, self.variants[part]) if part in self.variants else []
        return sorted(found)


def list_embedded() -> list[str]:
    """Return the names of the checkpoints that ship with benchkit."""
    return sorted(index.parent.name for index in EMBEDDED.glob("*/model_index.json"))


def list_tokenizers(pipeline: str) -> list[str]:
    """Return the folders of a pipeline's tokenizers, one per text encoder."""
    return [part.replace("text_encoder", "tokenizer") for part in PIPELINES[pipeline] if "text_encoder" in part]


@contextmanager
def _refusing_unreadable() -> Iterator[None]:
    """Raise BenchkitError for a file or folder of a checkpoint without read permission."""
    try:
        yield
    except PermissionError as error:
        raise BenchkitError(f"{error.filename}: permission denied: make it readable") from None


@_refusing_unreadable()
def find(name_or_path: str | Path) -> Checkpoint:
    """Find a checkpoint: an embedded one by name, a folder, a safetensors file, or a Hugging Face repository.

    A repository is `OWNER/NAME` or `OWNER/NAME@REVISION`, and is downloaded if necessary; a dry run downloads only its
    configs. Of the options after the name (`benchkit.diffusion.options`), only those for single files are used here.
    Raises BenchkitError that names place and remedy if it is not a usable Stable Diffusion checkpoint.
    """
    name, options = parse_model(name_or_path)
    file = expand_path(name)
    if os.path.isfile(file):  # noqa: PTH113  # pathlib's raises for a name that is too long
        return _find_in_file(file, options)
    if options.config or options.prediction:
        option = "config" if options.config else "prediction"
        raise BenchkitError(
            f"model '{shortened(str(name_or_path), 300)}': {option}= is for a checkpoint in one .safetensors file; "
            "a folder has its own configs"
        )
    folder, revision = _locate(name)
    planned = not may_download() and is_remote(name)
    pipeline = _check_configs(folder, planned)
    variants = {}
    for part in PIPELINES[pipeline]:
        variant = _find_variant(folder, part)
        files = list_weight_files(folder, part, variant)
        if not files and not planned:  # a repository that is not downloaded yet is planned with its configs
            raise _explain_no_weights(folder, part)
        for path in files:
            single_file.read_header(
                path, f"{folder} is half-downloaded: {path.relative_to(folder)}", "download it again"
            )
        variants[part] = variant
    return Checkpoint(folder, pipeline, variants, revision=revision)


def pin_revision(name_or_path: str, found: Checkpoint) -> str:
    """Return the text of a checkpoint with the commit that was found in place of a branch or a tag.

    So every worker loads what was planned, even if the branch has moved meanwhile.
    """
    if found.revision is None:
        return name_or_path
    name, _ = parse_model(name_or_path)
    return f"{name.partition('@')[0]}@{found.revision}{name_or_path[len(name) :]}"


def locate_again(name_or_path: str | Path, found: Checkpoint, options: ModelOptions) -> str:
    """Return the text that names the same checkpoint in every process and working folder, with these options.

    It has the commit of a repository, and an absolute path for a folder or a file.
    """
    name, _ = parse_model(name_or_path)
    if options.config and not is_remote(options.config):
        options = replace(options, config=str(_make_absolute(options.config)))
    if found.revision is not None:
        name = f"{name.partition('@')[0]}@{found.revision}"
    return format_model(str(_make_absolute(name)), options)


def _make_absolute(name: str) -> str | Path:
    """Return the absolute path of a local folder or file, and any other name unchanged."""
    return name if name in list_embedded() or is_remote(name) else expand_path(name).absolute()


def _find_in_file(path: Path, options: ModelOptions) -> Checkpoint:
    single_file.check_suffix(path)
    shapes, remarks = single_file.read_header(path, str(path), "get it again")
    if options.config:
        if options.prediction:
            raise BenchkitError(f"{path}: give config= or prediction=: the config's scheduler says what is predicted")
        folder, _ = _locate(options.config, configs_alone=True)
    else:
        folder = write_config_folder(*single_file.detect_family(path, shapes, remarks, options.prediction))
    pipeline = _check_configs(folder)
    configs = {part: read_json(folder / part / "config.json", folder) for part in PIPELINES[pipeline]}
    single_file.check_sizes(path, shapes, configs, folder)
    return Checkpoint(folder, pipeline, file=path)


def _check_configs(folder: Path, planned: bool = False) -> str:
    """Return the pipeline of a folder; raise BenchkitError if its configs or tokenizers cannot be used.

    planned: the tokenizers need not exist yet.
    """
    pipeline = check_pipeline(read_json(folder / "model_index.json", folder), folder)
    parts = PIPELINES[pipeline]
    for part in parts:
        if not (folder / part / "config.json").is_file():
            raise BenchkitError(f"{folder} is incomplete: {part}/config.json is missing; copy or download it again")
    for part in () if planned else list_tokenizers(pipeline):
        # transformers silently makes an empty tokenizer of an empty folder.
        if not _has_vocabulary(folder / part):
            raise BenchkitError(f"{folder} is incomplete: {part}/ has no vocabulary; copy or download it again")
    check_scheduler(read_json(folder / "scheduler" / "scheduler_config.json", folder), folder)
    check_networks({part: read_json(folder / part / "config.json", folder) for part in parts}, folder)
    return pipeline


def _has_vocabulary(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("tokenizer.json", "vocab.json"))


def _find_variant(folder: Path, part: str) -> str | None:
    """Return the first infix with which a part has weights, or None."""
    return next((variant for variant in VARIANTS if list_weight_files(folder, part, variant)), None)


def _explain_no_weights(folder: Path, part: str) -> BenchkitError:
    files = sorted(path.name for path in (folder / part).glob(f"{WEIGHTS[part]}*") if path.is_file())
    pickled = any(name.endswith(single_file.PICKLES) for name in files)
    found = f" (only {shortened(', '.join(files))})" if files else ""
    more = ", which is a pickle and never read" if pickled else ""
    return BenchkitError(
        f"{folder} has no safetensors weights in {part}/{found}{more}: download them, or convert them with diffusers: "
        "DiffusionPipeline.from_pretrained(FOLDER).save_pretrained(OTHER)"
    )


def is_remote(name: str | Path) -> bool:
    """Return whether a checkpoint's name is that of a repository, not of a local checkpoint."""
    return str(name) not in list_embedded() and not expand_path(name).exists()


def _locate(name_or_path: str | Path, configs_alone: bool = False) -> tuple[Path, str | None]:
    """Return the folder of a name, and the commit of a repository; configs_alone: without weights."""
    name = str(name_or_path)
    if not name.strip():
        raise BenchkitError("the model has no name: name an embedded checkpoint, a folder, a file or a repository")
    if name in list_embedded():
        return EMBEDDED / name, None
    folder = expand_path(name)
    if not os.path.exists(folder) and len(name) > LONGEST:  # noqa: PTH110
        raise BenchkitError(f"no checkpoint folder '{shortened(name)}': check the path")
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise explain_no_pipeline(folder)
        return folder, None
    if folder.exists():
        raise BenchkitError(f"{folder} is a file: name the folder of a checkpoint in diffusers' layout")
    if "://" in name:
        raise BenchkitError(
            f"'{shortened(name)}' is an address: name the repository, OWNER/NAME[@REVISION], or a local folder or file"
        )
    _check_no_revision(name)
    if repository := hub.parse_repository(name):
        found = _download(repository, configs_alone)
        return found.folder, found.commit or repository.revision
    if "/" in name or "\\" in name:
        raise BenchkitError(f"no checkpoint folder {folder}: check the path")
    raise UnknownNameError("checkpoint", name, list_embedded())


def _check_no_revision(name: str) -> None:
    """Raise BenchkitError for a revision of a folder or of an embedded checkpoint, which have none."""
    before, at, revision = name.rpartition("@")
    if at and (before in list_embedded() or (before and expand_path(before).exists())):
        raise BenchkitError(
            f"no checkpoint folder '{name}': '{before}' is local, and only a repository has revisions: remove "
            f"'@{revision}'"
        )


def _download(repository: hub.Repository, configs_alone: bool) -> hub.Snapshot:
    # The configs come first: they are small and decide whether the checkpoint can be used.
    wanted = ["model_index.json", "scheduler/*.json", *(f"{part}/config.json" for part in WEIGHTS)]
    found = hub.fetch(repository, wanted)
    if not (found.folder / "model_index.json").is_file():
        raise BenchkitError(f"repository '{repository}' is not a diffusers checkpoint: it has no model_index.json")
    pipeline = check_pipeline(read_json(found.folder / "model_index.json", found.folder), found.folder)
    same = hub.Repository(repository.id, found.commit or repository.revision)
    wanted += [f"{name}/*" for name in list_tokenizers(pipeline)]
    if configs_alone:
        return hub.fetch(same, wanted)
    for variant in VARIANTS if may_download() else ():
        if _is_complete(found.folder, pipeline):
            break
        patterns = [pattern for part in PIPELINES[pipeline] for pattern in _weight_patterns(part, variant)]
        found = hub.fetch(same, [*wanted, *patterns])
    return found


def _is_complete(folder: Path, pipeline: str) -> bool:
    """Return whether all parts of a snapshot have weights and all tokenizers a vocabulary."""
    try:
        weights = all(list_weight_files(folder, part, _find_variant(folder, part)) for part in PIPELINES[pipeline])
    except BenchkitError:  # some shards are not downloaded yet
        return False
    return weights and all(_has_vocabulary(folder / name) for name in list_tokenizers(pipeline))


def _weight_patterns(part: str, variant: str | None) -> list[str]:
    """Return patterns of weight files; repositories also have other precisions and formats of the same weights."""
    stem, infix = f"{part}/{WEIGHTS[part]}", f".{variant}" if variant else ""
    # Depending on the version of the library, shards have the infix before or after their number.
    shards = {f"{stem}{infix}-?????-*.safetensors", f"{stem}-*-of-?????{infix}.*"}
    return [f"{stem}{infix}.safetensors", f"{stem}.safetensors.index{infix}.json", *sorted(shards)]


def read_json(path: Path, folder: Path) -> dict[str, Any]:
    """Read a JSON object of the checkpoint in `folder`; raise BenchkitError if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        name = path.relative_to(folder)
        raise BenchkitError(f"{folder} is incomplete: {name} is missing; copy or download it again") from None
    except PermissionError:
        raise BenchkitError(f"{path}: permission denied: make it readable") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BenchkitError(f"{path} cannot be read as JSON ({describe_error(error)}): download it again") from error
    if not isinstance(content, dict):
        raise BenchkitError(f"{path} is not a JSON object: download it again")
    return content


def list_weight_files(folder: Path, part: str, variant: str | None) -> list[Path]:
    """Return the safetensors files of one part: one file, shards (by their index), or none.

    Raises BenchkitError if the index names a missing shard.
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


def _digest_file(path: Path) -> str:
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            content = None
        if isinstance(content, dict):
            content.pop("_name_or_path", None)
            return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return compute_file_digest(path)
