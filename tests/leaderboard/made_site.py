"""Boards and sites for tests, made up in memory."""

from __future__ import annotations

from pathlib import Path

from benchkit.leaderboard.site.build import make_site, write_site
from benchkit.leaderboard.site.sources import Source, load_sources
from benchkit.plugin.registry import Registry
from benchkit.report.board import Board
from benchkit.report.leaderboard_lines import paper_lines
from benchkit.report.render_board import render
from benchkit.report.site.page import page
from tests.report.conftest import Maker, examples, standard

SCRIPT = "<img src=x onerror=window.hacked=1></script><script>window.hacked=1</script>"


def board_folder(folder: Path, maker: Maker) -> Path:
    """Write a run's board into a folder, as `benchkit compare --out` does; its page too, where it has pictures."""
    folder.mkdir(parents=True)
    if maker.gallery:
        run = maker.run()
        (folder / "index.html").write_text(page(run, Board.of(run)), "utf-8")
    (folder / "board.json").write_text(render(Board.of(maker.run()), "json"), "utf-8")
    return folder


def two_detectors(hostile: str = "") -> Maker:
    """Return two detectors with three seeds each, a method at two depths, and rows without figures."""
    maker = standard(seeds=(0, 1, 2), hostile=hostile)
    maker.gallery = {"blur:steps=20": examples(6)}
    for seed in (0, 1, 2):
        maker.cell("human", 0.5, seed=seed, detector="upernet-convnext:size=mini")
        for name, quality in (("blur:steps=20", 0.4), ("renoise-masked:steps=10", 0.6)):
            maker.corrupted(name, quality, seed=seed, detector="upernet-convnext:size=mini")
        maker.corrupted("blur:steps=10", 0.3, seed=seed)
    return maker


def make_sources(folder: Path, hostile: str = "") -> list[Source]:
    """Return one board, read back from a folder."""
    return load_sources([board_folder(folder / "first", two_detectors(hostile))], {})


def built(folder: Path, hostile: str = "") -> Path:
    """Build a site and return its folder."""
    sources = make_sources(folder / "runs", hostile)
    write_site(make_site(sources, paper_lines(), Registry.load()), folder / "site")
    return folder / "site"
