"""A run's training set as files that other programs read: one format a file."""
