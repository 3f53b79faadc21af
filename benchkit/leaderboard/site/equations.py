"""The equation in a plugin's docstring as MathML, which browsers draw without a library.

Docstrings write equations as text, `f = sqrt(alpha_bar) z_0 + n`. Names of one letter and of Greek letters become
symbols, `_` a subscript, `sqrt(…)` a root. Every other word stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup

#: An equation begins with one of these names, at the start of a sentence or after a colon.
_EQUATION = re.compile(r"(?:^|[:.]\s+)((?:f|eps|I_a|z_[ts]) = .+)", re.DOTALL | re.MULTILINE)
#: It ends with its sentence, with an explanation, or with a citation in brackets.
_END = re.compile(r"\.(?=\s|$)|, (?:with|where|and)\b|\s\((?=eq\.|Table|Fig\.|after )|:\s")
_TOKEN = re.compile(r"sqrt\(|[^\W\d]\w*'?|\d+(?:\.\d+)?|\S")
_NAMES = {"alpha": "α", "beta": "β", "eps": "ε", "sigma": "σ", "phi": "φ", "psi": "ψ"}
_BETWEEN_WORDS = Markup("&nbsp;</mtext><mtext>&nbsp;")
_SIGNS = {"-": "\N{MINUS SIGN}", "*": "·", "~": "∼"}


def find_equation(doc: str) -> str | None:
    """Return the first equation of a docstring as its text, on one line; None if it has none."""
    found = _EQUATION.search(doc)
    return " ".join(_END.split(found[1], maxsplit=1)[0].split()) if found else None


def to_mathml(equation: str) -> Markup:
    """Return an equation as MathML; its text is escaped."""
    return Markup('<math display="block"><mrow>{}</mrow></math>').format(_draw(iter(_TOKEN.findall(equation))))


def _draw(tokens: Iterator[str]) -> Markup:
    """Return the tokens up to a closing bracket that was not opened among them."""
    parts, depth = [], 0
    for token in tokens:
        if token == "sqrt(":
            parts.append(Markup("<msqrt><mrow>{}</mrow></msqrt>").format(_draw(tokens)))
            continue
        depth += (token == "(") - (token == ")")
        if depth < 0:
            break
        parts.append(_draw_token(token))
    return Markup().join(parts).replace(_BETWEEN_WORDS, Markup("&nbsp;"))


def _draw_token(token: str) -> Markup:
    if token[0].isdigit():
        return Markup("<mn>{}</mn>").format(token)
    if not (token[0].isalpha()):
        return Markup("<mo>{}</mo>").format(_SIGNS.get(token, token))
    name, _, below = token.rstrip("'").partition("_")
    if len(name) > 1 and name not in _NAMES:
        return Markup("<mtext>&nbsp;{}&nbsp;</mtext>").format(token)
    symbol = Markup("<mi>{}</mi>").format(_NAMES.get(name, name))
    if below == "bar":
        return Markup("<mover><mrow>{}</mrow><mo>¯</mo></mover>").format(symbol)
    prime = Markup("<mo>′</mo>") if token.endswith("'") else ""
    if not below:
        return Markup("<msup>{}{}</msup>").format(symbol, prime) if prime else symbol
    tag = Markup("msubsup" if prime else "msub")
    return Markup("<{}>{}<mi>{}</mi>{}</{}>").format(tag, symbol, below, prime, tag)
