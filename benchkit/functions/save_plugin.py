"""Write a plugin class of a Python session to a plugin file."""

from __future__ import annotations

import inspect
from pathlib import Path

from benchkit.api import Plugin
from benchkit.errors import ArgumentTypeError, ArgumentValueError, BenchkitError, describe_value


def save_plugin(cls: type[Plugin], path: str | Path, *, force: bool = False) -> Path:
    """Write a plugin class of a notebook to a file that every process can load, and return its path.

    The file contains the class, the functions and constants that it uses, and their imports. It is loaded once, to see
    that it works. Name it in `plugins=[…]`, or as a plugin file of the command line. Results of the class are found
    again under the file, because the same text identifies both.

    path: a new .py file. force: replace a file. Raises ArgumentTypeError for anything but a plugin class,
    ArgumentValueError if the source cannot be read or a variable cannot be written down, and BenchkitError if the file
    exists, cannot be written, or does not load.

    Example:
        >>> import benchkit
        >>> from dataclasses import dataclass
        >>> from benchkit.api import PixelCorruptor
        >>> @dataclass(frozen=True)
        ... class Darker(PixelCorruptor):
        ...     "Less light."
        ...     factor: float = 0.5
        ...
        ...     def corrupt(self, at):
        ...         return at.images * self.factor
        >>> benchkit.save_plugin(Darker, "darker.py").name
        'darker.py'
    """
    from benchkit.plugin.class_source import plugin_source
    from benchkit.plugin.registry import Registry
    from benchkit.system.output_files import check_file, write_file
    from benchkit.system.paths import check_path

    if not inspect.isclass(cls) or not issubclass(cls, Plugin):
        hint = f": give its class, {type(cls).__name__}" if isinstance(cls, Plugin) else ": give a plugin class"
        raise ArgumentTypeError(f"cls: {describe_value(cls)} is no plugin class{hint}")
    file = check_path("path", path)
    if file.suffix != ".py":
        raise ArgumentValueError(f"path='{file}': name a .py file, such as my_plugin.py")
    check_file(file, force)
    try:
        name = Registry.load().add_class(cls).name
        text = plugin_source(cls, name)
    except BenchkitError as error:
        raise ArgumentValueError(f"cls: {error}") from None
    write_file(file, text.encode())
    loaded = Registry.load(files=[file])
    broken = [one for one in loaded.broken if one.origin == str(file)]
    if broken or not any(entry.name == name for entry in loaded.from_file(file)):
        reason = broken[0].reason if broken else "it does not define the plugin"
        raise BenchkitError(f"'{file}' was written and does not load: {reason}; correct it there")
    return file
