"""Rows to tables, figures and pages."""
