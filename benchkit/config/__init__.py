"""A comparison as its user wrote it: grid files, presets, settings and where each was written."""
