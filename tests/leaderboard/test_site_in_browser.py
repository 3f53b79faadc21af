"""The site in Chromium, opened as a file: it sorts, filters, compares and links, and asks no host for anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchkit.leaderboard.site.build import make_site, write_site
from benchkit.leaderboard.site.sources import load_sources
from benchkit.leaderboard.submission import write_submission
from benchkit.plugin.registry import Registry
from benchkit.report.leaderboard_lines import paper_lines
from tests.leaderboard.conftest import make_data, make_season, submit_data, write_score
from tests.leaderboard.made_site import SCRIPT, built

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt install chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("site"), hostile=SCRIPT)


@pytest.fixture(scope="module")
def season_site(tmp_path_factory) -> Path:
    """A site with a submission that was scored in a season."""
    folder = tmp_path_factory.mktemp("seasons")
    write_submission(submit_data(make_data({"blur:steps=20": 0.8, "rotation:steps=20": 0.6}), "mine"), folder / "mine")
    season = make_season()
    write_score(folder / "mine", {"blur:steps=20": 0.3, "rotation:steps=20": 0.6}, season)
    files = make_site(load_sources([folder], {}, [season]), paper_lines(), Registry.load(), seasons=[season])
    write_site(files, folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def long_site(tmp_path_factory) -> Path:
    """A site whose four rows are more than can be compared pair by pair."""
    folder = tmp_path_factory.mktemp("long")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchkit.report.uncertainty.MOST_PAIRED", 3)
        write_submission(
            submit_data(make_data({"blur:steps=20": 0.9, "rotation:steps=20": 0.2}), "mine"), folder / "mine"
        )
        write_site(make_site(load_sources([folder], {}), (), Registry.load()), folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser, site, season_site, long_site):
    """A page that fails its test if a script fails or anything beside the site's own files is asked for."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    opened = context.new_page()
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    allowed = (*(one.as_uri() for one in (site, season_site, long_site)), "data:", "blob:")
    opened.on("request", lambda asked: None if asked.url.startswith(allowed) else faults.append(asked.url))
    yield opened
    assert opened.evaluate("window.hacked") is None
    context.close()
    assert faults == []


def open_page(page, site: Path, name: str = "index.html") -> None:
    page.goto(f"{site.as_uri()}/{name}")


def names(page) -> list[str]:
    return page.locator("#body th.col-name a").all_inner_texts()


def figures(page, key: str) -> list[float]:
    return [float(text) for text in page.locator(f"#body td.col-{key} .figure > b").all_inner_texts()]


def test_a_column_sorts_both_ways_and_says_so(page, site):
    open_page(page, site)
    header = page.locator('th[data-key="ap"]')
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert figures(page, "ap") == sorted(figures(page, "ap"), reverse=True)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert figures(page, "ap") == sorted(figures(page, "ap"))
    assert page.evaluate("document.activeElement.closest('th').dataset.key") == "ap"


def test_filters_narrow_the_rows_and_live_in_the_address(page, site):
    open_page(page, site)
    every = len(names(page))
    page.select_option("#filter-detector", "upernet-convnext")
    assert 0 < len(names(page)) < every
    assert "detector=upernet-convnext" in page.url
    page.fill("#search", "renoise")
    assert set(names(page)) == {"renoise-masked:steps=10"}
    page.go_back()
    page.wait_for_function("document.querySelector('#filter-detector').value === ''")
    assert len(names(page)) == every


def test_a_link_restores_the_view(page, site, browser):
    open_page(page, site)
    page.select_option("#filter-role", "corrupted")
    page.locator('th[data-key="iou"] button').click()
    page.locator("details.menu summary").click()
    page.locator('#columns input[value="steps"]').check()
    shown, address = names(page), page.url
    other = browser.new_page()
    other.goto(address)
    assert names(other) == shown
    assert other.locator('th[data-key="steps"]').count() == 1
    other.close()


def test_two_rows_of_one_ranking_have_a_paired_difference(page, site):
    open_page(page, site)
    boxes = page.locator("#body tr:not(.heading) input")
    boxes.nth(0).check()
    assert "Choose a second row" in page.locator("#compare").inner_text()
    boxes.nth(1).check()
    page.wait_for_selector("#compare table")
    words = page.locator("#compare").inner_text()
    assert "difference, points" in words and "p, adjusted" in words
    assert page.locator("#compare .verdict").count() == 2
    shown = page.locator("#compare tbody tr").first.locator("td").all_inner_texts()
    assert abs(float(shown[0]) - float(shown[1]) - float(shown[2].split()[0].replace("\u2212", "-"))) < 0.02
    page.locator("#compare-close").click()
    assert page.locator("#compare").is_hidden()


def test_rows_of_a_long_ranking_are_compared_by_their_joint_intervals(page, long_site):
    open_page(page, long_site)
    for name in ("blur:steps=20", "rotation:steps=20"):
        page.locator("#body tr", has=page.locator("th", has_text=name)).locator("input").check()
    words = page.locator("#compare").inner_text()
    assert "blur:steps=20 is better than rotation:steps=20." in words
    assert "too long for an interval of every pair" in words and page.locator("#compare table").count() == 0


def test_a_season_shows_its_rows_with_public_and_fresh_ranks(page, season_site):
    open_page(page, season_site)
    page.select_option("#filter-season", "spring")
    assert "season=spring" in page.url
    assert set(names(page)) == {"blur:steps=20", "rotation:steps=20", "pseudo", "human"}
    keys = page.locator("#head th").evaluate_all("all => all.map((one) => one.dataset.key)")
    assert keys[1:3] == ["rank", "rank_fresh"]
    row = page.locator("#body tr", has=page.locator("th", has_text="blur:steps=20"))
    assert row.locator("td.col-rank").inner_text().startswith("1 ")
    assert row.locator("td.col-rank_fresh").inner_text().startswith("4 ")
    assert keys[-2:] == ["lead", "lead_ap"] and row.locator("td.col-lead_ap .bar").count() == 1
    page.locator('th[data-key="rank_fresh"] button').click()
    assert names(page)[-1] == "blur:steps=20"


def test_the_page_of_a_season(page, season_site):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": 390, "height": 900})
    open_page(page, season_site, "seasons/spring.html")
    page.locator("[data-chart]").first.scroll_into_view_if_needed()
    page.wait_for_selector("[data-chart] .plotly .trace", timeout=20000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_rows_of_two_rankings_have_none(page, site):
    open_page(page, site)
    page.locator("#body tr.trained input").first.check()
    assert page.locator("#body tr.reported").count() == 0
    page.locator("#paper").check()
    assert "paper=1" in page.url
    page.locator("#body tr.reported input").first.check()
    assert "There is no paired difference" in page.locator("#compare").inner_text()


def test_the_chart_of_costs_has_a_front(page, site):
    open_page(page, site)
    page.select_option("#cost", "seconds")
    page.locator("#cost-chart").scroll_into_view_if_needed()
    page.wait_for_selector("#cost-chart .plotly .scatterlayer .trace", timeout=20000)
    assert page.locator("#cost-chart .scatterlayer .trace").count() >= 2


def test_a_method_has_its_curve_and_kinds(page, site):
    open_page(page, site, "methods/blur.html")
    for chart in page.locator("[data-chart]").all():
        chart.scroll_into_view_if_needed()
    page.wait_for_selector("[data-chart] .plotly .trace", timeout=20000)
    headings = page.locator("h2").all_inner_texts()
    assert "Over depth" in headings and "By kind of artifact" in headings and "Parameters" in headings


def test_a_method_has_its_equation_and_the_board_its_answer(page, site):
    open_page(page, site, "methods/renoise-masked.html")
    box = page.locator("math msqrt").first.bounding_box()
    assert box["width"] > 10 and box["height"] > 10
    open_page(page, site)
    page.locator(".answer a.best").first.click()
    assert "/methods/" in page.url


def test_a_difference_is_a_bar_around_zero(page, site):
    open_page(page, site)
    for cell in page.locator("#body tr.trained td.col-pseudo:has(.bar)").all():
        shown = float(cell.locator(".figure > b").inner_text().replace("\u2212", "-"))
        at = {name: cell.locator(f".bar > {name}").evaluate("one => parseFloat(one.style.left)") for name in "ub"}
        assert (at["b"] > at["u"]) == (shown > 0) or shown == 0
        assert 0 <= at["b"] <= 100


def test_the_head_and_a_comparison_stay_in_sight(page, season_site):
    page.set_viewport_size({"width": 1300, "height": 240})
    open_page(page, season_site)
    page.locator("#body tr.trained").last.evaluate("row => row.scrollIntoView({behavior: 'instant', block: 'end'})")
    assert page.locator('th[data-key="name"]').bounding_box()["y"] > 0
    page.locator("#body tr.trained input").last.check()
    box = page.locator("#compare").bounding_box()
    assert 0 <= box["y"] < 240


def test_a_slider_uncovers_the_image_before(page, site):
    open_page(page, site, "methods/blur.html")
    # Left of the slider's line is the image before, as its words say.
    assert page.locator(".ends-line span").all_inner_texts()[:2] == ["before", "after"]
    clip = "getComputedStyle(document.querySelector('.pair .after')).clipPath"
    before = page.evaluate(clip)
    slider = page.locator("input.slider").first
    slider.focus()
    slider.press("End")
    assert page.evaluate(clip) != before and "100%" in page.evaluate(clip)
    assert page.evaluate("document.querySelector('.pair img').naturalWidth") == 16
    page.locator("#masks").uncheck()
    assert page.locator(".pair .outline").first.is_hidden()


def test_hostile_names_are_text(page, site):
    open_page(page, site)
    assert any("onerror" in name for name in names(page))
    assert page.locator("img").count() == 0 and page.locator("#body script").count() == 0
    hostile = next(path for path in (site / "methods").iterdir() if "onerror" in path.name or "img" in path.name)
    open_page(page, site, f"methods/{hostile.name}")
    assert "<img" in page.locator("h1").inner_text()


def test_the_theme_is_kept(page, site):
    open_page(page, site)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    open_page(page, site, "statistics.html")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("name", ["index.html", "methods/blur.html", "statistics.html", "boards/first.html"])
def test_no_serious_finding_and_nothing_too_wide(page, site, name, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, site, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]
    assert serious == []
