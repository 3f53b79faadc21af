"""Plugins: found, checked, looked up by Spec."""
