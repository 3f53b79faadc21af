"""`benchkit leaderboard build` and `serve`: a static site of boards, and a way to open it. They load no torch."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import load_registry, tell
from benchkit.errors import BenchkitError

#: Where submissions lie in a checkout.
SUBMISSIONS = Path("leaderboard/submissions")
SEASONS = Path("leaderboard/seasons")


def build(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR…",
            help=f"Runs' --out folders, submissions, or folders of these; by default {SUBMISSIONS}.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="SITE", help="The folder to write; an earlier site is replaced.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="SITE", help="Write nothing; exit with code 2 if this site differs from what the data give."
        ),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="SITE",
            help="An earlier site, or its downloads/rows.json or rows.parquet: the page of changes compares with it.",
        ),
    ] = None,
    seasons: Annotated[
        Path, typer.Option("--seasons", metavar="DIR", help="The folder of the seasons' files.")
    ] = SEASONS,
    paper: Annotated[
        bool, typer.Option("--paper/--no-paper", help="Include the figures that the paper reports.")
    ] = True,
    workflows: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write workflow files that publish the site on GitHub Pages and as a Space."
        ),
    ] = None,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Build a static site of boards: it needs no server, asks no other host, and works from a folder or a zip."""
    if workflows is not None:
        from benchkit.leaderboard.site.workflows import write_workflows

        for path in write_workflows(workflows):
            print(path)
    if out is None and check is None:
        if workflows is None:
            raise BenchkitError("name the folder to write with `out`, or a site to compare with `check`")
        return
    from benchkit.leaderboard.season import list_seasons
    from benchkit.leaderboard.site.build import find_drift, make_site, write_site
    from benchkit.leaderboard.site.changes import load_earlier
    from benchkit.leaderboard.site.sources import load_sources
    from benchkit.report.leaderboard_lines import paper_lines

    if not folders and not SUBMISSIONS.is_dir():
        raise BenchkitError(f"there is no folder {SUBMISSIONS} here: name the folders of the boards")
    earlier = None if since is None else load_earlier(since)
    registry = load_registry(plugin, plugin_folder)
    shipped = {f"{one.kind} {one.name}": one.source_hash for one in registry.entries() if one.is_built_in}
    opened = list_seasons(seasons)
    sources = load_sources(folders or [SUBMISSIONS], shipped, opened)
    files = make_site(sources, paper_lines() if paper else (), registry, earlier, opened)
    if check is not None:
        if drift := find_drift(files, check):
            raise BenchkitError(f"'{check}' is not what the data give: {'; '.join(drift)}; build it again")
        print(f"{check}: {len(files) + 1} files are what the data give")
    if out is not None:
        write_site(files, out)
        boards = f"{len(sources)} board{'s' if len(sources) != 1 else ''}"
        print(f"{out}: {len(files) + 1} files, {boards}; open {out / 'index.html'}")


def serve(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="A site that `benchkit leaderboard build` wrote.")],
    port: Annotated[int, typer.Option(help="The port; 0 chooses a free one.", min=0, max=65535)] = 8000,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Serve a site on this machine alone, and open it; end with Ctrl-C. A site needs no server: this is for comfort."""
    import webbrowser

    from benchkit.leaderboard.site.build import read_manifest

    read_manifest(site)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(site)))
    except OSError as error:
        raise BenchkitError(f"port {port} cannot be used: {error.strerror or error}; choose another `port`") from None
    with server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(address, flush=True)
        tell("serving; end with Ctrl-C")
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        server.serve_forever()


class _Quiet(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""
