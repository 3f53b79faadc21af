"""Comparisons of variants: ablations and searches of parameters."""
