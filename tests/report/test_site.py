"""The page: it needs nothing else, runs nothing but its own script, and shows foreign text as text."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from benchkit.report import figures
from benchkit.report.board import Board
from benchkit.report.run_data import Example
from benchkit.report.site.gallery import LONGEST_SIDE, galleries, outline
from benchkit.report.site.page import page

SCRIPT = "<script>alert(1)</script>"
CHROMIUM = shutil.which("chromium")


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text of each section."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in ("script", "style"):
            self.raw[self._inside] = data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def made(make_standard, make_examples):
    """A run full of hostile text, its board and its page."""
    maker = make_standard(hostile=SCRIPT)
    maker.gallery = {"blur:steps=20": make_examples(3), SCRIPT: make_examples(1)}
    mask = np.ones((2, 2), bool)
    pixels = np.zeros((2, 2, 3), np.uint8)
    maker.gallery["gaussian:steps=10"] = (Example(f'"><img src=x onerror=1>{SCRIPT}', pixels, pixels, mask),)
    maker.grid = {"title": f"T {SCRIPT}", "note": f"N {SCRIPT}", "corruptors": [SCRIPT], "betas": (0.9, 0.999)}
    maker.lines[-1]["reason"] = f"because {SCRIPT}"
    run = maker.run()
    run.environment["plugins"][SCRIPT] = {"origin": SCRIPT, "version": None}
    run.environment["packages"][SCRIPT] = SCRIPT
    board = Board.of(run)
    return run, board, page(run, board)


# --- safety -----------------------------------------------------------------------------------------------------------


def test_nothing_is_fetched(made):
    allowed = ("data:image/", "#")
    for tag, attributes in Reader(made[2]).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "srcset", "href", "action", "data", "xlink:href", "poster", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith(allowed), (tag, name, value[:60])
    style, script = (Reader(made[2]).raw[tag] for tag in ("style", "script"))
    assert "@import" not in style and "url(" not in style
    assert not re.search("fetch|XMLHttp|import|src|https?:", script)


def test_foreign_text_is_text(made):
    reader = Reader(made[2])
    assert [tag for tag, _ in reader.tags].count("script") == 1
    for tag, attributes in reader.tags:
        assert tag != "img" or "onerror" not in attributes
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
    shown = reader.text
    for place in ("T ", "N ", "because "):
        assert place + SCRIPT in shown
    assert shown.count(SCRIPT) >= 10, "title, note, table, figures' names, reason, gallery, plugins, environment, grid"


def test_the_policy_allows_this_very_style_and_script_only(made):
    reader = Reader(made[2])
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        digest = base64.b64encode(hashlib.sha256(reader.raw[tag].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    order = [tag for tag, a in reader.tags if a.get("http-equiv") or tag in ("style", "script")]
    assert order == ["meta", "style", "script"], "the policy must come before what it governs"


# --- contents ---------------------------------------------------------------------------------------------------------


def test_every_part_is_there(made):
    run, board, text = made
    shown = Reader(text).text
    for heading in ("Board", "What did not run", "Confinement", "Gallery", "Beside the paper", "Metrics"):
        assert heading in shown
    for words in (
        run.run,
        "One seed: no seed variance is covered",
        "all-positive",
        "without training",
        "numpy",
        "betas",
    ):
        assert words in shown
    assert "artifact IoU, pooled over all test pixels, at 0.5" in shown
    assert "Different data" in shown and "27.30" in shown
    best = board.frame.iloc[0]
    assert f"{best['artifact_iou'] * 100:.2f} [{best['artifact_iou_low'] * 100:.2f}" in shown
    ids = {a["id"] for _, a in Reader(text).tags if a.get("id")}
    targets = {a["href"][1:] for t, a in Reader(text).tags if (a.get("href") or "").startswith("#")}
    assert targets <= ids, "no link leads nowhere"


def test_parts_without_contents_are_left_out(maker):
    run = maker().cell("blur", None, reason="no room").run()
    text = page(run, Board.of(run))
    for part in ('id="gallery"', 'id="confinement"', 'id="paper"', "<picture>"):
        assert part not in text
    assert "no room" in text and "No row of this board has figures." in text


def test_the_paper_is_left_out_where_asked(made):
    run, board, _ = made
    assert "Beside the paper" not in page(run, board, reference=())


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_an_outline_is_the_masks_edge():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    assert outline(mask) == "M1 1h3M1 3h3M1 1v2M4 1v2"
    assert outline(np.zeros((3, 3), bool)) == ""
    assert outline(np.ones((2, 3), bool)) == "M0 0h3M0 2h3M0 0v2M3 0v2"


@pytest.mark.parametrize("seed", range(4))
def test_an_outline_has_an_edge_wherever_neighbours_differ(seed):
    mask = np.random.default_rng(seed).random((9, 7)) < 0.5
    length = sum(int(n) for n in re.findall(r"[hv](\d+)", outline(mask)))
    padded = np.pad(mask, 1).astype(int)
    assert length == abs(np.diff(padded, axis=0)).sum() + abs(np.diff(padded, axis=1)).sum()


def test_images_are_stored_once_and_without_loss(make_examples):
    examples = make_examples(3)
    shown, pictures = galleries({"a": examples, "b": examples[:1]}, ["b"])
    assert list(shown) == ["b", "a"] and len(pictures.images) == 3
    before = shown["a"][0].panels[0]
    uri, width, height = pictures.images[before.image]
    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), examples[0].before)
    assert (width, height) == (16, 16)


def test_large_images_are_shown_reduced_and_masks_scaled():
    pixels = np.zeros((400, 800, 3), np.uint8)
    example = Example("x", pixels, pixels + 9, np.ones((200, 400), bool))
    shown, pictures = galleries({"a": (example,)}, [])
    uri, width, height = pictures.images[shown["a"][0].panels[0].image]
    stored = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert stored.size == (LONGEST_SIDE, LONGEST_SIDE // 2) and (width, height) == (800, 400)
    assert shown["a"][0].panels[0].scale == "scale(2 2)"


def test_figures_take_any_name_and_are_the_same_every_time(make_standard):
    board = Board.of(make_standard(hostile=r"$\frac{ </svg>" + "x" * 90).run())
    for draw in (figures.ranking_figure, figures.confinement_figure):
        svg = draw(board)
        assert svg.startswith(b"<?xml") and svg == draw(board)
        dark = figures.recoloured(svg)
        theme = figures.THEMES["light"]
        assert theme.ink.encode() in svg and theme.ink.encode() not in dark
    assert figures.ranking_figure(board, theme="dark", form="png").startswith(b"\x89PNG")


@pytest.mark.parametrize("lines", [1, 3])
def test_panels_have_room_below_each_other(maker, lines):
    run = maker()
    for detector in ("a", "b", "c"):
        for steps in range(lines):
            run.corrupted(f"blur:steps={steps}", 0.4, detector=detector)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of matplotlib, where a layout cannot be applied
        figure = figures.draw_ranking(Board.of(run.run()))
        figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert len(boxes) == 3 and all(above.y0 >= below.y1 for above, below in pairwise(boxes))


def test_without_figures_there_is_nothing_to_draw(maker):
    board = Board.of(maker().cell("blur", None).run())
    assert figures.ranking_figure(board) is None and figures.confinement_figure(board) is None
    board = Board.of(maker().trivial().run())
    assert figures.ranking_figure(board) is not None


# --- in a browser -----------------------------------------------------------------------------------------------------


def dump(path) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={path.parent / 'profile'}", path.as_uri()]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"chromium does not run here: {error}")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_in_a_browser_the_script_runs_and_an_injected_one_does_not(made, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(made[2].replace("</main>", "<script>document.body.id = 'owned'</script></main>"))
    seen = dump(file)
    assert '<button type="button">' in seen and 'id="owned"' not in seen


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_in_a_browser_a_click_sorts_within_the_groups(made, tmp_path):
    click = "<script>document.querySelectorAll('table.sortable thead button')[0].click()</script>"
    file = tmp_path / "page.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", made[2])
    file.write_text(text.replace("</body>", click + "</body>"))
    first = re.search(r"<table.*?</table>", dump(file), re.S).group()
    ranks = [float(n) for n in re.findall(r'<tr>\s*<td data-value="([\d.]+)">\d+ \[', first)]
    assert ranks == sorted(ranks, reverse=True) and len(ranks) == len(made[1].trained)
