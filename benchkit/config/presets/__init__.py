"""The grids that ship with benchkit, as YAML."""
