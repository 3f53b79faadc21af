"""Build a detector's network: as its plugin says, or a frozen trunk with a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchkit.api import BenchkitError, Detector, FrozenDetector
from benchkit.specs.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from benchkit.plugin.registry import Registry


def get_frozen(registry: Registry, detector: Spec) -> FrozenDetector | None:
    """Return the plugin of a frozen detector; None for one that is trained whole."""
    plugin = registry.make(detector, Detector)  # type: ignore[type-abstract]
    return plugin if isinstance(plugin, FrozenDetector) else None


def find_trunk(registry: Registry, detector: Spec) -> Spec | None:
    """Return the complete Spec of the detector that builds a frozen detector's trunk; None for other detectors.

    Parameters of the head have their defaults in it, so that equal trunks have equal Specs. Raises BenchkitError where
    a trunk is borrowed from a detector that has none of its own.
    """
    plugin = get_frozen(registry, detector)
    if plugin is None:
        return None
    if text := plugin.trunk():
        find_trunk_owner(registry, plugin)
        return find_trunk(registry, registry.complete(Spec.parse("detector", text)))
    defaults = registry.complete(Spec.of("detector", detector.name)).values
    heads = {key: defaults[key] for key in plugin.head_parameters}
    return registry.complete(Spec.of("detector", detector.name, **{**detector.values, **heads}))


def find_trunk_owner(registry: Registry, plugin: FrozenDetector) -> FrozenDetector:
    """Return the detector whose own trunk a frozen detector uses: itself, or the one that it names."""
    text = plugin.trunk()
    if not text:
        return plugin
    lender = get_frozen(registry, registry.complete(Spec.parse("detector", text)))
    if lender is None or lender.trunk():
        raise BenchkitError(
            f"detector '{plugin.name}' uses the trunk of '{text}', which has no trunk of its own: name a frozen "
            "detector that has one"
        )
    return lender


def read_maps(owner: FrozenDetector) -> Sequence[tuple[int, int]]:
    """Return channels and stride of a trunk's maps, as its plugin declares them; raises BenchkitError for none."""
    declared = owner.maps()
    if not isinstance(declared, list | tuple) or not declared or not all(map(_is_map_size, declared)):
        raise BenchkitError(
            f"detector '{owner.name}': maps() must return a list with (channels, stride) of each of its trunk's maps, "
            "whole numbers of at least 1"
        )
    return tuple(declared)


def _is_map_size(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    return all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in pair)


def build_trunk(owner: FrozenDetector) -> nn.Module:
    """Return a trunk in evaluation mode, without gradients of its own; random weights are those of seed 0."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = owner.build_trunk()
    if not isinstance(network, nn.Module):
        raise BenchkitError(f"detector '{owner.name}': build_trunk() must return a torch.nn.Module")
    return network.requires_grad_(False).eval()


def build_network(registry: Registry, plugin: Detector, make_trunk: Callable[[], nn.Module] | None = None) -> nn.Module:
    """Return a detector's network, image -> logits, with starting weights from torch's global generator.

    make_trunk: gives the trunk of a frozen detector, when images are shown to the network for the first time.
    """
    if not isinstance(plugin, FrozenDetector):
        return plugin.build()
    from torch import nn

    from benchkit.training.features import FrozenNetwork

    owner = find_trunk_owner(registry, plugin)
    channels = sum(count for count, _ in read_maps(owner))
    head = plugin.build_head(channels)
    if not isinstance(head, nn.Module):
        raise BenchkitError(f"detector '{plugin.name}': build_head() must return a torch.nn.Module")
    return FrozenNetwork(make_trunk or (lambda: build_trunk(owner)), head, channels)
