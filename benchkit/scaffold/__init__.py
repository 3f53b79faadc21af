"""New plugins from templates: a file that runs and passes its checks, with one line to change."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from benchkit.errors import BenchkitError, UnknownNameError
from benchkit.plugin.registry import KINDS, Registry
from benchkit.plugin.validation import is_name

Space = Literal["latent", "pixel", "resampling"]
SPACES: tuple[Space, ...] = ("latent", "pixel", "resampling")
_OF_SPACE = {"latent": "LatentCorruptor", "pixel": "PixelCorruptor", "resampling": "ResamplingCorruptor"}
#: Kind -> its base class; a corruptor's depends on its space.
BASES = {"selector": "RegionSelector", "detector": "Detector", "inverter": "Inverter", "dataset": "Dataset"}


def new_plugin(
    kind: str, name: str, registry: Registry, *, space: Space = "latent", package: bool = False
) -> dict[str, str]:
    """Return the files of a new plugin, relative path -> text: one module, or a package.

    name: kebab-case. space: of a corruptor. registry: the existing plugins. Raises BenchkitError for an unknown kind,
    and for a wrong or existing name.
    """
    _check(kind, name, registry)
    facts: dict[str, str | bool] = {**facts_of(kind, name, space), "hooked": package}
    module = f"{facts['module']}.py"
    template = f"corruptor-{space}" if kind == "corruptor" else kind
    files = {module: render(f"{template}.py.jinja", facts)}
    if not package:
        return files
    folder = facts["distribution"]
    around = {"pyproject.toml": "pyproject.toml.jinja", "README.md": "README.md.jinja"}
    around[f"tests/test_{facts['module']}.py"] = "test_plugin.py.jinja"
    return {
        f"{folder}/{facts['package']}.py": files[module],
        **{f"{folder}/{path}": render(source, facts) for path, source in around.items()},
    }


def write_plugin(files: Mapping[str, str], out: Path) -> list[Path]:
    """Write the files below `out`, all or none; raise BenchkitError if one exists."""
    targets = {out / path: text for path, text in files.items()}
    for target in targets:
        if target.exists() or target.is_symlink():
            raise BenchkitError(f"'{target}' exists already: choose another name, or another folder with `out`")
    for target, text in targets.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise BenchkitError(f"cannot write '{target}': {error.strerror or error}; choose another `out`") from None
    return list(targets)


def _check(kind: str, name: str, registry: Registry) -> None:
    if kind not in KINDS:
        raise UnknownNameError("kind of plugin", kind, KINDS)
    if not is_name(name) or not name[0].isalpha():
        raise BenchkitError(
            f"'{name}' is not a name for a plugin: write lower-case words joined by '-', such as my-method"
        )
    if keyword.iskeyword(name):
        raise BenchkitError(f"'{name}' is a keyword of Python: add a word, such as {name}-{kind}")
    existing = {entry.name: entry.origin for entry in registry.entries(kind)}
    if name in existing:
        raise BenchkitError(f"a {kind} named '{name}' exists already ({existing[name]}): choose another name")


def facts_of(kind: str, name: str, space: Space) -> dict[str, str]:
    """Return the values for the templates."""
    words = name.split("-")
    cls = "".join(word.capitalize() for word in words)
    base = _OF_SPACE[space] if kind == "corruptor" else BASES[kind]
    return {
        "kind": kind,
        "name": name,
        "words": " ".join(words),
        "cls": cls,
        # The plugin's name in the module: a latent corruptor is written as a function.
        "plugin": "_".join(words) if (kind, space) == ("corruptor", "latent") else cls,
        "module": "_".join(words),
        "base": base,
        "distribution": f"benchkit-{name}",
        "package": f"benchkit_{'_'.join(words)}",
    }


def render(template: str, facts: Mapping[str, str | bool]) -> str:
    """Return one template, filled with the facts."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # The result is Python and TOML, which need no escaping.
    environment = Environment(
        loader=PackageLoader("benchkit.scaffold"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    return environment.get_template(template).render(facts)
