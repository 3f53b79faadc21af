"""Build a site from boards: its files are made one after the other, and written, or compared with those on disk."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING

from benchkit.errors import BenchkitError
from benchkit.leaderboard.season import Season
from benchkit.leaderboard.site.changes import Earlier, find_changes, find_season_changes
from benchkit.leaderboard.site.costs import Costs
from benchkit.leaderboard.site.downloads import download_files, scored_records, season_records
from benchkit.leaderboard.site.files import Content, Files
from benchkit.leaderboard.site.pages import Pages
from benchkit.leaderboard.site.payload import data_script, pairs_scripts
from benchkit.leaderboard.site.rows import make_tables
from benchkit.leaderboard.site.sources import Source
from benchkit.report.leaderboard_lines import PaperLine
from benchkit.system.output_files import format_names, replace_folder

if TYPE_CHECKING:
    from benchkit.plugin.registry import Registry

#: Lists the files of a site with their sha256, and the versions that made them; it identifies a folder as a site.
MANIFEST = "site.json"
#: Packages that decide the bytes of a site.
_DECIDING = ("artifact-benchkit", "matplotlib", "pandas", "plotly", "pyarrow")


def make_site(
    sources: Sequence[Source],
    paper: Sequence[PaperLine],
    registry: Registry,
    earlier: Earlier | None = None,
    seasons: Sequence[Season] = (),
) -> Files:
    """Return the files of a site; the same input and versions give the same bytes.

    paper: the figures that the paper prints. registry: the plugins that pages describe. earlier: an earlier site, see
    `load_earlier`; None without one. seasons: all that were opened, scored or not.
    """
    tables = make_tables(sources, paper, Costs(registry))
    contents: dict[str, Content] = {
        "assets/plotly.min.js": read_plotly(),
        "assets/site.css": (_text("page.css", "benchkit.report") + _text("site.css")).encode(),
        "assets/site.js": _text("site.js").encode(),
        "assets/board.js": _text("board.js").encode(),
        "assets/sort.js": _text("page.js", "benchkit.report").encode(),
        "data/board.js": partial(data_script, tables),
        ".nojekyll": b"",
    }
    contents |= {f"data/pairs-{slug}.js": text.encode() for slug, text in pairs_scripts(tables).items()}
    contents |= download_files(sources, tables, seasons)
    for source in sources:
        contents |= source.gallery.files
    changes = None
    if earlier is not None:
        seasons_changed = find_season_changes(earlier, season_records(seasons, tables), scored_records(tables))
        changes = [*seasons_changed, *find_changes(earlier.rows, tables.rows)]
    return Files(contents | Pages(sources, tables, registry, changes, sorted(contents), seasons).files())


def read_plotly() -> bytes:
    """Return Plotly's script, which its Python package contains; the package itself is not imported."""
    spec = importlib.util.find_spec("plotly")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "package_data" / "plotly.min.js"
        if file.is_file():
            return file.read_bytes()
    raise BenchkitError("the charts' library is not installed: pip install plotly")


def write_site(files: Files, out: Path) -> None:
    """Write a site's files into a folder that is new, empty, or contains an earlier site, which is replaced.

    Raises BenchkitError for any other folder; then nothing is written.
    """

    def earlier() -> list[str]:
        return sorted({path.partition("/")[0] for path in [*read_manifest(out), *files]})

    with replace_folder(out, True, MANIFEST, earlier) as aside:
        digests = {path: files.write(path, aside / path) for path in sorted(files)}
        (aside / MANIFEST).write_bytes(_manifest(digests))


def read_manifest(site: Path) -> dict[str, str]:
    """Return the files of a site on disk and their sha256; raise BenchkitError if the folder is no site."""
    try:
        data = json.loads((site / MANIFEST).read_text("utf-8"))
        return {str(path): str(digest) for path, digest in data["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise BenchkitError(f"'{site}' is no site: build it with `benchkit leaderboard build`") from None


def find_drift(files: Files, site: Path) -> list[str]:
    """Return how a site on disk differs from the files that its data give now, a sentence each; empty where in nothing.

    Raises BenchkitError if the folder is no site.
    """
    read_manifest(site)
    lacking = [path for path in files if not (site / path).is_file()]
    differing, digests = [], {}
    for path in sorted(set(files).difference(lacking)):
        differs, digests[path] = files.differs(path, site / path)
        differing += [path] * differs
    if not lacking and (site / MANIFEST).read_bytes() != _manifest(digests):
        differing.append(MANIFEST)
    present = [str(path.relative_to(site)) for path in sorted(site.rglob("*")) if path.is_file()]
    hidden = (".git/", ".github/")
    extra = [path for path in present if path not in (*files, MANIFEST) and not path.startswith(hidden)]
    found = [
        f"{len(paths)} files {words}: {format_names(paths)}"
        for words, paths in (("differ", differing), ("are missing", lacking), ("are not of this site", extra))
        if paths
    ]
    return [*found, *(_other_versions(site) if found else ())]


def _manifest(digests: Mapping[str, str]) -> bytes:
    return (json.dumps({"versions": _versions(), "files": digests}, indent=1) + "\n").encode()


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _DECIDING}


def _other_versions(site: Path) -> list[str]:
    try:
        earlier = json.loads((site / MANIFEST).read_text("utf-8")).get("versions", {})
    except (OSError, ValueError, AttributeError):
        return []
    now = _versions()
    other = [f"{name} {earlier.get(name)}, here {now[name]}" for name in now if earlier.get(name) != now[name]]
    return [f"it was built with other versions: {'; '.join(other)}"] if other else []


def _text(name: str, package: str = "benchkit.leaderboard.site") -> str:
    return (resources.files(package) / "templates" / name).read_text("utf-8")
