"""Datasets that ship with benchkit."""
