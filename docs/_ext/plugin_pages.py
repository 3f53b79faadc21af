"""A page for every built-in plugin: equation, parameters, preview, reference, what the official board says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from markdown_text import escaped

from benchkit.plugin.description import describe
from benchkit.plugin.registry import KINDS, Entry, Registry
from benchkit.specs.grammar import print_value

DOCS = Path(__file__).parents[1]
FOLDER = DOCS / "reference" / "plugins"
BOARD = DOCS.parent / "leaderboard" / "portraits-frozen.jsonl"
TEXTS = Path(__file__).parent / "plugins.yaml"
_SHEETS = "[sheets of the dataset](/explanation/portraits.md#sheets)"
_PREPARED = "The package does not contain its images; `benchkit data show` shows a prepared set."
#: Plugins without a preview, and why.
UNSEEN = {
    "selector annotated": f"It selects what people annotated; see the {_SHEETS}.",
    "selector learned": "It needs a trained detector. The page of any run shows the regions that it selected.",
    "detector frozen-mmseg": "It needs an mmsegmentation config.",
    "detector mmseg": "It needs an mmsegmentation config.",
    "dataset portraits": f"See the {_SHEETS}.",
    "dataset portraits-fresh": "Its images look like those of `portraits`. They are secret until a season is revealed.",
    "dataset folder": "It shows your own images: `benchkit data show folder:root=FOLDER`.",
    "dataset richhf-18k": _PREPARED,
    "dataset dalle3-hq": _PREPARED,
}
WRITE_YOUR_OWN = {
    "corruptor": "write-a-corruptor",
    "selector": "write-a-selector",
    "inverter": "write-an-inverter",
    "detector": "write-a-detector",
    "dataset": "write-a-dataset",
}


def built_in(kind: str) -> list[Entry]:
    """Return the built-in plugins of a kind, by name."""
    return sorted((e for e in _registry().entries(kind) if e.is_built_in), key=lambda entry: entry.name)


def write_pages(folder: Path = FOLDER) -> None:
    """Write FOLDER/KINDs/index.md and one page for each plugin beside it; remove pages of plugins that are gone."""
    for kind in KINDS:
        place = folder / f"{kind}s"
        place.mkdir(parents=True, exist_ok=True)
        wanted = {f"{entry.name}.md": page(entry) for entry in built_in(kind)} | {"index.md": kind_page(kind)}
        for old in place.glob("*.md"):
            if old.name not in wanted:
                old.unlink()
        for name, text in wanted.items():
            if not (place / name).is_file() or (place / name).read_text() != text:
                (place / name).write_text(text)


def kind_page(kind: str) -> str:
    """Return the page of a kind: its plugins, each with its picture."""
    names = [entry.name for entry in built_in(kind)]
    seen = [name for name in names if f"{kind} {name}" not in UNSEEN]
    pictures = [f"### [{name}]({name}.md)\n\n![Preview of {name}](/images/{picture_name(kind, name)})" for name in seen]
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    parts = [f"# {kind.capitalize()}s", gallery(kind), *(["## Gallery", *pictures] if pictures else []), toctree]
    return "\n\n".join(parts) + "\n"


def gallery(kind: str) -> str:
    """Return the table of a kind's plugins: the link to each page, and its first sentence."""
    lines = [f"| {kind} | what it does |", "|---|---|"]
    for entry in built_in(kind):
        first = describe(entry)["doc"].partition("\n\n")[0].replace("\n", " ")
        said = escaped(first).replace("|", "\\|")
        lines.append(f"| [`{entry.name}`](/reference/plugins/{kind}s/{entry.name}.md) | {said} |")
    return "\n".join(lines)


def page(entry: Entry) -> str:
    """Return the page of one plugin, as MyST Markdown."""
    facts, texts = describe(entry), plugin_texts()[f"{entry.kind} {entry.name}"]
    first, _, rest = facts["doc"].partition("\n\n")
    parts = [f"# {entry.name}", f"*{entry.kind.capitalize()}.* {escaped(' '.join(first.split()))}"]
    parts += [escaped(rest)] if rest else []
    parts += ["## Equation", *equation(entry.kind, texts)]
    parts += ["## Parameters", *parameter_table(facts["parameters"], entry.name)]
    parts += ["## Preview", preview(entry)]
    parts += ["## Reference", texts["reference"].strip()]
    parts += ["## On the official board", *board_says(entry.kind, entry.name)]
    parts += [f"To write one of your own: [how to]({f'/how-to/{WRITE_YOUR_OWN[entry.kind]}.md'})."]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def equation(kind: str, texts: dict[str, str]) -> Iterator[str]:
    """Yield the equation, what its symbols mean, and what core does around it."""
    if "equation" not in texts:
        yield texts["note"]
        return
    yield f"$$\n{texts['equation'].strip()}\n$$"
    if "where" in texts:
        yield texts["where"].strip()
    if kind == "corruptor":
        yield (
            "Inside the mask, $f$ replaces the latent (or the pixels); outside nothing changes. The "
            "[glossary](/reference/glossary.md) explains the other symbols, [the method](/explanation/method.md) all "
            "steps."
        )
    else:
        yield "The [glossary](/reference/glossary.md) explains the other symbols."


def parameter_table(parameters: list[dict[str, Any]], name: str) -> Iterator[str]:
    """Yield the table of parameters, and how one is given."""
    if not parameters:
        yield f"None: `{name}`."
        return
    lines = ["| parameter | type | default | range | meaning |", "|---|---|---|---|---|"]
    for one in parameters:
        default = f"`{print_value(one['default'])}`" if one["default"] != "" else "empty"
        wide = one["range"].replace(">=", "≥").replace("<=", "≤") or "any"
        cells = (f"`{one['name']}`", one["type"], default, wide, one["doc"] or "")
        lines.append("| " + " | ".join(escaped(cell).replace("|", "\\|") for cell in cells) + " |")
    yield "\n".join(lines)
    yield f"Written as `{name}:{parameters[0]['name']}=…` ([names and values](/reference/names.md))."


def preview(entry: Entry) -> str:
    """Return the plugin's picture, or why there is none."""
    key = f"{entry.kind} {entry.name}"
    if key in UNSEEN:
        return UNSEEN[key]
    said = {
        "corruptor": "Clean images, the mask (a box in the middle), and the result for each value.",
        "selector": "Clean images, and the regions that it selects.",
        "inverter": "Clean images, the mask, and the round trip without corruption after 10, 20 and 50 steps.",
        "detector": "Above: test images, with the annotated pixels outlined. Below: the probability of an artifact "
        "that it predicts after 300 iterations on 100 labelled images; white is 1.",
    }[entry.kind]
    return f"![Preview of {entry.name}](/images/{picture_name(entry.kind, entry.name)})\n\n{said}"


def picture_name(kind: str, name: str) -> str:
    """Return the file name of a plugin's picture."""
    return f"preview-{name}.png" if kind in ("corruptor", "selector") else f"preview-{kind}-{name}.png"


def board_says(kind: str, name: str) -> Iterator[str]:
    """Yield what the official board says of a plugin: its rows, or that it has none."""
    rows = [row for row in board_rows() if row["group"] == "trained" and name in used(kind, row)]
    head = board_rows()[0]
    seeds, planned = head["seeds"], 10
    part = f"{seeds} of {planned} seeds" if seeds < planned else f"{seeds} seeds"
    link = "[the whole board](/explanation/portraits.md#the-board)"
    if not rows:
        yield f"The official board of `portraits` has no row with it; see {link}."
        return
    if kind != "corruptor":
        yield f"{len(rows)} rows of the official board of `portraits` use it ({part}); see {link}."
        return
    yield "\n".join([*board_table(rows)])
    yield (
        f"Average precision (AP) in per cent with 95 % intervals, {part}, on the test images of `portraits`. Δ is the "
        "paired difference to `pseudo`, the same regions without corruption. *Unresolved* means that the board does "
        "not show which of the two is better ([what verdicts mean](/explanation/statistics.md#what-a-board-says)). "
        f"The brackets after a rank are the places that are possible. On other images the order may differ. See {link}."
    )


def board_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of a corruptor's rows."""
    yield "| row | rank by AP | AP | Δ AP to `pseudo` | |"
    yield "|---|---|--:|--:|---|"
    for row in rows:
        key = "average_precision"
        low, high = (round(row[f"{key}_rank_{end}"]) for end in ("low", "high"))
        delta = " ".join(interval(row, f"{key}_delta_pseudo", sign="+"))
        yield (
            f"| `{row['training_set']}` | {round(row[f'{key}_rank'])} ({low}–{high}) of {ranked()} | "
            f"{' '.join(interval(row, key))} | {delta} | {row[f'{key}_delta_pseudo_verdict']} |"
        )


def interval(row: dict[str, Any], key: str, sign: str = "") -> tuple[str, str]:
    """Return a figure and its interval in per cent."""
    middle, low, high = (100 * row[name] for name in (key, f"{key}_low", f"{key}_high"))
    return f"{middle:{sign}.1f}".replace("-", "−"), f"[{low:.1f}, {high:.1f}]".replace("-", "−")


def used(kind: str, row: dict[str, Any]) -> set[str]:
    """Return the names of a kind's plugins in a row; of a selector also the detector that it trains."""
    if kind == "dataset":
        return {row["test_set"].partition("/")[0]}
    text = row.get(kind) or ""
    names = {text.partition(":")[0]} if text else set()
    if kind == "detector" and "detector=" in (row.get("selector") or ""):
        names.add(row["selector"].partition("detector=")[2].split(",")[0])
    return names


def ranked() -> int:
    """Return the number of ranked rows."""
    return sum(row["group"] == "trained" for row in board_rows())


@cache
def plugin_texts() -> dict[str, dict[str, str]]:
    """Return the equations and references by KIND NAME."""
    return yaml.safe_load(TEXTS.read_text())


@cache
def board_rows() -> list[dict[str, Any]]:
    """Return the rows of the official board."""
    return [json.loads(line) for line in BOARD.read_text().splitlines()]


@cache
def _registry() -> Registry:
    return Registry.load()
