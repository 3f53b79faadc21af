"""A renderer of formulas: LaTeX becomes MathML while the site is built, so a page needs neither script nor font."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

_LOG = logging.getLogger(__name__)


def as_mathml(node: nodes.Element, *, block: bool) -> str:
    """Return a formula as a `<math>` element; warn, and return its LaTeX, where docutils does not know a command."""
    text = node.astext()
    try:
        return latex2mathml.tex2mathml(text, as_block=block)
    except MathError as error:
        _LOG.warning("formula %r: %s", text, error, location=node, type="mathml")
        return f"<code>{escape(text)}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(as_mathml(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own; a narrow page scrolls it, so the keyboard must reach it."""
    formula = as_mathml(node, block=True)
    translator.body.append(f'<div class="math" role="group" aria-label="Formula" tabindex="0">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True}
