"""Seasons: test images that nobody knows beforehand.

Whoever opens a season chooses a secret and publishes a commitment, the sha256 of the secret, the dataset and the range
of indices. Methods are submitted. Then the secret is published: everybody can check it against the commitment, draw the
same images, and score the stored detectors on them.

The person who chose the secret can draw the images first, and can choose among secrets. A beacon prevents this: the
commitment also names a public value that does not exist yet, and the images follow from the secret and this value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from benchkit.errors import BenchkitError, shortened
from benchkit.leaderboard.submission import NAME
from benchkit.plugin.registry import Registry
from benchkit.readers.season import season_to_bytes
from benchkit.report.format_values import one_line
from benchkit.specs.keys import digest
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK
from benchkit.store.encoding import parse_json
from benchkit.system.files import read_regular
from benchkit.system.output_files import write_file

SCHEMA = 1
#: A shorter secret could be found by trying.
LEAST_SECRET = 16


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Season:
    """One season. first, count: the range of indices. fingerprint: the dataset's when it was committed to.

    commitment: see `commit`. committed: when. secret: published afterwards, None before. images: sha256 of the file of
    its images, None until they are drawn. beacon_source: which later public value is mixed in, None without one.
    beacon: this value, None until the season is revealed.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=NAME)]
    dataset: str
    fingerprint: str
    first: Annotated[int, Field(ge=0)]
    count: Annotated[int, Field(gt=0)]
    commitment: Sha256
    committed: str
    secret: str | None = None
    images: Sha256 | None = None
    beacon_source: str | None = None
    beacon: str | None = None

    def matches(self, secret: str) -> bool:
        """Return whether this is the secret that was committed to."""
        body = (self.name, self.dataset, self.fingerprint, self.first, self.count, secret, self.beacon_source)
        return self.commitment == _commitment(*body)

    @property
    def image_secret(self) -> str:
        """What the images of a revealed season are drawn from: the secret, or a hash of the secret and the beacon."""
        assert self.secret is not None
        return self.secret if self.beacon is None else digest({"secret": self.secret, "beacon": self.beacon})

    def describe_state(self, scored: bool) -> str:
        """Return committed, revealed or scored. scored: whether rows have been scored on its images."""
        return "committed" if self.secret is None else "scored" if scored else "revealed"


_SEASON = TypeAdapter(Season)


def _commitment(
    name: str, dataset: str, fingerprint: str, first: int, count: int, secret: str, beacon_source: str | None = None
) -> str:
    body = {"name": name, "dataset": dataset, "fingerprint": fingerprint, "first": first, "count": count}
    beacon = {} if beacon_source is None else {"beacon_source": beacon_source}
    return digest({**body, **beacon, "secret": secret})


def commit(
    name: str,
    dataset: str,
    first: int,
    count: int,
    secret: str,
    registry: Registry,
    beacon_source: str | None = None,
) -> Season:
    """Return a season with its commitment; raise BenchkitError for a bad name or secret, or a dataset of fixed images.

    The commitment is the sha256 of name, dataset, fingerprint, range, secret and beacon_source (if there is one), as
    JSON with sorted keys.
    """
    if not re.match(NAME, name):
        raise BenchkitError(f"'{name}' is no name of a season: use at most 40 letters, digits, '-' and '_'")
    if len(secret) < LEAST_SECRET:
        raise BenchkitError(
            f"`secret` has {len(secret)} characters: use {LEAST_SECRET} or more, which nobody can guess"
        )
    if beacon_source is not None and not beacon_source.strip():
        raise BenchkitError("`beacon_source` is empty: name the public value that the season waits for")
    spec = registry.complete(Spec.parse("dataset", dataset))
    source = registry.dataset(spec)
    source.draw_fresh(secret, [], lambda images: images)  # refuses here, not after the season
    found = (name, str(spec), source.fingerprint(), first, count)
    commitment = _commitment(*found, secret, beacon_source)
    return Season(*found, commitment, datetime.now(UTC).isoformat(timespec="seconds"), beacon_source=beacon_source)


def reveal(season: Season, secret: str, beacon: str | None = None) -> Season:
    """Return the season with its secret and, if it waits for one, its beacon.

    Raises BenchkitError for another secret than the one that was committed to, a beacon that is missing or that the
    commitment does not announce, and a second, different beacon.
    """
    name, source = season.name, season.beacon_source
    if not season.matches(secret):
        raise BenchkitError(f"season '{name}': this secret is not the one that was committed to")
    if source is None and beacon is not None:
        raise BenchkitError(f"season '{name}': its commitment announces no beacon, so none can be mixed in")
    if source is not None and not (beacon and beacon.strip()):
        raise BenchkitError(f"season '{name}': `beacon` is missing: give the value of '{shortened(one_line(source))}'")
    if season.beacon not in (None, beacon):
        raise BenchkitError(f"season '{name}' was revealed with another beacon: '{shortened(one_line(season.beacon))}'")
    return replace(season, secret=secret, beacon=beacon)


def draw_season(
    season: Season, registry: Registry, autoencode: Callable[[Any], Any], progress: Callable[[str], None]
) -> bytes:
    """Return the images of a revealed season as a file's contents; raise BenchkitError if the dataset has changed."""
    source = registry.dataset(registry.complete(Spec.parse("dataset", season.dataset)))
    if source.fingerprint() != season.fingerprint:
        raise BenchkitError(
            f"season '{season.name}': the dataset '{season.dataset}' is another one than when it was committed to: "
            "use that version of benchkit"
        )
    samples = []
    for start in range(season.first, season.first + season.count, CHUNK):
        end = min(start + CHUNK, season.first + season.count)
        progress(f"draw images {start} to {end - 1}")
        samples += source.draw_fresh(season.image_secret, range(start, end), autoencode)
    return season_to_bytes(samples)


def write_season(season: Season, folder: Path) -> Path:
    """Write NAME.json into a folder, made if need be; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{season.name}.json"
    write_file(path, json.dumps({"schema": SCHEMA, **asdict(season)}, indent=1).encode() + b"\n")
    return path


def find_season(name: str, folder: Path) -> Season:
    """Return the season in FOLDER/NAME.json; raise BenchkitError if there is none, or if its secret is a wrong one."""
    path = folder / f"{name}.json"
    try:
        found = parse_json(read_regular(path))
        if found.pop("schema") != SCHEMA:
            raise ValueError("another schema")
        season = _SEASON.validate_json(json.dumps(found), strict=True)
    except OSError as error:
        raise BenchkitError(f"there is no season '{name}': {path}: {error.strerror or error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        fault = f"'{'.'.join(map(str, first['loc']))}': {first['msg']}"
        raise BenchkitError(f"{path}: not a season of this version: {fault}") from None
    except (BenchkitError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BenchkitError(f"{path}: not a season of this version: {error}") from None
    if season.name != name:
        raise BenchkitError(f"{path}: this season's name is '{shortened(one_line(season.name))}': name the file so")
    return season if season.secret is None else reveal(season, season.secret, season.beacon)


def list_seasons(folder: Path) -> list[Season]:
    """Return the seasons of a folder, the earliest first; none if there is no such folder."""
    found = [find_season(path.stem, folder) for path in folder.glob("*.json")]
    return sorted(found, key=lambda season: (season.committed, season.name))
