"""Datasets: index to sample (image, mask or none, id, caption, attributes)."""
