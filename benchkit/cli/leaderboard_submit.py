"""`benchkit leaderboard submit` and `check`: boards as files that anybody can check. They load no torch."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from benchkit.cli import options
from benchkit.cli.common import find_named_locations, print_json, tell
from benchkit.errors import BenchkitError


def submit(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or the start of an id, or its --out folder.")],
    name: Annotated[
        str, typer.Option("--name", help="Of the submission and its folder: letters, digits, '-' and '_'.")
    ],
    link: Annotated[str | None, typer.Option("--link", metavar="URL", help="Where to read about the rows.")] = None,
    contact: Annotated[str | None, typer.Option("--contact", help="Whom to ask.")] = None,
    tuned_on: Annotated[
        str | None, typer.Option("--tuned-on", help="On which data settings were chosen, such as 'validation'.")
    ] = None,
    seen: Annotated[
        str | None, typer.Option("--seen", help="Which data plugins or their weights were trained on before.")
    ] = None,
    plugin_link: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin-link",
            metavar="'KIND NAME=URL'",
            help="Where to get a plugin that does not ship with benchkit; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder in which the folder --name is made.")
    ] = Path("leaderboard/submissions"),
    examples: Annotated[
        bool,
        typer.Option(
            "--examples/--no-examples",
            help="Add small images of every row: corrupted ones, and the heat maps of its detectors on test images. "
            "They are read from the run's cache; its plugins must be installed.",
        ),
    ] = False,
    force: options.Force = False,
    cache: options.Cache = None,
    store: options.Store = None,
    as_json: options.AsJson = False,
    plugin: options.PluginFiles = None,
    plugin_folder: options.PluginFolders = None,
) -> None:
    """Write a finished run as a submission: its rows, what was measured on every test image, and its board."""
    from benchkit.leaderboard.examples import examples_to_parquet
    from benchkit.leaderboard.season_check import find_stale_scores
    from benchkit.leaderboard.submission import FACTS, write_submission
    from benchkit.leaderboard.submit import Declaration, make_submission
    from benchkit.runs.find_run import open_results
    from benchkit.system.output_files import check_folder

    links = [one.partition("=") for one in plugin_link or ()]
    if bad := ["".join(one) for one in links if not one[1] or len(one[0].split()) != 2]:
        raise BenchkitError(
            f"--plugin-link '{bad[0]}': write 'KIND NAME=https://…', such as 'corruptor mine=https://…'"
        )
    locations = find_named_locations(run, cache, store)
    results = open_results(locations, run)
    declared = Declaration(name, link, contact, tuned_on, seen, {plugin.strip(): url for plugin, _, url in links})
    facts = declared.checked()
    folder = out / facts.name
    check_folder(folder, force, FACTS, "a submission")
    submission = make_submission(results.find_run(run), results, declared)
    images = b""
    if examples:
        from benchkit.cli.common import load_registry
        from benchkit.leaderboard.make_examples import make_examples
        from benchkit.outputs.finished_run import FinishedRun

        with redirect_stdout(sys.stderr):
            opened = FinishedRun.open(run, locations, load_registry(plugin, plugin_folder))
            images = examples_to_parquet(make_examples(opened, tell))
    stale = find_stale_scores(folder, submission.facts.run)
    sizes = write_submission(submission, folder, force, images, stale)
    for name in stale:
        tell(
            f"note: removed {folder / name}: it was the score of another run; score this run with "
            "'benchkit leaderboard season score'"
        )
    if as_json:
        print_json({"folder": str(folder), "files": sizes, "protocol": submission.facts.protocol})
    else:
        cells, number = len(submission.rows), sum(map(len, submission.images.values()))
        print(f"{folder}: {cells} cells on {number} test images, {sum(sizes.values()) / 1e6:.1f} MB")
        print(f"check it with: benchkit leaderboard check {folder}")


def check(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR…", help="Folders of submissions, or folders that contain some.")
    ],
    seasons: Annotated[Path, typer.Option("--seasons", metavar="DIR", help="The folder of the seasons' files.")] = Path(
        "leaderboard/seasons"
    ),
    as_json: options.AsJson = False,
) -> None:
    """Check submissions: every figure is recomputed from what was measured on the test images. Exit code 2: a fault.

    All faults are printed, one line for each submission. Plugins are loaded to compare their sources, and not run.
    """
    from benchkit.leaderboard.check import check_together, find_submissions
    from benchkit.leaderboard.check_all import check_all
    from benchkit.leaderboard.merge import group_by_protocol
    from benchkit.leaderboard.season import list_seasons
    from benchkit.leaderboard.season_check import check_scores_together
    from benchkit.plugin.registry import Registry

    shipped = {f"{one.kind} {one.name}": one.source_hash for one in Registry.load().entries() if one.is_built_in}
    outcomes = list(check_all(find_submissions(folders), shipped, list_seasons(seasons)))
    checked = [one.checked for one in outcomes if one.checked is not None]
    faults = [one.fault for one in outcomes if one.fault]
    scores = [score for one in outcomes for score in one.scores]
    if not faults:
        check_together(checked)
        check_scores_together(scores)
    scored = {one.submission.facts.name: [s.season.name for s in scores if s.public is one] for one in checked}
    groups = group_by_protocol([one.submission for one in checked])
    if as_json:
        found = [
            {
                "name": one.submission.facts.name,
                "protocol": one.submission.facts.protocol,
                "cells": len(one.submission.rows),
                "rows": len(one.board.frame),
                "notes": list(one.notes),
                "seasons": scored[one.submission.facts.name],
            }
            for one in checked
        ]
        print_json({"submissions": found, "faults": faults})
    for one in checked if not as_json else ():
        own = one.submission
        print(f"{own.facts.name}: recomputed, {len(one.board.frame)} rows, {len(own.terms)} cells with terms")
        for note in one.notes:
            print(f"  note: {note}")
        for season in scored[own.facts.name]:
            print(f"  season {season}: recomputed")
    if len(groups) > 1 and not as_json:
        print(f"{len(groups)} protocols: their rows are ranked apart")
    for fault in faults[1:]:
        tell(f"error: {fault}")
    if faults:
        raise BenchkitError(faults[0])
