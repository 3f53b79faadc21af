"""Built-in selectors, one a file."""
