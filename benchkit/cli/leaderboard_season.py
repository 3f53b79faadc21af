"""`benchkit leaderboard season`: commit to fresh test images, reveal them, score stored detectors on them."""

from __future__ import annotations

import hashlib
import secrets
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import console, find_named_locations, load_registry, print_json, tell
from benchkit.cli.unused_options import App
from benchkit.errors import BenchkitError
from benchkit.functions import progress

if TYPE_CHECKING:
    from benchkit.leaderboard.season_result import SeasonResult

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
    beacon_source: Annotated[
        str | None,
        typer.Option(
            "--beacon-source",
            metavar="TEXT",
            help="Which public value of a later time is mixed in at `reveal`, e.g. a block or a round of a public "
            "randomness beacon. Then nobody, not even you, can know the images now.",
        ),
    ] = None,
    folder: Folder = SEASONS,
    plugin: options.PluginFiles = None,
) -> None:
    """Write DIR/NAME.json with the commitment: publish it now, and keep the secret until the season ends."""
    from benchkit.leaderboard import season as seasons

    if (folder / f"{name}.json").exists():
        raise BenchkitError(f"season '{name}' exists already: a commitment is made once")
    drawn = secret or secrets.token_hex(16)
    made = seasons.commit(name, dataset, first, count, drawn, load_registry(plugin, None), beacon_source)
    print(f"{seasons.write_season(made, folder)}: {made.commitment}")
    if secret is None:
        tell(f"keep this secret, it is written nowhere: {drawn}")


@app.command("reveal")
def reveal(
    name: Name,
    secret: Annotated[str, typer.Option("--secret", metavar="TEXT", help="The secret that was committed to.")],
    beacon: Annotated[
        str | None, typer.Option("--beacon", metavar="TEXT", help="The public value that the commitment announces.")
    ] = None,
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

    made = seasons.reveal(seasons.find_season(name, folder), secret, beacon)
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
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIR|RUN",
            help="The folder of a submission, in which the score is written; or a run, as its id or --out folder, to "
            "print the score only.",
        ),
    ],
    name: Name,
    images: Annotated[Path, typer.Option("--images", metavar="FILE.npz", help="What `season reveal` drew.")],
    device: options.Device = "cpu",
    executor: options.ExecutorName = "inline",
    cache: options.Cache = None,
    store: options.Store = None,
    folder: Folder = SEASONS,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Score the trained detectors of a submission on a revealed season; print public and fresh figures side by side.

    The weights are read from the cache of the submission's run. A submission has no weights, so only the owner of the
    run can score it. DIR/season-NAME gets the figures with what they follow from, as the submission itself has it.
    """
    from benchkit.leaderboard import season as seasons
    from benchkit.leaderboard.season_check import PREFIX
    from benchkit.leaderboard.season_result import SeasonResult
    from benchkit.leaderboard.season_score import score_season
    from benchkit.leaderboard.submission import FACTS, find_facts, read_submission, write_submission
    from benchkit.outputs.finished_run import FinishedRun
    from benchkit.runs.execution import load_run_data
    from benchkit.runs.find_run import open_results
    from benchkit.system.devices import resolve_device

    made = seasons.find_season(name, folder)
    if made.secret is None:
        raise BenchkitError(f"season '{name}' is not revealed yet: run 'benchkit leaderboard season reveal' first")
    stages_run_in = options.parse_executor(executor, None, None)
    facts = find_facts(Path(target)) if (Path(target) / FACTS).is_file() else None
    run = target if facts is None else facts.run
    locations = find_named_locations(run, cache, store)
    with redirect_stdout(sys.stderr), progress.shown() as screen:
        opened = FinishedRun.open(run, locations, load_registry(plugin, plugin_folder), resolve_device(device))
        public = load_run_data(opened.id, open_results(locations, run), {}, opened.info.config)
        reporting = progress.ReportingExecutor(screen, stages_run_in, "board of the season")
        scored = score_season(opened, public, made, str(images.resolve()), reporting, screen.note)
        fresh, members = scored.data, tuple[str, ...]()
        if facts is not None:
            submission = scored.as_submission(facts, made)
            write_submission(submission, Path(target) / f"{PREFIX}{name}", force=True)
            # The terms of both give the same result as the complete records, and sooner.
            public, fresh, members = read_submission(Path(target)).data, submission.data, (facts.name,)
        found = SeasonResult.of(made, public, fresh, members)
    print_json(found.as_json()) if as_json else _print_result(found)


def _print_result(found: SeasonResult) -> None:
    from rich import box
    from rich.table import Table

    from benchkit.metrics import PRIMARY
    from benchkit.report.format_values import bare, bracketed, percent, plain_number, signed

    for detector in found.detectors:
        table = Table(title=f"season {found.season.name}: {bare(detector)}", title_justify="left", box=box.SIMPLE_HEAD)
        for header in ("row", "IoU public", "fresh", "rank public", "fresh", "change of the lead over pseudo"):
            table.add_column(header, justify="left" if header == "row" else "right")
        for row in found.rows:
            if str(row.public["detector"]) == detector:
                figures = [percent(line[PRIMARY]) for line in row]
                ranks = [plain_number(line["rank"]) for line in row]
                lead = found.lead_change(row, PRIMARY)
                change = bracketed(signed(lead.change.estimate), *map(percent, (lead.change.low, lead.change.high)))
                words = f"{change} {lead.verdict or ''}".rstrip()
                table.add_row(str(row.public["training_set"]), *figures, *ranks, words)
        console().print(table, markup=False)
        agreed = found.agreement(detector)
        print(f"Kendall's tau of the two orders: {'unknown' if agreed.tau is None else f'{agreed.tau:.2f}'}")
        print(
            f"{agreed.pairs} pairs of rows differ beyond chance on the public images; on the fresh ones "
            f"{agreed.confirmed} are confirmed, {agreed.reversed} reversed"
        )
