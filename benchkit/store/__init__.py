"""Where finished work lives: artifacts (key → files) and results (runs, cells and their rows)."""
