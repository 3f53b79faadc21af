"""The Python API: one function of plain arguments for each command, and the single steps. `benchkit` re-exports it."""
