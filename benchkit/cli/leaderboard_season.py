"""`benchkit leaderboard season`: commit to fresh test images, reveal them, score stored detectors on them."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options, progress
from benchkit.cli.common import console, load_registry, places_named, print_json, tell
from benchkit.cli.unused_options import App
from benchkit.errors import BenchkitError

if TYPE_CHECKING:
    from benchkit.leaderboard.season_score import SeasonScore

app = App(help="Commit to fresh test images, reveal them later, and score stored detectors on them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The season's name.")]
Folder = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The folder of the seasons' files.")]
SEASONS = Path("leaderboard/seasons")


@app.command("commit")
def commit(
    name: Name,
    dataset: Annotated[
        str,
        typer.Option("--dataset", metavar="NAME[:k=v,…]", help="A dataset that draws fresh images: portraits-fresh."),
    ],
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="How many images.")] = 500,
    first: Annotated[int, typer.Option("--first", min=0, metavar="N", help="The index of the first image.")] = 0,
    secret: Annotated[
        str | None, typer.Option("--secret", metavar="TEXT", help="At least 16 characters. Default: drawn and printed.")
    ] = None,
    folder: Folder = SEASONS,
    plugin: options.PluginFiles = None,
) -> None:
    """Write DIR/NAME.json with the commitment: publish it now, and keep the secret until the season ends."""
    from benchkit.leaderboard import season as seasons

    if (folder / f"{name}.json").exists():
        raise BenchkitError(f"season '{name}' exists already: a commitment is made once")
    drawn = secret or secrets.token_hex(16)
    made = seasons.commit(name, dataset, first, count, drawn, load_registry(plugin, None))
    print(f"{seasons.write_season(made, folder)}: {made.commitment}")
    if secret is None:
        tell(f"keep this secret, it is written nowhere: {drawn}")


@app.command("reveal")
def reveal(
    name: Name,
    secret: Annotated[str, typer.Option("--secret", metavar="TEXT", help="The secret that was committed to.")],
    images: Annotated[
        Path | None, typer.Option("--images", metavar="FILE.npz", help="Draw the season's images into this file.")
    ] = None,
    model: options.Checkpoint = "portraits",
    device: options.Device = "cpu",
    folder: Folder = SEASONS,
    plugin: options.PluginFiles = None,
) -> None:
    """Check the secret against the commitment, write it into DIR/NAME.json, and draw the images."""
    from benchkit.leaderboard import season as seasons

    made = seasons.reveal(seasons.find_season(name, folder), secret)
    if images is not None:
        from benchkit.cli.data import load_autoencoder
        from benchkit.system.output_files import check_file, write_file

        check_file(images, force=True)
        with redirect_stdout(sys.stderr), progress.shown() as screen:
            registry = load_registry(plugin, None)
            data = seasons.draw_season(made, registry, load_autoencoder(model, device)[1], screen.note)
        write_file(images, data)
        drawn = hashlib.sha256(data).hexdigest()
        if made.images not in (None, drawn):
            tell(
                "note: these images differ from those drawn first, as rounding does on another processor: use the first"
            )
        made = replace(made, images=made.images or drawn)
        print(f"{images}: {made.count} images, {len(data) / 1e6:.1f} MB")
    print(f"{seasons.write_season(made, folder)}: the secret is the one that was committed to")


@app.command("score")
def score(
    run: options.RunName,
    name: Name,
    images: Annotated[Path, typer.Option("--images", metavar="FILE.npz", help="What `season reveal` drew.")],
    submission: Annotated[
        Path | None,
        typer.Option("--submission", metavar="DIR", help="The run's submission: write season-NAME.json beside it."),
    ] = None,
    device: options.Device = "cpu",
    executor: options.ExecutorName = "inline",
    cache: options.Cache = None,
    store: options.Store = None,
    folder: Folder = SEASONS,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Score the trained detectors of a run on a revealed season, and print public and fresh figures side by side.

    The weights are read from the run's cache. A submission has no weights, so only the owner of the run can score it.
    """
    from benchkit.leaderboard import season as seasons
    from benchkit.leaderboard.season_score import score_season
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.runs.finding import open_results
    from benchkit.runs.work import load_run_data
    from benchkit.system.devices import resolve_device
    from benchkit.system.output_files import write_file

    made = seasons.find_season(name, folder)
    if made.secret is None or not made.matches(made.secret):
        raise BenchkitError(f"season '{name}' is not revealed yet: run 'benchkit leaderboard season reveal' first")
    stages_run_in = options.parse_executor(executor, None, None)
    places = places_named(run, cache, store)
    with redirect_stdout(sys.stderr), progress.shown() as screen:
        opened = FinishedRun.open(run, places, load_registry(plugin, plugin_folder), resolve_device(device))
        if submission is not None:
            from benchkit.leaderboard.submission import read_submission

            if (of := read_submission(submission).facts.run) != opened.id:
                raise BenchkitError(f"'{submission}' is the submission of run {of}, not of {opened.id}")
        public = load_run_data(opened.id, open_results(places, run), {}, opened.info.config)
        reporting = progress.ReportingExecutor(screen, stages_run_in, "board of the season")
        found = score_season(opened, public, made, str(images.resolve()), reporting, screen.note)
    if submission is not None:
        text = json.dumps(found.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        write_file(submission / f"season-{name}.json", f"{text}\n".encode())
    print_json(found.as_json()) if as_json else _print_score(found)


def _print_score(found: SeasonScore) -> None:
    from rich import box
    from rich.table import Table

    from benchkit.report.text import bare, percent

    for detector, tau in found.tau.items():
        table = Table(title=f"season {found.season.name}: {bare(detector)}", title_justify="left", box=box.SIMPLE_HEAD)
        for header in ("row", "IoU public", "fresh", "rank public", "fresh"):
            table.add_column(header, justify="left" if header == "row" else "right")
        for one in found.pairs:
            if str(one["detector"]) == detector:
                figures = [percent(one[what]) for what in ("public", "fresh")]
                ranks = ["" if one[what] is None else f"{one[what]:g}" for what in ("public_rank", "fresh_rank")]
                table.add_row(str(one["training_set"]), *figures, *ranks)
        console().print(table, markup=False)
        print(f"Kendall's tau of the two orders: {'unknown' if tau is None else f'{tau:.2f}'}")
