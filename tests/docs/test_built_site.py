"""The built site: no warning, no link that leads nowhere, no other host, offline search, no serious axe finding.

It needs the extra `docs`; `make test-all` installs it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

DOCS = Path(__file__).parents[2] / "docs"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PAGES = (
    "index.html",
    "tutorials/index.html",
    "how-to/write-a-corruptor.html",
    "reference/python/index.html",
    "reference/command-line.html",
    "reference/plugins/corruptors/renoise-masked.html",
    "reference/plugins/corruptors/index.html",
    "explanation/method.html",
    "explanation/statistics.html",
    "explanation/portraits.html",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it, but without running the notebooks: another test runs them."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q", "-b", "html"]
    options = ["-D", "nb_execution_mode=off", "-d", str(out / "doctrees")]
    done = subprocess.run(
        [*command, *options, str(DOCS), str(out / "html")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


class Page(HTMLParser):
    """The links of a page, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loaded.append(given.get("href", ""))
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html") if "_static" not in path.parts}


def test_every_link_and_anchor_leads_somewhere(pages: dict[Path, Page]) -> None:
    lost = []
    for path, page in pages.items():
        for link in {*page.links, *page.loaded}:
            parts = urlsplit(link)
            if parts.scheme or link in ("", "#"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment) if target.suffix == ".html" else ""
            if not target.exists() or (anchor and anchor not in pages[target].anchors):
                lost.append((path.name, link))
    assert not lost
    assert len(pages) > 80


def test_no_page_loads_anything_from_another_host(pages: dict[Path, Page], site: Path) -> None:
    loaded = {one for page in pages.values() for one in page.loaded}
    assert not [one for one in loaded if urlsplit(one).scheme not in ("", "data") or one.startswith("//")]
    assert not [path for path in site.rglob("*.css") if "url(http" in path.read_text()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")])
def test_pages_fit_and_are_accessible(browser: Any, site: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    faults: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith((site.as_uri(), "data:")) else faults.append(r.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    for name in PAGES:
        page.goto(f"{site.as_uri()}/{name}")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            faults.append(f"{name} is wider than {width} pixels")
        found = axe.run(page, options={"preload": False}).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        faults += [f"{name}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in bad]
    context.close()
    assert faults == []


def test_search_works_from_a_file(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto(f"{site.as_uri()}/search.html?q=confinement")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a", has_text="Glossary").count() == 1
    page.close()


def test_no_page_names_this_machine(pages: dict[Path, Page]) -> None:
    assert not [path for path in pages if str(DOCS.parent) in path.read_text()]
