"""The protocol of a run: everything that decides its figures and is not what its rows compare.

Rows of equal protocols are ranked together and paired image by image, wherever they were computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchkit.errors import BenchkitError
from benchkit.report.format_values import known
from benchkit.specs.grammar import print_value
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec

#: Keys of a run's description that say which rows there are, or what people are shown. All others are the protocol's.
ROWS = ("corruptors", "with_human", "selectors", "detectors", "baselines", "trivial", "inverter", "inverters", "oracle")
SHOWN = ("title", "note", "remarks", "shown", "paper", "paper_table", "paper_sizes", "paper_data")


def read_protocol(grid: Mapping[str, Any], environment: Mapping[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """Return the protocol of a run as plain data: settings, fingerprints of its datasets, and of its checkpoint.

    The checkpoint's name is not part of it, since one checkpoint has several.
    """
    settings = {key: value for key, value in grid.items() if key not in (*ROWS, *SHOWN, "model")}
    checkpoints = sorted({str(one) for one in rows["checkpoint_sha256"] if known(one)})
    return {"grid": settings, "datasets": dict(environment.get("datasets") or {}), "checkpoints": checkpoints}


def digest_protocol(grid: Mapping[str, Any], environment: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """Return the sha256 of a run's protocol; raise BenchkitError where the run's description is not plain data."""
    try:
        return digest(read_protocol(grid, environment, rows))
    except (TypeError, ValueError) as error:
        raise BenchkitError(f"the grid is not plain data: {error}") from None


def seeds_of(grid: Mapping[str, Any], detector: str | None) -> tuple[int, ...]:
    """Return the seeds that the protocol gives the rows of a detector, a complete Spec as text."""
    seeds = grid.get("seeds") or ()
    if detector is not None:
        complete = _values(Spec.parse("detector", detector))
        entries = [(Spec.parse("detector", key), own) for key, own in (grid.get("on_detector") or {}).items()]
        name = Spec.parse("detector", detector).name
        fitting = [(key, own) for key, own in entries if key.name == name and _values(key).items() <= complete.items()]
        for _, own in sorted(fitting, key=lambda pair: len(pair[0].params)):
            seeds = own.get("seeds") or seeds
    return tuple(int(seed) for seed in seeds)


def _values(spec: Spec) -> dict[str, str]:
    return {key: print_value(value) for key, value in spec.params}
