"""From a grid to a plan: cells, image sets, stages, and every fault that can be known before work."""
