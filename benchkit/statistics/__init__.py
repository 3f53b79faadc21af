"""Compute intervals, comparisons and ranks: pure functions of arrays that know no board.

The order of the work: jackknife (influence of every test image), variance (image part, seed part), intervals (of rows
and paired differences), multiple_comparisons (p-values of many pairs), ranks, resolution. many_methods does the same
for more than 200 rows. agreement compares settings, looks decides about more seeds, rank_prediction is for
`benchkit predict`.
The equations are in docs/explanation/statistics.md.
"""
