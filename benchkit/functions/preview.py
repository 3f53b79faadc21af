"""Draw what a plugin does to a few images, from Python and for `benchkit plugins preview`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError, UnknownNameError, as_argument_error, describe_value
from benchkit.functions.arguments import check_texts, check_whole
from benchkit.functions.grid_arguments import list_seeds, note, to_plain
from benchkit.functions.plugin_arguments import PluginLike, PluginSources, load_plugins, name_plugin
from benchkit.functions.progress import Progressing, shown
from benchkit.inference.models import get_loaded
from benchkit.plugin.registry import KINDS as ALL_KINDS
from benchkit.specs.spec import Spec
from benchkit.specs.training_sets import CHUNK

if TYPE_CHECKING:
    from PIL.Image import Image

    from benchkit.functions.plugin_arguments import DatasetLike
    from benchkit.inference.models import ModelLike
    from benchkit.plugin.registry import Registry

KINDS = ("corruptor", "selector")


def preview(
    plugin: PluginLike,
    values: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    *,
    seeds: Iterable[int] = (0,),
    images: int = 4,
    mask: PluginLike = "box",
    dataset: DatasetLike = "portraits",
    inverter: PluginLike = "renoise",
    model: ModelLike = "portraits",
    device: str = "auto",
    kind: str | None = None,
    plugins: PluginSources = (),
    progress: Progressing = True,
) -> Image:
    """Draw what a plugin does to a few images: one row per image, one column per parameter value and seed.

    plugin: a corruptor or selector in any form that `compare` takes. values: parameter -> values, such as
    `{"steps": [5, 10]}`, one column each. seeds: of the noise, one column each. images: their number, at most 16. mask:
    the region: `box`, a box in the middle, or a selector that needs no training. model: a checkpoint's name or the
    result of `load_model`. kind: needed if a corruptor and a selector have this name. The other arguments: see
    `compare`. Returns an image, which a notebook shows and `save` writes. Raises BenchkitError for an unknown plugin or
    value, and for a plugin that breaks its contract.

    Example:
        >>> import benchkit
        >>> benchkit.preview("none:steps=1", images=2, progress=False).size
        (400, 296)
    """
    from benchkit.outputs.plugin_preview import BOX, PreviewRequest, draw_sheet, make_columns
    from benchkit.plugin.placeholders import TolerantRegistry
    from benchkit.system.devices import resolve_device

    registry = TolerantRegistry(load_plugins(plugins))
    if kind is not None and kind not in ALL_KINDS:
        raise ArgumentValueError(f"kind={kind!r}: choose corruptor or selector")
    found = kind or _find_kind(plugin, registry)
    specs = list_specs(name_plugin(plugin, found, registry, "plugin"), found, values)
    registry.entry(found, specs[0].name)
    given = list_seeds(seeds)
    numbers = tuple(dict.fromkeys(given))
    if len(numbers) < len(given):
        note(f"`seeds` {','.join(map(str, given))}: a seed that is given twice is shown once")
    region = BOX if mask == BOX else name_plugin(mask, "selector", registry, "mask")
    source = name_plugin(dataset, "dataset", registry, "dataset")
    way = name_plugin(inverter, "inverter", registry, "inverter")
    check_whole("`images`", images, 1, CHUNK)
    loaded = get_loaded(model) or str(model)
    request = PreviewRequest(specs, numbers, images, region, source, way, loaded, resolve_device(device))
    with as_argument_error(), shown(progress) as screen:
        return draw_sheet(make_columns(registry, request, screen.note))


def _find_kind(plugin: PluginLike, registry: Registry) -> str:
    """Return the kind of a plugin: its own, or the one in which there is a plugin of this name."""
    if isinstance(plugin, Spec | Plugin) or (isinstance(plugin, type) and issubclass(plugin, Plugin)):
        return plugin.kind
    if not isinstance(plugin, str):
        raise ArgumentTypeError(f"plugin: {describe_value(plugin)} is no plugin: give a corruptor or a selector")
    name = plugin.partition(":")[0].strip()
    kinds = [kind for kind in KINDS if registry.has(kind, name)]
    if len(kinds) > 1:
        raise ArgumentValueError(f"several plugins are called '{name}': give `kind` corruptor or selector")
    if not kinds:
        raise UnknownNameError("plugin", name, {entry.name for kind in KINDS for entry in registry.entries(kind)})
    return kinds[0]


def list_specs(text: str, kind: str, values: Any) -> tuple[Spec, ...]:
    """Return the plugin's Specs: its own parameters with every value."""
    from benchkit.specs.grammar import print_value

    if isinstance(values, str) or not isinstance(values, Mapping | Sequence):
        raise ArgumentTypeError(f"values: {describe_value(values)} is no dict: give one, such as {{'steps': [5, 10]}}")
    if isinstance(values, Mapping):
        for key, own in values.items():
            if isinstance(own, str) or not isinstance(own, Sequence) or not own:
                raise ArgumentTypeError(f"values: {key} is {describe_value(own)}: give a list of one value or more")
        values = [f"{key}={'|'.join(print_value(to_plain(v)) for v in own)}" for key, own in values.items()]
    for one in check_texts("values", values, "steps=5|10"):
        if "=" not in one:
            raise ArgumentValueError(f"`values` '{one}': write KEY=VALUE or KEY=VALUE|VALUE")
    name, _, given = text.partition(":")
    items = [given, *values] if given else list(values)
    return Spec.parse_all(kind, f"{name}:{','.join(items)}" if items else name)
