"""How a checkpoint is computed with, written behind its name: `NAME:dtype=float16,vae=tiled,offload=true`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.specs.grammar import Scalar
from benchkit.specs.spec import Spec
from benchkit.system.paths import expand_path

#: What may be written -> torch's name.
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
    """dtype: of the networks. vae: the images of a batch at once, one by one, or one by one in overlapping tiles.

    offload: keep in the GPU's memory only the network that is at work. It changes no result; the others do.
    config, prediction: of a checkpoint in one file, which holds neither: a folder or repository with its configs and
    tokenizers, or what its denoiser predicts. Both are part of a checkpoint's identity.
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
    """The name, folder or repository id in a model's text, and its options.

    A folder or file that exists under the whole text is meant by it, and so is the longest one that options follow.
    Raises BenchkitError for unknown options and values.
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


def public_name(text: str) -> str:
    """A model's name for records: without its options, and without the folders of this machine."""
    name, _ = _split(text)
    return Path(name).name if os.path.exists(expand_path(name)) or Path(name).is_absolute() else name  # noqa: PTH110


def _split(text: str) -> tuple[str, str]:
    """The name and the options behind it, "" where there are none."""
    # Not pathlib's exists: it raises for a text that is too long for a file's name.
    if os.path.exists(expand_path(text)):  # noqa: PTH110
        return text, ""
    places = [match.start() for match in _OPTIONS.finditer(text) if match.start()]
    here = [place for place in places if os.path.exists(expand_path(text[:place]))]  # noqa: PTH110
    place = here[-1] if here else places[0] if places else len(text)
    return text[:place], text[place + 1 :]
