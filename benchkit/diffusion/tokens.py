"""Count the tokens of captions with a checkpoint's tokenizer, without loading a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchkit.diffusion import checkpoint
from benchkit.errors import BenchkitError


def caption_length(name_or_path: str | Path) -> tuple[Callable[[str], int], int]:
    """Return a function from a caption to its number of tokens (with start and end), and the limit of that number.

    Raises BenchkitError as `checkpoint.find` does, and for a tokenizer that cannot be loaded.
    """
    from transformers import AutoTokenizer

    folder = checkpoint.find(name_or_path).folder
    positions = int(checkpoint.read_json(folder / "text_encoder" / "config.json", folder)["max_position_embeddings"])
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BenchkitError(f"{folder}: its tokenizer cannot be loaded: {reason}") from error
    return lambda caption: len(tokenizer(caption)["input_ids"]), min(tokenizer.model_max_length, positions)
