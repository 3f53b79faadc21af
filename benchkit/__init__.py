"""benchkit: corruption methods, region selectors and detectors, crossed, trained, scored and ranked."""
