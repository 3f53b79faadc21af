"""Intervals, comparisons and ranks: pure functions of arrays.

Boards use `bootstrap`. The other modules (`resampling`, `variance`, `intervals`, `comparisons`, `ranks`, `resolution`)
are its successor, which splits a figure's variance into images and seeds. They are not used by boards yet:
`benchmarks/coverage.py` shows that intervals of differences with two seeds cover too rarely.
"""
