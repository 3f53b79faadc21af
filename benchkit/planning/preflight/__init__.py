"""What can be known before work: faults of grids and of their images, all in one error, and remarks."""
