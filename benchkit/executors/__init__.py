"""Executors run picklable stages: in this process, or elsewhere."""
