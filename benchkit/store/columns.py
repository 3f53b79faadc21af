"""The columns of stored rows and counts. It loads no database, so that reports can read them."""

from __future__ import annotations

#: What decides a row's figures beside its labels, a column each. training, selector_training: a TrainingConfig as JSON;
#: a human row's network is trained by the second.
#: test_images, validation_images, source_images, labelled: numbers of images. uses: the row's plugins, `KIND NAME; …`.
#: provenance: how its datasets were prepared, `NAME: KEY VALUE, …; …`.
SETTINGS = (
    *("labelled", "source_set", "source_images", "test_images", "validation_images", "label", "paste_background"),
    *("checkpoint", "checkpoint_sha256", "dtype", "autoencoder", "num_inference_steps"),
    *("training", "selector_training", "provenance", "uses"),
)
#: Settings that are a column only of runs that have a value of them, so that the rows of other runs stay as they were.
#: selection_seed: of the regions that all seeds and detectors share. chunk: images that passed the checkpoint at once,
#: where they were not CHUNK. resampling: of corrupted latents, where it was not exact.
RARE_SETTINGS = ("selection_seed", "chunk", "resampling")

COUNT_COLUMNS = ("image", "tp", "fp", "fn", "tn")
LABELS = (
    *("role", "method", "selector", "corruptor", "corruptor_params", "inverter", "source_name", "variant"),
    *("detector", "seed", "test_set"),
)
#: The columns of `rows` before the metrics; no metric may have one of these names.
ROW_COLUMNS = ("run", "cell", *LABELS, *SETTINGS, "state", "reason", "seconds", "schema_version")
