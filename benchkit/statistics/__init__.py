"""Intervals, comparisons and ranks: pure functions of arrays."""
