"""A run of a comparison, and what it leaves."""
