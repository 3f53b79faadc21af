"""The embedded checkpoints and pre-trained detectors, each with its card."""
