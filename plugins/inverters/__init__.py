"""Inverters that ship with benchkit."""
