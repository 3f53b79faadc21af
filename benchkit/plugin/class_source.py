"""The source of a plugin class that no plugin file has, such as a class of a notebook, as the text of a plugin file.

The text is the class's identity: it holds everything that the class uses, so an edit of a helper function changes it
too. `save_plugin` writes the same text, so that the file finds the results of the notebook.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import inspect
import linecache
import math
import symtable
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Literal, get_origin

from benchkit import api
from benchkit.errors import BenchkitError

_FUTURE = "from __future__ import annotations"
_BUILT_IN = frozenset(dir(builtins)) | {"__class__", "__name__", "__file__"}
_REMEDY = "write the class to a .py file, and name the file in `plugins`"


def plugin_source(cls: type[api.Plugin], name: str) -> str:
    """Return the text of a plugin file that defines this class under this name.

    It contains the class, the functions, classes and constants of the session that it uses, and the imports that they
    need. Raises BenchkitError if the source cannot be read, and for a variable whose value has no text.
    """
    parts = _Parts(cls)
    parts.add(cls.__name__, cls)
    named = "" if _states_name(parts.definitions[-1]) else f'\n\n\n{cls.__name__}.name = "{name}"'
    imports = "\n".join([_FUTURE, "", *sorted(parts.imports)]).rstrip()
    constants = "\n".join(parts.constants)
    pieces = [f'"""The {cls.kind} `{name}`."""', imports, *([constants] if constants else [])]
    return "\n\n".join(pieces) + "".join(f"\n\n\n{one}" for one in parts.definitions) + named + "\n"


def _states_name(text: str) -> bool:
    """Return whether a definition names the plugin: a class body that sets `name`, or a function under @corruptor."""
    top = ast.parse(text).body[-1]
    if not isinstance(top, ast.ClassDef):
        return True
    targets = [one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)] for one in top.body]
    return any(isinstance(one, ast.Name) and one.id == "name" for several in targets for one in several)


class _Parts:
    """What one class needs: import statements, constants, and definitions in the order of their use."""

    def __init__(self, cls: type[api.Plugin]) -> None:
        self.imports: set[str] = set()
        self.constants: list[str] = []
        self.definitions: list[str] = []
        self._cls = cls
        self._known: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        """Add the definition of a class or function of the session, after those that it uses."""
        self._known[name] = value
        text = _definition(value)
        namespace = _namespace(value)
        needed, mentioned = _names_in(text)
        for used in sorted(needed | mentioned):
            if used in _BUILT_IN and used not in namespace:
                continue
            if used in namespace:
                self._use(used, namespace[used], needed=used in needed)
            elif used in needed and used not in self._known:
                raise self._error(f"uses '{used}', which is no variable at the top level of the session: {_REMEDY}")
        self.definitions.append(text)

    def _use(self, name: str, value: Any, needed: bool) -> None:
        if name in self._known:
            if self._known[name] is not value:
                raise self._error(f"uses two different objects named '{name}': rename one of them")
            return
        own = inspect.isclass(value) or isinstance(_plain(value), FunctionType)
        if isinstance(value, ModuleType):
            self._import(name, f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"), value)
        elif own and not _is_installed(value.__module__):
            if not needed:
                return
            actual = _plain(value).__name__
            self.add(actual, value)
            if actual != name:
                self.definitions.append(f"{name} = {actual}")
        elif (statement := _import_statement(name, value)) is not None:
            self.imports.add(statement)
        elif get_origin(value) is Literal:
            self.imports.add("import typing")
            self.constants.append(f"{name} = {value!r}")
        elif _has_text(value):
            self.constants.append(f"{name} = {value!r}")
        elif not needed:
            return
        else:
            raise self._error(
                f"uses the variable '{name}' (of type {type(value).__name__}), whose value cannot be written down: "
                "make it a parameter of the class, or compute it inside of the class"
            )
        self._known[name] = value

    def _import(self, name: str, statement: str, module: ModuleType) -> None:
        """Add an import; that of a module of the user's own carries a digest, so that an edit changes the text."""
        file = getattr(module, "__file__", None)
        if not _is_installed(module.__name__) and file is not None:
            statement += f"  # sha256 {hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
        self.imports.add(statement)

    def _error(self, text: str) -> BenchkitError:
        return BenchkitError(f"class {self._cls.__name__} {text}")


def _plain(value: Any) -> Any:
    """Return a class or the innermost function of decorated ones, such as those of `functools.cache`."""
    function = vars(value).get("made_of") if inspect.isclass(value) else None  # a class that @corruptor made
    if function is not None:
        return inspect.unwrap(function.__func__)
    return value if inspect.isclass(value) or not callable(value) else inspect.unwrap(value)


def _namespace(value: Any) -> dict[str, Any]:
    """Return the global names of a class's or function's code."""
    plain = _plain(value)
    functions = [plain] if isinstance(plain, FunctionType) else list(_functions_of(plain))
    return functions[0].__globals__ if functions else vars(sys.modules[plain.__module__])


def _definition(value: Any) -> str:
    """Return the source of a class or function, with its decorators; raise BenchkitError if there is none."""
    plain = _plain(value)
    codes = [plain.__code__] if isinstance(plain, FunctionType) else [one.__code__ for one in _functions_of(plain)]
    for code in codes:
        lines = linecache.getlines(code.co_filename)
        for node in ast.walk(_parsed("".join(lines))):
            if _is_definition(node, plain, code):
                if _is_outdated(code, lines):
                    raise BenchkitError(
                        f"{plain.__name__}: '{code.co_filename}' was edited after it was imported: import it again"
                    )
                return textwrap.dedent("".join(lines[_first_line(node) - 1 : node.end_lineno])).rstrip()  # type: ignore[attr-defined]
    if inspect.isclass(plain) and (found := _find_by_name(plain)):
        return found
    raise BenchkitError(f"the source of {plain.__name__} cannot be read, and it identifies the results: {_REMEDY}")


def _find_by_name(cls: type) -> str | None:
    """Return the source of a class without a method of its own, which nothing but its name finds; None if unclear."""
    try:
        return textwrap.dedent(inspect.getsource(cls)).rstrip()
    except (OSError, TypeError):
        pass
    found = set()
    for entry in list(linecache.cache.values()):
        lines = entry[2] if len(entry) == 4 and entry[1] is None else []  # cells have no time of a file
        for node in ast.walk(_parsed("".join(lines))):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                found.add("".join(lines[_first_line(node) - 1 : node.end_lineno]).rstrip())
    return found.pop() if len(found) == 1 else None


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _functions_of(cls: type) -> Iterator[FunctionType]:
    """Yield the functions that a class body defines; not those that `dataclass` makes, which have no source."""
    for member in vars(cls).values():
        function = inspect.unwrap(getattr(member, "__func__", getattr(member, "fget", member)) or member)
        own = isinstance(function, FunctionType) and function.__qualname__.startswith(f"{cls.__qualname__}.")
        if own and function.__code__.co_filename != "<string>":
            yield function


def _is_definition(node: ast.AST, value: Any, code: CodeType) -> bool:
    kinds = ast.ClassDef if inspect.isclass(value) else (ast.FunctionDef, ast.AsyncFunctionDef)
    if not isinstance(node, kinds) or node.name != value.__name__:
        return False
    if inspect.isclass(value):
        return node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
    return _first_line(node) == code.co_firstlineno


def _first_line(node: Any) -> int:
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _is_outdated(code: CodeType, lines: list[str]) -> bool:
    """Return whether a file on the disk no longer contains the code that runs."""
    if not Path(code.co_filename).is_file():
        return False
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename)
    try:
        found = _find_code(compile("".join(lines), code.co_filename, "exec", dont_inherit=True), code.co_qualname)
    except (SyntaxError, ValueError):
        return True
    return found is None or (found.co_code, found.co_names) != (code.co_code, code.co_names)


def _find_code(code: CodeType, name: str) -> CodeType | None:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found = inner if inner.co_qualname == name else _find_code(inner, name)
            if found is not None:
                return found
    return None


def _names_in(text: str) -> tuple[set[str], set[str]]:
    """Return the global names that a definition needs when it runs, and those that only its annotations mention."""
    tree = ast.parse(text)
    top = symtable.symtable(f"{_FUTURE}\n{text}", "definition", "exec")
    needed = set(_globals_of(top))
    for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for one in cls.body:  # parameters: their types are evaluated
            needed |= _loaded(one.annotation) if isinstance(one, ast.AnnAssign) else set()
    mentioned: set[str] = set()
    for node in ast.walk(tree):
        annotation = node.returns if isinstance(node, ast.FunctionDef) else getattr(node, "annotation", None)
        mentioned |= _loaded(annotation)
    return needed, mentioned - needed


def _globals_of(table: symtable.SymbolTable) -> Iterator[str]:
    is_top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or is_top) and not (is_top and symbol.is_assigned()):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _globals_of(inner)


def _loaded(node: ast.AST | None) -> set[str]:
    return set() if node is None else {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _import_statement(name: str, value: Any) -> str | None:
    """Return the statement that imports an object of an installed module under this name; None if there is none."""
    actual = getattr(value, "__name__", getattr(value, "_name", None)) or name
    own = getattr(value, "__module__", None)
    modules = ["benchkit.api", own] if isinstance(own, str) else []
    if not modules and _has_text(value):
        return None
    for module in (*modules, *sorted(map(str, sys.modules), key=lambda one: (one.count("."), one))):
        space = getattr(sys.modules.get(module), "__dict__", {})
        if module != "__main__" and space.get(actual) is value and _is_installed(module):
            return f"from {module} import {actual}" + ("" if actual == name else f" as {name}")
    return None


@cache
def _is_installed(module: str) -> bool:
    """Return whether a module belongs to Python or to an installed package, and so is not the user's own to edit."""
    top = module.partition(".")[0]
    if module == "__main__" or top in sys.stdlib_module_names or top in ("benchkit", "benchkit_plugins"):
        return module != "__main__"
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:  # a namespace package, or the namespace of cells
        return getattr(sys.modules.get(top), "__spec__", None) is not None
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _has_text(value: Any) -> bool:
    """Return whether `repr` writes the value so that Python reads it again."""
    if isinstance(value, float):
        return math.isfinite(value)
    if type(value) in (tuple, list):
        return all(map(_has_text, value))
    if type(value) is dict:
        return all(_has_text(key) and _has_text(own) for key, own in value.items())
    return value is None or type(value) in (bool, int, str, bytes)
