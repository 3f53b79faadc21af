"""The tokenizer of the embedded checkpoint: CLIP's own class over the closed vocabulary of the captions.

Every word of `caption.VOCABULARY` is one token. The merges come from plain byte-pair training on that word list, ties
broken by the alphabet, so that the files are the same wherever they are made.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from benchkit_plugins.datasets.portraits.caption import VOCABULARY

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"
LENGTH = 48
"""Tokens of a caption, start and end included: the longest caption has 41 words."""

Pair = tuple[str, str]


def merges(words: list[str]) -> list[Pair]:
    """Byte-pair merges, in order, that make one token of every word.

    An encoder applies them in the order in which they were found here, so it repeats this very course on each word.
    """
    spelt = [[*word[:-1], word[-1] + END_OF_WORD] for word in words]
    found: list[Pair] = []
    while counts := Counter(pair for symbols in spelt for pair in pairwise(symbols)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        found.append(best)
        spelt = [_merged(symbols, best) for symbols in spelt]
    return found


def _merged(symbols: list[str], pair: Pair) -> list[str]:
    out: list[str] = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return out


def tokens_and_merges() -> tuple[dict[str, int], list[Pair]]:
    """The vocabulary, token to number, and the merges: what vocab.json and merges.txt hold."""
    words = sorted(VOCABULARY)
    found = merges(words)
    # Letters and digits stand alone as well, so that a word from outside is spelt rather than unknown.
    signs = sorted({*"abcdefghijklmnopqrstuvwxyz0123456789", *"".join(words)})
    names = [START, END, *signs, *(sign + END_OF_WORD for sign in signs), *("".join(pair) for pair in found)]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}, found


def tokenizer() -> CLIPTokenizer:
    """CLIPTokenizer with LENGTH tokens a caption; padding is the end token, as in SD 1.x's text encoder's training."""
    vocabulary, found = tokens_and_merges()
    return CLIPTokenizer(vocab=vocabulary, merges=found, model_max_length=LENGTH)


def encode(maker: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token numbers (N, LENGTH), int64, padded as the pipeline pads them."""
    rows = maker(captions, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt")
    return torch.as_tensor(rows.input_ids)
