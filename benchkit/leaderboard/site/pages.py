"""The site's pages as HTML. Foreign text reaches them through templates that escape it; links to hosts are checked."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchkit.leaderboard.season import Season
from benchkit.leaderboard.site.answers import MOST_ANSWERS, find_answers
from benchkit.leaderboard.site.changes import Change
from benchkit.leaderboard.site.charts import Chart, cost_words, depth_chart, kinds_chart, learning_chart, pick_rows
from benchkit.leaderboard.site.columns import COLUMNS, FRESH
from benchkit.leaderboard.site.downloads import bibtex, group_files
from benchkit.leaderboard.site.equations import find_equation, to_mathml
from benchkit.leaderboard.site.files import Content
from benchkit.leaderboard.site.gallery import Shown
from benchkit.leaderboard.site.page_tables import (
    describe_rows,
    make_confinement_table,
    make_row_tables,
    summarise_method,
)
from benchkit.leaderboard.site.payload import RESOLUTION_HEADERS, script_json
from benchkit.leaderboard.site.row_columns import Row, Rows
from benchkit.leaderboard.site.rows import PAPER, Tables
from benchkit.leaderboard.site.seasons import describe_season
from benchkit.leaderboard.site.sources import BADGES, Member, Source
from benchkit.leaderboard.site.table_cells import TableCell
from benchkit.report.board_table import unfinished
from benchkit.report.columns import MARGIN
from benchkit.report.format_values import MISSING, one_line, plain_number
from benchkit.report.notes import foot_notes
from benchkit.report.settings import settings_line

if TYPE_CHECKING:
    from benchkit.plugin.registry import Registry

#: What a browser may load: the site's own scripts, styles and images. No page can ask another host for anything.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)
NAVIGATION = (
    *(("index.html", "Board"), ("methods.html", "Methods"), ("detectors.html", "Detectors")),
    *(("datasets.html", "Datasets"), ("boards.html", "Submissions"), ("seasons.html", "Seasons")),
    *(("statistics.html", "Statistics"), ("changes.html", "Changes"), ("downloads.html", "Downloads")),
)
#: What has a list and pages, and the title of the list.
_TITLES = {"method": "Methods", "detector": "Detectors", "dataset": "Datasets", "board": "Submissions"}
_KINDS = {"method": "corruptor", "detector": "detector", "dataset": "dataset"}
_WITHOUT_PLUGIN = {
    ("method", "human"): "Trains on the labelled images alone, without any corruption.",
    ("method", "pseudo"): "Trains on clean images with the selected regions as labels, but without any corruption. "
    "A corruption must beat it.",
    ("method", "oracle"): "Trains on wild images with their labels.",
    ("method", "all-positive"): "Predicts an artifact everywhere.",
    ("method", "all-negative"): "Predicts no artifact anywhere.",
    ("method", "mean-mask"): "Predicts for every image how often each pixel is an artifact in the labelled images.",
    ("detector", "none"): "Predictions without any training: what a detector must beat to have learned anything.",
}


#: The end of a line inside a paragraph of a docstring; lists and indented lines keep their lines.
_LINE_END = re.compile(r"(?<!\n)\n(?![\n\s*-])")


class Pages:
    """Makes all pages of a site from its tables."""

    def __init__(
        self,
        sources: Sequence[Source],
        tables: Tables,
        registry: Registry,
        changes: Sequence[Change] | None,
        files: Sequence[str],
        seasons: Sequence[Season] = (),
    ) -> None:
        self.sources, self.tables, self.registry, self.seasons = sources, tables, registry, seasons
        self.changes, self.downloads = changes, [path for path in files if path.startswith("downloads/")]
        self.answers = find_answers(tables.groups, tables.rows)
        self.rows_by = {kind: tables.rows_by(kind) for kind in _TITLES}
        loader = ChoiceLoader([PackageLoader("benchkit.leaderboard.site"), PackageLoader("benchkit.report")])
        self.templates = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

    def files(self) -> dict[str, Content]:
        """Return the pages, path -> UTF-8. Each is made when it is read."""
        pages = {
            "index.html": self._make("board.html", "Board", "index.html", self._board),
            "statistics.html": self._make("statistics.html", "Statistics", "statistics.html", self._statistics),
            "changes.html": self._make("changes.html", "Changes", "changes.html", lambda: {"changes": self.changes}),
            "downloads.html": self._make("downloads.html", "Downloads", "downloads.html", self._downloads),
        }
        pages |= self._season_pages()
        for kind, title in _TITLES.items():
            pages[f"{kind}s.html"] = self._make("list.html", title, f"{kind}s.html", partial(self._list, kind))
            for slug, rows in self.rows_by[kind].items():
                describe = self._about_board if kind == "board" else partial(self._about, kind)
                given = (self.tables.names[kind][slug], f"{kind}s.html", "../", partial(describe, slug, rows))
                pages[f"{kind}s/{slug}.html"] = partial(self._render, "thing.html", *given)
        return pages

    def _make(self, template: str, title: str, active: str, context: Callable[[], Mapping[str, Any]]) -> Content:
        """Return what makes a page of the site's own folder."""
        return partial(self._render, template, title, active, "", context)

    def _render(
        self, template: str, title: str, active: str, root: str, context: Callable[[], Mapping[str, Any]]
    ) -> Iterator[bytes]:
        yield (
            self.templates.get_template(template)
            .render(title=title, active=active, root=root, policy=POLICY, navigation=NAVIGATION, **context())
            .encode("utf-8", "replace")
        )

    # ---- the board ----

    def _board(self) -> dict[str, Any]:
        return {
            "answers": self.answers[:MOST_ANSWERS],
            "unanswered": self._count_unanswered(),
            "headers": ("ranked together", "ranking", *RESOLUTION_HEADERS),
            "filters": [
                *(("board", "Submission"), ("dataset", "Dataset"), ("detector", "Detector"), ("selector", "Selector")),
                *(("role", "Role"), ("steps", "Steps"), ("badge", "Badge")),
                *((("season", "Season"),) if self.tables.seasons else ()),
            ],
            "costs": [
                column for column in COLUMNS if column.key in ("evaluations", "seconds", "iterations", "train_images")
            ],
            "rows": len(self.tables.rows),
            "boards": [
                (member.slug, member.name, one_line(str(member.declared.get("created") or ""))[:10])
                for source in self.sources
                for member in source.members
            ],
            "notes": [note for source in self.sources if (note := one_line(source.board.note))],
        }

    def _count_unanswered(self, detector: str = "") -> int:
        """Return how many groups of rows, of one detector or of all, are too many to be answered on one page."""
        groups = [group for group in self.tables.groups if group.ranked and not group.protocol]
        return max(0, sum(group.detector == detector or not detector for group in groups) - MOST_ANSWERS)

    # ---- lists and their pages ----

    def _list(self, kind: str) -> dict[str, Any]:
        headers = {
            "method": (
                "method",
                "what it does",
                "rows",
                "best IoU, %",
                "to pseudo, IoU",
                "best AP, %",
                "to pseudo, AP",
            ),
            "detector": ("detector", "what it is", "rows"),
            "dataset": ("dataset", "what it is", "rows"),
            "board": ("submission", "title", "rows", "badge", "run"),
        }[kind]
        lines = []
        for slug, rows in self.rows_by[kind].items():
            cells = [TableCell(self.tables.names[kind][slug], None, f"{kind}s/{slug}.html")]
            if kind == "board":
                source, member = self._member(slug)
                title = one_line(source.board.title) if source else "Figures as the paper prints them; never ranked."
                cells += [TableCell(title), TableCell(str(len(rows)), len(rows))]
                cells += [TableCell(rows[0]["badge"]), TableCell(source.board.run if source and member else MISSING)]
            else:
                first = self._doc(kind, slug, rows).partition("\n\n")[0].replace("\n", " ").replace("`", "")
                cells += [TableCell(first or MISSING), TableCell(str(len(rows)), len(rows))]
                cells += summarise_method(rows) if kind == "method" else []
            lines.append(cells)
        words = {
            "method": "What a detector can be trained on: corruptions, and the baselines they are compared with. The "
            "best figure is that of one row. The verdicts count all measured rows against the row pseudo.",
            "detector": "The networks that were trained.",
            "dataset": "The test images.",
            "board": "Where the rows come from. A badge says what stands behind the figures of a submission.",
        }
        return {"headers": headers, "lines": lines, "words": words[kind]}

    def _doc(self, kind: str, slug: str, rows: Sequence[Row]) -> str:
        entry = self._entry(kind, self.tables.names[kind][slug])
        if entry is not None:
            return _LINE_END.sub(" ", inspect.cleandoc(entry.cls.__doc__ or ""))
        return _WITHOUT_PLUGIN.get((kind, self.tables.names[kind][slug]), "")

    def _entry(self, kind: str, name: str) -> Any:
        plain = name.partition("/")[0] if kind == "dataset" else name
        return self.registry.entry(_KINDS[kind], plain) if self.registry.has(_KINDS[kind], plain) else None

    def _about(self, kind: str, slug: str, rows: Rows) -> dict[str, Any]:
        name = self.tables.names[kind][slug]
        entry = self._entry(kind, name)
        drawn: Sequence[Chart | None] = ()
        if kind == "method":
            drawn = (depth_chart(rows), self._draw_kinds(kind, slug), learning_chart(rows))
        if kind == "detector":
            drawn = (self._draw_kinds(kind, slug),)
        charts = [chart for chart in drawn if chart]
        facts = {"Kind": kind if kind != "method" else "corruptor" if entry else rows[0]["role"]}
        if entry is not None:
            facts["From"] = f"{entry.origin} {entry.version or ''}".strip()
            facts["Source"] = f"sha256 {entry.source_hash}"
        elif kind == "method" and rows[0]["role"] in ("corrupted", "mixed"):
            facts["Plugin"] = "not installed where this site was built; its rows name its source"
        if entry is not None and kind == "method":
            facts["Acts on"] = _describe_place(entry.cls)
        foreign = sorted(plugins for plugins in rows.distinct("plugins") if plugins is not None)
        return {
            "facts": facts,
            "text": self._doc(kind, slug, rows),
            "equation": self._equation(kind, slug, rows),
            "parameters": self._parameters(entry),
            "tables": make_row_tables(rows, "../", kind),
            "charts": [
                (f"chart-{i}", title, words, Markup(script_json(data))) for i, (title, words, data) in enumerate(charts)
            ],
            "notes": [*foreign, *(cost_words(rows) if kind == "method" else ())],
            "confinement": make_confinement_table(rows) if kind == "method" else None,
            "in_short": self._in_short(rows) if kind == "method" else [],
            "answers": [one for one in self.answers if kind == "detector" and one.href == f"detectors/{slug}.html"],
            "unanswered": self._count_unanswered(slug) if kind == "detector" else 0,
            "sections": [],
            "files": [],
            "citation": "",
            "link": "",
            "examples": self._examples(rows) if kind == "method" else [],
            "heat": self._heat_maps(rows) if kind == "method" else [],
            "view": f"{kind}={rows[0][kind]}" if kind != "method" else f"q={name}",
        }

    @cached_property
    def _by_kind(self) -> tuple[dict[tuple[str, str], tuple[str, Rows]], Mapping[Any, Any]]:
        """The rows whose figures by kind of artifact are drawn, page by page, and these figures: read together once."""
        picked = {("method", slug): pick_rows(rows, self.tables.kinds) for slug, rows in self.rows_by["method"].items()}
        for slug, rows in self.rows_by["detector"].items():
            picked["detector", slug] = pick_rows(rows.take(rows.numbers("rank_low") == 1), self.tables.kinds)
        return picked, self.tables.kinds.read(
            (row["place"], figure) for figure, rows in picked.values() for row in rows
        )

    def _draw_kinds(self, kind: str, slug: str) -> Chart | None:
        picked, figures = self._by_kind
        return kinds_chart(*picked[kind, slug], figures)

    def _equation(self, kind: str, slug: str, rows: Sequence[Row]) -> Markup | None:
        equation = find_equation(self._doc(kind, slug, rows)) if kind == "method" else None
        return None if equation is None else to_mathml(equation)

    def _examples(self, rows: Rows) -> list[tuple[str, list[Shown]]]:
        """Return the examples of a method's rows, each row once."""
        names = rows.distinct("name")
        found = {name: [shown for source in self.sources for shown in source.gallery.of(name)] for name in names}
        return [(name, shown) for name, shown in found.items() if shown]

    def _heat_maps(self, rows: Rows) -> list[tuple[str, list[Shown]]]:
        """Return test images with the scores of the detectors that were trained on a method's rows, each row once."""
        names = rows.distinct("name")
        found = {name: [one for source in self.sources for one in source.gallery.heat.get(name, ())] for name in names}
        return [(name, shown) for name, shown in found.items() if shown]

    def _parameters(self, entry: Any) -> list[dict[str, Any]]:
        from benchkit.plugin.description import parameters_of

        return parameters_of(entry.cls) if entry is not None else []

    def _in_short(self, rows: Rows) -> list[str]:
        return list(describe_rows(rows, self._ranked))

    @cached_property
    def _ranked(self) -> Counter[int]:
        """How many rows of each group are ranked."""
        rows = self.tables.rows
        return Counter(rows.column("group")[rows.known("rank")].tolist())

    def _member(self, slug: str) -> tuple[Source | None, Member | None]:
        """Return the board and the member of a slug; none for the paper."""
        found = ((source, member) for source in self.sources for member in source.members if member.slug == slug)
        return next(found, (None, None))

    def _about_board(self, slug: str, rows: Rows) -> dict[str, Any]:
        source, member = self._member(slug)
        facts = {"Badge": f"{rows[0]['badge']}: {BADGES[rows[0]['badge']]}", "Rows": str(len(rows))}
        about: dict[str, Any] = {"sections": [], "files": [], "citation": "", "link": ""}
        text = (
            "The figures of the paper's Tables 1 to 4, as printed. They were measured on other images than ours, and "
            "are never ranked with measured rows."
        )
        if source is not None and member is not None:
            board, text = source.board, one_line(source.board.note)
            facts |= {"Title": one_line(board.title), **({} if member.declared else {"Run": board.run})}
            facts |= {name.capitalize(): one_line(value) for name, value in member.declared.items() if value}
            if len(source.members) > 1:
                facts["Ranked with"] = ", ".join(m.name for m in source.members if m is not member)
            sections = [
                ("What its check says", list(member.notes)),
                ("How to read it", [*foot_notes(board), *filter(None, [settings_line(board)])]),
                ("What did not run", list(unfinished(board))),
            ]
            about = {
                "sections": [(title, list(map(one_line, lines))) for title, lines in sections if lines],
                "files": group_files([path for path in self.downloads if path.startswith(f"downloads/{source.slug}/")]),
                "citation": bibtex(member, board),
                "link": safe_link(member.link),
            }
        return {
            "facts": facts,
            "text": text,
            "equation": None,
            "parameters": [],
            "tables": make_row_tables(rows, "../", "board"),
            "in_short": [],
            "answers": [],
            "unanswered": 0,
            "charts": [],
            "notes": [],
            "confinement": None,
            "examples": [],
            "heat": [],
            "view": f"board={rows[0]['board']}",
            **about,
        }

    # ---- seasons ----

    def _season_pages(self) -> dict[str, Content]:
        listed = [describe_season(season, self.sources) for season in self.seasons]
        pages = {"seasons.html": self._make("seasons.html", "Seasons", "seasons.html", lambda: {"seasons": listed})}
        for one in listed:
            title, context = f"Season {one.season.name}", partial(dict[str, Any], one=one)
            pages[f"seasons/{one.season.name}.html"] = partial(
                self._render, "season.html", title, "seasons.html", "../", context
            )
        return pages

    # ---- other pages ----

    def _statistics(self) -> dict[str, Any]:
        columns = [column for column in COLUMNS if self.tables.seasons or column.key not in FRESH]
        return {"margin": plain_number(100 * MARGIN), "badges": BADGES, "columns": columns}

    def _downloads(self) -> dict[str, Any]:
        boards = [
            (
                source.name,
                group_files([path for path in self.downloads if path.startswith(f"downloads/{source.slug}/")]),
                "\n\n".join(bibtex(member, source.board) for member in source.members),
            )
            for source in self.sources
        ]
        every = group_files([path for path in self.downloads if path.count("/") == 1])
        return {"every": every, "boards": boards, "paper": PAPER in self.tables.names.get("board", {})}


def _describe_place(cls: type) -> str:
    """Return where in the pipeline a corruptor acts."""
    from benchkit.api import CompositeCorruptor, LatentCorruptor, PixelCorruptor, ResamplingCorruptor

    places = {
        PixelCorruptor: "the pixels inside the mask; no diffusion model runs",
        ResamplingCorruptor: "every resampling step",
        LatentCorruptor: "the inverted latent: inside the mask it is replaced by f (eq. 5), then resampled to an image",
        CompositeCorruptor: "what its parts act on",
    }
    return next((words for base, words in places.items() if issubclass(cls, base)), MISSING)


def safe_link(link: object) -> str:
    """Return a link that a page may offer: of http or https with a host; empty for anything else."""
    try:
        parts = urlsplit(str(link or ""))
    except ValueError:
        return ""
    return parts.geturl() if parts.scheme in ("http", "https") and parts.hostname else ""
