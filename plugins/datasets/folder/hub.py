"""Download the Parquet files of a dataset repository on the Hugging Face hub."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from benchkit.api import BenchkitError

SCHEME = "hf://"
_PLACE = re.compile(
    r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+))?(/(?P<inside>.+))?"
)


@lru_cache(maxsize=64)
def download(place: str) -> Path:
    """Return the folder of `hf://datasets/OWNER/NAME[@REVISION][/FOLDER]` with its Parquet files (once per process).

    Raises BenchkitError for another form of address, for a repository that neither can be reached nor is in the cache,
    and for one without Parquet files.
    """
    from huggingface_hub import snapshot_download

    match = _PLACE.fullmatch(place)
    if not match or ".." in (match["inside"] or "").split("/"):
        raise BenchkitError(f"root={place}: write hf://datasets/OWNER/NAME, @REVISION and /FOLDER after it if wanted")
    inside = match["inside"] or ""
    pattern = f"{inside.rstrip('/')}/*.parquet" if inside else "*.parquet"
    try:
        folder = snapshot_download(
            match["repo"], repo_type="dataset", revision=match["revision"], allow_patterns=[pattern]
        )
    except Exception as error:  # the hub's, the network's and the cache's own kinds
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        raise BenchkitError(f"root={place}: cannot be downloaded ({reason}): name a folder instead") from None
    found = Path(folder, inside)
    if not found.is_dir() or next(found.rglob("*.parquet"), None) is None:
        raise BenchkitError(f"root={place}: no Parquet files there: try @refs/convert/parquet, or download the dataset")
    return found
