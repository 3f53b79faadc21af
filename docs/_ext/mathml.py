"""A renderer of formulas: LaTeX becomes MathML while the site is built, so a page needs neither script nor font."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
#: Entities of HTML that XML does not know.
_ENTITY = re.compile(r"&(?!lt;|gt;|amp;)\w+;")
_LOG = logging.getLogger(__name__)


def as_mathml(node: nodes.Element, *, block: bool) -> str:
    """Return a formula as a `<math>` element; warn, and return its LaTeX, where docutils does not know a command."""
    text = node.astext()
    try:
        return with_accents(latex2mathml.tex2mathml(text, as_block=block))
    except MathError as error:
        _LOG.warning("formula %r: %s", text, error, location=node, type="mathml")
        return f"<code>{escape(text)}</code>"


def with_accents(mathml: str) -> str:
    """Return MathML in which the index of an accented letter stands beside it, where docutils puts it below."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.fromstring(_ENTITY.sub(lambda match: unescape(match.group()), mathml))
    for node in root.iter(f"{{{_NAMESPACE}}}munderover"):
        letter, index, accent = node
        if accent.get("stretchy") == "false":
            accented = ElementTree.Element(f"{{{_NAMESPACE}}}mover", accent="true")
            accented.extend((letter, accent))
            node.tag = f"{{{_NAMESPACE}}}msub"
            node[:] = [accented, index]
    return ElementTree.tostring(root, encoding="unicode")


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
