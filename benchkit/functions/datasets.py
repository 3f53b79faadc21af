"""A dataset for looking at: its splits, and images with masks, captions and ids. Importing it loads no torch."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from benchkit.api import Dataset, Plugin, Sample
from benchkit.errors import ArgumentTypeError, ArgumentValueError, UnknownNameError, as_argument_error, describe_value
from benchkit.functions.plugin_arguments import PluginSources, make_plugin, open_plugins
from benchkit.inference.image_batch import ImageBatch, check_rows
from benchkit.plugin.samples import read_samples
from benchkit.specs.parameters import parameters as find_parameters
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK

#: Images on the contact sheet of a split.
SHOWN = 16


@dataclass(frozen=True, eq=False)
class SplitView:
    """One split of a dataset. A slice or a list of indices gives an ImageBatch, a number gives one sample.

    A notebook shows its first images with their masks. Samples are read when they are asked for.

    Example:
        >>> import benchkit
        >>> split = benchkit.load_dataset("portraits")["test"]
        >>> len(split), len(split[:4]), split[3].id
        (500, 4, 'test-00003')
    """

    dataset: Dataset
    title: str
    split: str
    size: int

    def __len__(self) -> int:
        """Return the number of images."""
        return self.size

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int]) -> ImageBatch: ...

    def __getitem__(self, index: int | slice | Sequence[int]) -> Sample | ImageBatch:
        """Return one sample, or an ImageBatch of a slice or of a list of indices."""
        if isinstance(index, int) or (hasattr(index, "__index__") and not hasattr(index, "__len__")):
            number = index.__index__()
            if not -self.size <= number < self.size:
                # IndexError, which ends a loop over the split.
                raise IndexError(f"{self.split}[{number}]: the split has {self.size} images")
            return self._read([range(self.size)[number]])[0]
        rows = check_rows(index, self.size, self.split)
        return ImageBatch(tuple(self._read(rows)), f"{self.title}, {self.split}")

    def __iter__(self) -> Iterator[Sample]:
        """Yield every sample in order; CHUNK of them are read at a time."""
        for start in range(0, self.size, CHUNK):
            yield from self._read(range(start, min(start + CHUNK, self.size)))

    def _read(self, rows: Sequence[int]) -> list[Sample]:
        return read_samples(self.dataset, self.split, list(rows), name=f"dataset '{self.title}'")

    def __repr__(self) -> str:
        return f"<SplitView: {self.size:,} images of {self.title}, {self.split}>"

    def _repr_html_(self) -> str:
        """Return a contact sheet of the first images."""
        if not self.size:
            return html.escape(repr(self))
        return f"<p>{html.escape(repr(self).strip('<>'))}</p>{self[:SHOWN]._repr_html_()}"


@dataclass(frozen=True, eq=False)
class DatasetView(Mapping[str, SplitView]):
    """A dataset as its splits by name: `view["clean"]`, `list(view)`.

    Example:
        >>> import benchkit
        >>> view = benchkit.load_dataset("portraits")
        >>> sorted(view)
        ['clean', 'parts', 'pool', 'test', 'validation', 'wild']
        >>> view["clean"]
        <SplitView: 2,000 images of portraits, clean>
    """

    dataset: Dataset
    title: str

    def __getitem__(self, split: str) -> SplitView:
        """Return a split; raise UnknownNameError, which is a ValueError, for an unknown one."""
        sizes = self.dataset.splits()
        if not isinstance(split, str):
            raise ArgumentTypeError(f"split: {describe_value(split)} is no name: give one of {', '.join(sizes)}")
        if split not in sizes:
            raise UnknownNameError("split", str(split), sizes, self.dataset.remedy(str(split)) or "")
        return SplitView(self.dataset, self.title, split, sizes[split])

    def __contains__(self, split: object) -> bool:
        """Return whether there is a split of this name."""
        return split in self.dataset.splits()

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the splits."""
        return iter(self.dataset.splits())

    def __len__(self) -> int:
        """Return the number of splits."""
        return len(self.dataset.splits())

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {size:,}" for name, size in self.dataset.splits().items())
        return f"<DatasetView: {self.title} ({sizes})>"

    def _repr_html_(self) -> str:
        """Return a table of the splits."""
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(name)}</th><td>{size:,}</td></tr>"
            for name, size in self.dataset.splits().items()
        )
        head = "<thead><tr><th scope='col'>split</th><th scope='col'>images</th></tr></thead>"
        return f"<table><caption>{html.escape(self.title)}</caption>{head}<tbody>{rows}</tbody></table>"


def load_dataset(
    dataset: str | Spec | Dataset | type[Dataset] | DatasetView = "portraits",
    *,
    plugins: PluginSources = (),
    **parameters: Any,
) -> DatasetView:
    """Open a dataset to look at its images, and for loops of one's own.

    dataset: text `NAME:key=value`, a Spec, a class (which means its defaults) or a dataset. plugins: files of further
    plugins. parameters: of the dataset, such as `root="shots"` of `folder`, in place of text. Raises ArgumentTypeError
    and ArgumentValueError for unusable arguments, and BenchkitError where the dataset cannot be opened.

    Example:
        >>> import benchkit
        >>> batch = benchkit.load_dataset("portraits")["clean"][:16]
        >>> batch
        <ImageBatch: 16 images of 128x128 pixels, 0 annotated, from portraits, clean>
    """
    if isinstance(dataset, DatasetView) and not parameters:
        return dataset
    if isinstance(dataset, str):
        with as_argument_error("dataset"):
            dataset = Spec.parse("dataset", dataset)
    if isinstance(dataset, Spec):
        given = {key: str(value) if hasattr(value, "__fspath__") else value for key, value in parameters.items()}
        wrong = [key for key, value in given.items() if not isinstance(value, str | int | float | bool | None)]
        if wrong:
            what = describe_value(given[wrong[0]])
            raise ArgumentTypeError(f"{wrong[0]}: {what} is no plain value: give text, a number, True, False or None")
        spec = Spec.of("dataset", dataset.name, **{**dataset.values, **given})
        registry = open_plugins(plugins)
        return DatasetView(make_plugin("dataset", spec, Dataset, registry), registry.short(registry.complete(spec)))  # type: ignore[type-abstract]
    if isinstance(dataset, Plugin) and parameters:
        raise ArgumentValueError(f"{next(iter(parameters))}: a dataset that is made has its parameters already")
    if isinstance(dataset, type) and parameters:
        own = [f.name for f in find_parameters(dataset)]
        for key in parameters:
            if key not in own:
                raise ArgumentValueError(f"dataset {dataset.__name__}: {UnknownNameError('parameter', key, own)}")
        made: Any = dataset
        with as_argument_error("dataset"):
            dataset = made(**parameters)
    plugin = make_plugin("dataset", dataset, Dataset)  # type: ignore[type-abstract]
    return DatasetView(plugin, getattr(plugin, "name", type(plugin).__name__))
