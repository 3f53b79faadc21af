"""Options of a checkpoint, written after its name: `NAME:dtype=float16,vae=tiled,offload=true`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.specs.grammar import Scalar
from benchkit.specs.spec import Spec
from benchkit.system.paths import expand_path

#: Accepted name -> torch's name.
DTYPES = {
    **{name: name for name in ("float32", "float16", "bfloat16")},
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
}
VAES = ("whole", "sliced", "tiled")
PREDICTIONS = ("", "epsilon", "v_prediction")
_OPTIONS = re.compile(r":(?=\s*\w+\s*=)")


@dataclass(frozen=True)
class ModelOptions:
    """Options of a checkpoint.

    dtype: of the networks. vae: processes a batch whole, image by image, or image by image in overlapping tiles.
    offload: keep only the network in use in the GPU's memory; this changes no result. config, prediction: for a
    checkpoint in one file: a folder or repository with its configs and tokenizers, or what its denoiser predicts. Both
    are part of a checkpoint's identity.
    """

    dtype: str = "float32"
    vae: str = "whole"
    offload: bool = False
    config: str = ""
    prediction: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES.values():
            raise BenchkitError(f"dtype={self.dtype}: choose float32, float16 or bfloat16 (fp32, fp16, bf16)")
        if self.vae not in VAES:
            raise BenchkitError(f"vae={self.vae}: choose {', '.join(VAES)}")
        if not isinstance(self.offload, bool):
            raise BenchkitError(f"offload={self.offload}: choose true or false")
        if self.prediction not in PREDICTIONS:
            raise BenchkitError(f"prediction={self.prediction}: choose {' or '.join(PREDICTIONS[1:])}")


def parse_model(text: str | Path) -> tuple[str, ModelOptions]:
    """Return the name, folder or repository id in a model's text, and its options.

    If a folder or file of the whole text exists, there are no options; otherwise the longest existing path is the
    name. Raises BenchkitError for unknown options and values.
    """
    plain = str(text)
    name, options = _split(plain)
    if not options:
        return plain, ModelOptions()
    values: dict[str, Scalar] = Spec.parse("model", f"options:{options}").values
    known = [f.name for f in fields(ModelOptions)]
    for key in values:
        if key not in known:
            raise BenchkitError(f"model '{plain}': {UnknownNameError('option', key, known)}")
    if "config" in values:
        values["config"] = str(values["config"])
    if "dtype" in values:
        values["dtype"] = DTYPES.get(str(values["dtype"]), str(values["dtype"]))
    try:
        return name, ModelOptions(**values)  # type: ignore[arg-type]
    except BenchkitError as error:
        raise BenchkitError(f"model '{plain}': {error}") from None


def format_model(name: str, options: ModelOptions) -> str:
    """Return the text of a checkpoint with those options that differ from the defaults."""
    given = {f.name: value for f in fields(options) if (value := getattr(options, f.name)) != f.default}
    return str(Spec.of("model", "options", **given)).replace("options", name, 1)


def public_name(text: str) -> str:
    """Return a model's name for records, without its options and without local folders."""
    name, _ = _split(text)
    return Path(name).name if os.path.exists(expand_path(name)) or Path(name).is_absolute() else name  # noqa: PTH110


def _split(text: str) -> tuple[str, str]:
    """Return the name and the options after it, or ""."""
    # pathlib's exists would raise an error for a text that is too long for a file name.
    if os.path.exists(expand_path(text)):  # noqa: PTH110
        return text, ""
    places = [match.start() for match in _OPTIONS.finditer(text) if match.start()]
    here = [place for place in places if os.path.exists(expand_path(text[:place]))]  # noqa: PTH110
    place = here[-1] if here else places[0] if places else len(text)
    return text[:place], text[place + 1 :]
