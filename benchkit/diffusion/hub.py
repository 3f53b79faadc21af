"""Download checkpoints `OWNER/NAME[@REVISION]` from the Hugging Face hub, or find them in its cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchkit.errors import BenchkitError

_REPO_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./+-]+))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Repository:
    """A repository of the hub. revision: a branch, a tag or a commit; None for the default branch."""

    id: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"


@dataclass(frozen=True)
class Snapshot:
    """The downloaded files of one commit. commit: None if the folder's name does not contain it."""

    folder: Path
    commit: str | None


def parse_repository(name: str) -> Repository | None:
    """Parse a repository's name; return None for a name that no repository can have."""
    match = _REPO_ID.fullmatch(name)
    return Repository(match["id"], match["revision"]) if match else None


def fetch(repository: Repository, patterns: Sequence[str]) -> Snapshot:
    """Download matching files, or find them in the hub's cache; raise BenchkitError if neither is possible.

    HF_HUB_OFFLINE, HF_HOME and HF_TOKEN work as the hub's own tools document them.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository.id, revision=repository.revision, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        what = f"neither a folder here nor downloadable: {reason}"
        raise BenchkitError(f"cannot get checkpoint '{repository}', {what}") from error
    return Snapshot(folder, folder.name if _COMMIT.fullmatch(folder.name) else None)
