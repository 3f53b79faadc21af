"""Shared fixtures; torch runs on one thread, so that tests neither compete nor depend on the machine's cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
