"""Corruption and trained detectors as functions of images."""
