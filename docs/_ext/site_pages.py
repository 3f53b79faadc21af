"""What the site adds to the pages of this folder: generated parts, plugin pages, and documents that lie elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_pages
import grid_keys
import plugin_pages
import python_pages

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
#: Documents outside of docs/ that are pages of the site too.
INCLUDED = {
    "leaderboard/README.md": "leaderboard",
    "SECURITY.md": "security",
    "CHANGELOG.md": "changelog",
    "benchkit/assets/checkpoints/portraits/README.md": "checkpoint",
}
#: `<!-- generated: NAME WORD -->` in a page stands for what the function of that name returns.
GENERATED: dict[str, Callable[..., str]] = {
    "commands": command_pages.reference,
    "grid-keys": grid_keys.reference,
    "plugins": plugin_pages.gallery,
    "python": python_pages.reference,
}
_MARK = re.compile(r"^<!-- generated: ([\w-]+) ?([\w-]*) -->$", re.MULTILINE)
#: Arguments below each other in a signature: Sphinx writes a list of definitions without terms, which is no valid HTML.
_ARGUMENTS = re.compile(r"<dl>\s*((?:<dd>(?:(?!</?d[ld]>).)*</dd>\s*)+)</dl>", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s#]+\.md)(#[^)\s]*)?\)")


def write_pages(app: Any) -> None:
    """Write the pages that are made while the site is built: one for each plugin, and the included documents."""
    plugin_pages.write_pages()
    (DOCS / "included").mkdir(exist_ok=True)
    for source, name in INCLUDED.items():
        text = relinked((ROOT / source).read_text(), (ROOT / source).parent)
        target = DOCS / "included" / f"{name}.md"
        if not target.is_file() or target.read_text() != text:
            target.write_text(text)


def relinked(text: str, folder: Path) -> str:
    """Return Markdown of a folder with its links to documents as the site's own paths, which begin with `/`."""

    def replaced(match: re.Match[str]) -> str:
        target, anchor = match.group(1), match.group(2) or ""
        if "://" in target or target.startswith("/"):
            return match.group(0)
        path = Path(os.path.normpath(folder / target))
        if path.is_relative_to(DOCS):
            return f"](/{path.relative_to(DOCS).as_posix()}{anchor})"
        name = INCLUDED.get(path.relative_to(ROOT).as_posix())
        return f"](/included/{name}.md{anchor})" if name else match.group(0)

    return _LINK.sub(replaced, text)


def read_source(app: Any, name: str, source: list[str]) -> None:
    """Complete the text of a page: generated parts, and links to documents outside of docs/."""
    page = Path(app.srcdir) / f"{name}.md"
    if page.is_file():
        text = _MARK.sub(lambda match: GENERATED[match.group(1)](*filter(None, [match.group(2)])), source[0])
        source[0] = relinked(text, page.parent)


def repair_signatures(app: Any, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Write the arguments of a signature as lines."""
    if "body" in context:
        context["body"] = _ARGUMENTS.sub(
            lambda match: match[1].replace("<dd>", '<span class="sig-argument">').replace("</dd>", "</span>"),
            context["body"],
        )


def setup(app: Any) -> dict[str, Any]:
    """Connect all of it to the build."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read_source)
    app.connect("html-page-context", repair_signatures)
    return {"version": "1", "parallel_read_safe": True}
