"""Seasons: test images that nobody knows beforehand.

Whoever opens a season chooses a secret and publishes a commitment, the sha256 of the secret, the dataset and the range
of indices. Methods are submitted. Then the secret is published: everybody can check it against the commitment, draw the
same images, and score the stored detectors on them.
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
from benchkit.report.text import one_line
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
    its images, None until they are drawn.
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

    def matches(self, secret: str) -> bool:
        """Return whether this is the secret that was committed to."""
        return self.commitment == _commitment(self.name, self.dataset, self.fingerprint, self.first, self.count, secret)

    def describe_state(self, scored: bool) -> str:
        """Return committed, revealed or scored. scored: whether rows have been scored on its images."""
        return "committed" if self.secret is None else "scored" if scored else "revealed"


_SEASON = TypeAdapter(Season)


def _commitment(name: str, dataset: str, fingerprint: str, first: int, count: int, secret: str) -> str:
    body = {"name": name, "dataset": dataset, "fingerprint": fingerprint, "first": first, "count": count}
    return digest({**body, "secret": secret})


def commit(name: str, dataset: str, first: int, count: int, secret: str, registry: Registry) -> Season:
    """Return a season with its commitment; raise BenchkitError for a bad name or secret, or a dataset of fixed images.

    The commitment is the sha256 of name, dataset, fingerprint, range and secret, as JSON with sorted keys.
    """
    if not re.match(NAME, name):
        raise BenchkitError(f"'{name}' is no name of a season: use at most 40 letters, digits, '-' and '_'")
    if len(secret) < LEAST_SECRET:
        raise BenchkitError(
            f"`secret` has {len(secret)} characters: use {LEAST_SECRET} or more, which nobody can guess"
        )
    spec = registry.complete(Spec.parse("dataset", dataset))
    source = registry.dataset(spec)
    source.draw_fresh(secret, [], lambda images: images)  # refuses here, not after the season
    found = (name, str(spec), source.fingerprint(), first, count)
    return Season(*found, _commitment(*found, secret), datetime.now(UTC).isoformat(timespec="seconds"))


def reveal(season: Season, secret: str) -> Season:
    """Return the season with its secret; raise BenchkitError if it is not the one that was committed to."""
    if not season.matches(secret):
        raise BenchkitError(f"season '{season.name}': this secret is not the one that was committed to")
    return replace(season, secret=secret)


def draw_season(
    season: Season, registry: Registry, autoencode: Callable[[Any], Any], progress: Callable[[str], None]
) -> bytes:
    """Return the images of a revealed season as a file's contents; raise BenchkitError if the dataset has changed."""
    assert season.secret is not None
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
        samples += source.draw_fresh(season.secret, range(start, end), autoencode)
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
    return season if season.secret is None else reveal(season, season.secret)


def list_seasons(folder: Path) -> list[Season]:
    """Return the seasons of a folder, the earliest first; none if there is no such folder."""
    found = [find_season(path.stem, folder) for path in folder.glob("*.json")]
    return sorted(found, key=lambda season: (season.committed, season.name))
