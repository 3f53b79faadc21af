"""What the machine offers: paths, downloads, devices."""
