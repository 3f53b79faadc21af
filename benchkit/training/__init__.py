"""Training of detectors: the loop, its batches, augmentation and checkpoints."""
