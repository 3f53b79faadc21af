"""Intervals, comparisons and ranks: pure functions of arrays that know no board. See docs/explanation/statistics.md."""
