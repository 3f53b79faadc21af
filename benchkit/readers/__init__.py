"""Readers of image data from any source, for dataset plugins. They check hostile input and raise BenchkitError.

| to read | use |
|---|---|
| an image file as RGB | `images.decode_image` |
| only an image's size or EXIF orientation | `image_headers.read_shape`, `image_headers.read_header` |
| a mask file | `masks.decode_mask`; with ignored pixels or a label map `masks.decode_label` |
| the files below a folder | `walk.list_files`; with what was skipped and why `walk.walk` |
| Parquet or Arrow tables | `tables.Table` |
| tar shards of image and JSON pairs, local or at a URL | `tar_shards.find_shards`, `tar_shards.list_pairs` |
| TFRecord files | `tfrecord.read_examples` |
| images of known ids, from folders, archives or tables | `images_by_id.collect_images` |
| a set that `benchkit data prepare` wrote | `prepared_dataset.PreparedDataset` (write one with `prepared.Writer`) |

Further: `framing.Framing` fits images, masks and maps to a square; `votes.compute_majority` turns votes into a mask;
`dataset_summary.summarise` counts what a dataset contains.
"""
