"""A dataset repository of the Hugging Face hub as a local folder of its Parquet files."""

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
def downloaded(place: str) -> Path:
    """The folder of `hf://datasets/OWNER/NAME[@REVISION][/FOLDER]`, its Parquet files fetched (once a process).

    Raises BenchkitError for another form of address, a repository that cannot be reached and is not in the cache, and
    one without Parquet files.
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
        raise BenchkitError(f"root={place}: cannot be fetched ({reason}): name a folder instead") from None
    found = Path(folder, inside)
    if not found.is_dir() or next(found.rglob("*.parquet"), None) is None:
        raise BenchkitError(f"root={place}: no Parquet files there: try @refs/convert/parquet, or download the dataset")
    return found
