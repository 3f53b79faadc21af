"""Built-in detectors, one a file: UPerNet with the paper's two backbones, each in the paper's size and a small one;
any mmsegmentation config.

mmsegmentation is imported inside `build()` only: it takes seconds, and listing plugins must not.
"""
