"""The stages of a plan; each is a pure function of its Spec and its inputs.

images: Latents, Images. invert: Invert. select: Select (threshold: its τ). corrupt: Corrupt, CorruptPixels, Choose,
RoundTrip. confine: Confine. features: Features. train: Train (pairs: its training pairs). evaluate: Evaluate. parity,
masked_parity: the checks before a run in half precision or with masked resampling. base: what all stages share.
"""
