"""Readers of images, masks, shards and records, for any dataset."""
