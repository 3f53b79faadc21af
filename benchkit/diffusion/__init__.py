"""Diffusion: the schedule, the inverters, corruption and resampling in latent space, one checkpoint's backend."""
