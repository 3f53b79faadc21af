"""The stages of a plan: one a file, each a pure function of its Spec and its inputs."""
