"""How a checkpoint is computed with, written behind its name: `NAME:dtype=float16,vae=tiled,offload=true`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.paths import expanded
from benchkit.specs import Scalar, Spec

#: What may be written -> torch's name.
DTYPES = {
    **{name: name for name in ("float32", "float16", "bfloat16")},
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
}
VAES = ("whole", "sliced", "tiled")
_OPTIONS = re.compile(r"(?P<name>.+?):(?P<options>\s*\w+\s*=.*)", re.DOTALL)


@dataclass(frozen=True)
class ModelOptions:
    """dtype: of the networks. vae: the images of a batch at once, one by one, or one by one in overlapping tiles.

    offload: keep in the GPU's memory only the network that is at work. It changes no result; the other two do.
    """

    dtype: str = "float32"
    vae: str = "whole"
    offload: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES.values():
            raise BenchkitError(f"dtype={self.dtype}: choose float32, float16 or bfloat16 (fp32, fp16, bf16)")
        if self.vae not in VAES:
            raise BenchkitError(f"vae={self.vae}: choose {', '.join(VAES)}")
        if not isinstance(self.offload, bool):
            raise BenchkitError(f"offload={self.offload}: choose true or false")


def parse_model(text: str | Path) -> tuple[str, ModelOptions]:
    """The name, folder or repository id in a model's text, and its options.

    A folder that exists under the whole text is that folder. Raises BenchkitError for unknown options and values.
    """
    plain = str(text)
    # Not pathlib's is_dir: it raises for a text that is too long for a file's name.
    match = None if os.path.isdir(expanded(plain)) else _OPTIONS.fullmatch(plain)  # noqa: PTH112
    if match is None:
        return plain, ModelOptions()
    values: dict[str, Scalar] = Spec.parse("model", f"options:{match['options']}").values
    known = [f.name for f in fields(ModelOptions)]
    for key in values:
        if key not in known:
            raise BenchkitError(f"model '{plain}': {UnknownNameError('option', key, known)}")
    if "dtype" in values:
        values["dtype"] = DTYPES.get(str(values["dtype"]), str(values["dtype"]))
    try:
        return match["name"], ModelOptions(**values)  # type: ignore[arg-type]
    except BenchkitError as error:
        raise BenchkitError(f"model '{plain}': {error}") from None
