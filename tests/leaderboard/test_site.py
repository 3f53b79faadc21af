"""The site as files: the same data give the same bytes, foreign text is escaped, tiers and ranks are the board's."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchkit.errors import BenchkitError
from benchkit.leaderboard.site.answers import find_answers
from benchkit.leaderboard.site.build import find_drift, make_site, read_manifest, write_site
from benchkit.leaderboard.site.changes import Earlier, find_changes, find_season_changes, load_earlier
from benchkit.leaderboard.site.cost_figure import cost_figure, find_front
from benchkit.leaderboard.site.costs import Costs
from benchkit.leaderboard.site.equations import find_equation, to_mathml
from benchkit.leaderboard.site.files import Files
from benchkit.leaderboard.site.gallery import SHOWN, read_gallery
from benchkit.leaderboard.site.page_tables import describe_rows, make_row_tables, summarise_method
from benchkit.leaderboard.site.pages import safe_link
from benchkit.leaderboard.site.rows import Group, find_tiers, make_tables, resolved_neighbours
from benchkit.leaderboard.site.sources import Slugs, load_sources
from benchkit.leaderboard.submission import digest_submission, write_submission
from benchkit.plugin.registry import Registry
from benchkit.report.board_parquet import board_to_parquet
from benchkit.report.leaderboard_lines import paper_lines
from benchkit.report.load_board import load_board
from benchkit.report.run_data import RunData
from benchkit.specs.keys import digest
from tests.leaderboard.conftest import make_data, submit_data
from tests.leaderboard.made_site import SCRIPT, board_folder, built, make_sources, two_detectors
from tests.report.conftest import examples, standard


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return make_sources(tmp_path_factory.mktemp("runs"), hostile=SCRIPT)


@pytest.fixture(scope="module")
def files(sources, registry) -> dict[str, bytes]:
    return dict(make_site(sources, paper_lines(), registry))


@pytest.fixture(scope="module")
def tables(sources, registry):
    return make_tables(sources, paper_lines(), Costs(registry))


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_same_data_give_the_same_bytes(files, tmp_path, registry):
    again = make_site(make_sources(tmp_path, hostile=SCRIPT), paper_lines(), Registry.load())
    assert {path for path in files if files[path] != again.get(path)} == set()


def test_drift_names_what_differs(tmp_path):
    site = built(tmp_path)
    files = Files({path: (site / path).read_bytes() for path in read_manifest(site)})
    assert find_drift(files, site) == []
    (site / "index.html").write_text("edited")
    (site / "more.html").write_text("more")
    (site / "methods.html").unlink()
    drift = " ".join(find_drift(files, site))
    assert "differ: index.html" in drift and "missing: methods.html" in drift and "not of this site: more.html" in drift


def test_a_site_replaces_an_earlier_one_and_nothing_else(tmp_path, files):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(BenchkitError, match="other files"):
        write_site(Files(files), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    write_site(Files({"old.html": b""}), tmp_path / "site")
    write_site(Files({"index.html": b"new"}), tmp_path / "site")
    assert not (tmp_path / "site" / "old.html").exists()
    assert (tmp_path / "site" / "index.html").read_bytes() == b"new"


def test_a_folder_that_is_no_site_is_refused(tmp_path):
    with pytest.raises(BenchkitError, match="is no site"):
        find_drift(Files({}), tmp_path)


def test_every_link_of_a_page_leads_to_a_file(files):
    for path, data in files.items():
        if not path.endswith(".html"):
            continue
        for link in re.findall(r'(?:href|src)="([^"#]+)', data.decode()):
            if link == "data:,":
                continue
            assert "://" not in link, f"{path}: {link}"
            target = Path(path).parent / link
            assert "/".join(_resolved(target)) in files, f"{path}: {link}"


def _resolved(path: Path) -> list[str]:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return parts


def test_foreign_text_is_never_markup(files):
    for path, data in files.items():
        if path.endswith((".html", ".js")) and not path.startswith("assets/"):
            assert b"<img src=x" not in data and b"onerror=window.hacked=1></script>" not in data, path


def test_the_policy_allows_no_other_host(files):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', files["index.html"].decode()).group(1)
    assert "default-src &#39;none&#39;" in policy and "http" not in policy and "*" not in policy


def test_slugs_are_names_of_files_and_differ():
    slugs = Slugs()
    texts = ["../../etc/passwd", "a b", "a-b", "A_B", "", "…", "con<script>", "x" * 300]
    given = [slugs.of(text) for text in texts]
    assert len(set(given)) == len(texts)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) and len(slug) <= 52 for slug in given)
    assert [slugs.of(text) for text in texts] == given


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "//evil", "http://", "ftp://a/b", None])
def test_only_links_to_web_pages_are_links(link):
    assert safe_link(link) == ""
    assert safe_link("https://example.org/a?b=c") == "https://example.org/a?b=c"


# --- the rows ---------------------------------------------------------------------------------------------------------


def test_ranks_are_those_of_the_board(sources, tables):
    frame = sources[0].board.frame
    own = [row for row in tables.rows if row["board_slug"] == "first"]
    assert [row["rank"] for row in own] == [None if rank != rank else rank for rank in frame["rank"]]
    assert len({row["id"] for row in tables.rows}) == len(tables.rows)


def test_the_papers_rows_are_reported_and_never_ranked(tables):
    paper = [row for row in tables.rows if row["board_slug"] == "paper"]
    assert len(paper) == len(paper_lines())
    assert all(row["badge"] == "reported" and row.get("rank") is None for row in paper)
    assert not any(group.ranked for group in tables.groups if group.board == "paper")


def pair(difference: float, p: float) -> dict[str, float]:
    return {"difference": difference, "p_adjusted": p}


def test_rows_of_a_long_ranking_differ_where_their_joint_intervals_are_disjoint():
    group = Group("b", "b", "", "d", "s", rows=[0, 1, 2, 3])
    group.joint["artifact_iou"] = (np.array([0.3, 0.1, 0.0, np.nan]), np.array([0.5, 0.29, 0.28, np.nan]))
    rows = [{"rank": i + 1} for i in range(4)]
    assert [group.beats("artifact_iou", 0, i) for i in (1, 2, 3)] == [1, 1, 0], (
        "a row without interval differs from none"
    )
    assert group.beats("artifact_iou", 2, 0) == -1
    assert find_tiers(group, "artifact_iou", rows) == {0: 1, 1: 2, 2: 2, 3: 2}
    assert resolved_neighbours(group, "artifact_iou", rows) == (1, 3)


def test_tiers_are_anchored_at_their_leader():
    """Neighbours 1 and 2, 2 and 3 do not differ, 1 and 3 do: 3 leads the next tier, and 4 belongs to it."""
    rows = [{"rank": place + 1.0} for place in range(4)]
    clear, unclear = pair(0.1, 0.001), pair(0.1, 0.4)
    pairs = {(0, 1): unclear, (0, 2): clear, (0, 3): clear, (1, 2): unclear, (1, 3): clear, (3, 2): pair(-0.1, 0.3)}
    group = Group("b", "b", "g", "d", "t", rows=[0, 1, 2, 3], pairs={"artifact_iou": pairs})
    assert find_tiers(group, "artifact_iou", rows) == {0: 1, 1: 1, 2: 2, 3: 2}
    assert resolved_neighbours(group, "artifact_iou", rows) == (0, 3)
    assert group.beats("artifact_iou", 0, 2) == 1 and group.beats("artifact_iou", 2, 0) == -1


def test_a_group_without_pairs_has_no_tiers():
    assert find_tiers(Group("b", "b", "g", "d", "t", rows=[0]), "artifact_iou", [{"rank": 1.0}]) == {}


def test_network_evaluations_are_counted_from_the_plugins(registry):
    line = {"role": "corrupted", "corruptor": "gaussian", "corruptor_params": '{"steps": 10}', "inverter": "ddim"}
    costs = Costs(registry)
    assert costs.evaluations(line | {"num_inference_steps": 50.0}) == 20
    assert costs.evaluations(line | {"corruptor_params": '{"steps": 0}'}) == 0
    assert costs.evaluations(line | {"corruptor": "prompt-swap", "num_inference_steps": 50.0}) == 30
    assert costs.evaluations(line | {"corruptor": "pixel-blur"}) == 0
    assert costs.evaluations(line | {"corruptor": "not-installed", "num_inference_steps": 50.0}) is None
    assert costs.evaluations({"role": "human", "corruptor": None}) is None


# --- what changed -----------------------------------------------------------------------------------------------------


def test_changes_name_what_is_new_gone_and_different(tmp_path, registry, tables):
    site = built(tmp_path)
    earlier = load_earlier(site).rows
    assert find_changes(earlier, earlier) == []
    changed = [dict(row) for row in earlier]
    gone = changed.pop()
    changed[0] |= {"iou": changed[0]["iou"] + 0.01, "badge": "re-run"}
    changed[1]["id"] = "other"
    found = {change.kind: change for change in find_changes(earlier, changed)}
    assert "badge reported → re-run" in found["changed"].words and "artifact IoU" in found["changed"].words
    assert found["new"].name == changed[1]["name"]
    assert gone["name"] in [c.name for c in find_changes(earlier, changed) if c.kind == "gone"]


def season_record(name, state):
    return {"name": name, "state": state, "count": 20, "dataset": "portraits-fresh"}


def fresh_record(season, iou, rank, row="a"):
    return {
        "season": season,
        "id": row,
        "name": "blur",
        "detector": "d",
        "board": "b",
        "fresh": iou,
        "rank_fresh": rank,
    }


def test_changes_name_seasons_that_were_opened_revealed_scored_or_removed():
    before = Earlier(
        [],
        [season_record("spring", "revealed"), season_record("old", "scored")],
        [fresh_record("old", 0.2, 1), fresh_record("spring", 0.3, 2)],
    )
    now = [season_record("spring", "scored"), season_record("autumn", "committed")]
    found = find_season_changes(before, now, [fresh_record("spring", 0.4, 1), fresh_record("spring", 0.1, 3, "b")])
    assert [(one.kind, one.name, one.words) for one in found] == [
        ("changed", "season spring", "revealed → scored; 1 rows scored for the first time"),
        ("changed", "blur", "season spring: fresh IoU 30.00 → 40.00 %, fresh rank by IoU 2 → 1"),
        ("new", "season autumn", "committed: 20 images of portraits-fresh"),
        ("gone", "season old", "no longer listed"),
    ]
    same = Earlier([], now[1:], [])
    assert find_season_changes(same, now[1:], []) == []


def test_changes_of_seasons_are_read_from_an_earlier_site(tmp_path):
    """A site of a version that wrote no seasons counts as one without them."""
    site = built(tmp_path)
    assert load_earlier(site).seasons == []
    (site / "downloads" / "seasons.json").write_text('{"rows": []}')
    assert load_earlier(site).seasons is None
    (site / "downloads" / "seasons.json").unlink()
    assert load_earlier(site / "downloads" / "rows.json").seasons is None
    (site / "downloads" / "seasons.json").write_text("[]")
    with pytest.raises(BenchkitError, match="no rows of an earlier site"):
        load_earlier(site)


def test_an_earlier_site_without_rows_is_refused(tmp_path):
    with pytest.raises(BenchkitError, match="no rows of an earlier site"):
        load_earlier(tmp_path)


# --- downloads --------------------------------------------------------------------------------------------------------


def test_latex_is_bold_only_where_resolved(files, tables):
    text = files["downloads/first/board.tex"].decode()
    resolved = sum(row.get(f"rank{end}_high") == 1 for row in tables.rows for end in ("", "_ap"))
    assert text.count("\\textbf") == resolved > 0
    assert "<img" not in text and "\\textless{}img" in text


def test_downloads_hold_every_row_with_all_digits(files, tables):
    rows = json.loads(files["downloads/rows.json"])["rows"]
    assert [row["iou"] for row in rows] == [row.get("iou") for row in tables.rows]
    lines = files["downloads/rows.csv"].decode().split("\n")
    assert not any(line.startswith(("=", "+", "-", "@")) for line in lines)


def test_a_ranking_is_drawn_for_papers(files):
    assert files["downloads/first/iou.pdf"].startswith(b"%PDF") and files["downloads/first/ap.svg"].startswith(b"<?xml")
    assert files["downloads/first/confinement.pdf"].startswith(b"%PDF")
    assert files["downloads/first/confinement.svg"].startswith(b"<?xml")


def test_quality_against_cost_is_drawn_for_papers():
    rows = [
        {"kind": "trained", "detector": "net", "name": "$x$:steps=1", "iou": figure, "evaluations": cost}
        for figure, cost in ((0.3, 0), (0.2, 30), (0.4, 60))
    ]
    drawn = cost_figure(rows, "iou", "pdf")
    assert drawn is not None and drawn.startswith(b"%PDF")
    assert drawn == cost_figure(rows, "iou", "pdf")
    assert cost_figure([row | {"detector": str(i)} for row in rows for i in range(13)], "iou") is None, "too long"


def test_no_row_on_the_front_is_reached_by_a_cheaper_one():
    rows = [
        {"evaluations": cost, "iou": figure} for cost, figure in ((0, 0.3), (5, 0.2), (5, 0.4), (9, 0.4), (20, 0.5))
    ]
    assert [row["evaluations"] for row in find_front(rows, "iou")] == [0, 5, 20]
    assert cost_figure([{"kind": "trained", "detector": "net", "iou": 0.3, "evaluations": None}], "iou") is None


# --- the answer -------------------------------------------------------------------------------------------------------


def _group(figures, worse_than_first, baselines=()):
    """A group of rows with these figures, and the pairs of the first one with all others."""
    rows = [
        {"name": f"m{i}", "method_slug": f"m{i}", "role": "human" if i in baselines else "corrupted", "iou": figure}
        | {"rank": i + 1.0, "evaluations": 60 - i, "seeds": 3, "dataset": "made/test[9]", "badge": "reported"}
        for i, figure in enumerate(figures)
    ]
    first = next(i for i in range(len(rows)) if i not in baselines)
    pairs = {
        (first, i): {"difference": 0.1, "p_adjusted": 0.01 if i in worse_than_first else 0.5}
        for i in range(first + 1, len(rows))
    }
    group = Group("mine", "mine", "net", "net", "made", rows=list(range(len(rows))), pairs={"artifact_iou": pairs})
    return group, rows


def test_the_answer_names_every_method_that_is_not_separable():
    group, rows = _group([0.5, 0.4, 0.39, 0.1], worse_than_first={3}, baselines={0})
    (answer,) = find_answers([group], rows)
    (ranked,) = answer.ranked
    assert (ranked.best.name, [tie.name for tie in ranked.ties], ranked.rows) == ("m1", ["m2"], 3)
    assert ranked.cheapest[0].name == "m2" and "58 network evaluations" in ranked.cheapest[1]
    assert answer.evidence == "made/test[9], 3 seeds, reported"


def test_methods_with_labelled_images_have_an_answer_of_their_own():
    group, rows = _group([0.5, 0.4, 0.3], worse_than_first={1, 2})
    assert [ranked.trained_on for ranked in find_answers([group], rows)[0].ranked] == [""]
    rows[0]["role"] = "mixed"
    found = {ranked.trained_on: (ranked.best.name, ranked.rows) for ranked in find_answers([group], rows)[0].ranked}
    assert found == {"corrupted images alone": ("m1", 2), "corrupted and labelled images": ("m0", 1)}


def test_the_answer_claims_no_separation_without_pairs():
    group, rows = _group([0.5, 0.4], set())
    group.pairs.clear()
    assert find_answers([group], rows)[0].ranked[0].ties is None


def test_the_answer_says_how_the_best_stands_against_the_baselines():
    group, rows = _group([0.5, 0.4], {1})
    rows[0] |= {"human": -0.02, "human_low": -0.05, "human_high": 0.01, "human_verdict": "unresolved"}
    (words,) = find_answers([group], rows)[0].ranked[0].against
    assert words == "Not separable from the labelled images alone (human): −2.00 [−5.00, 1.00] points."


def test_a_reader_learns_first_whether_any_corruption_helps():
    group, rows = _group([0.5, 0.4, 0.3, 0.2], set(), baselines={0})
    rows[1] |= {"human": -0.1, "human_verdict": "worse", "pseudo": 0.02, "pseudo_verdict": "unresolved"}
    rows[2] |= {
        "human": -0.2,
        "human_verdict": "worse",
        "pseudo": 0.03,
        "pseudo_verdict": "unresolved",
        "role": "mixed",
    }
    rows[3] |= {"human": -0.3, "human_verdict": "worse"}
    by_pseudo, by_human = find_answers([group], rows)[0].questions
    iou = "artifact IoU at 0.5"
    assert by_pseudo.replies[iou].words == "Not shown: of 1 row, 1 not separable."
    assert by_human.replies[iou].words == "No: of 3 rows, 3 worse. The row human has 50.00 %."
    assert find_answers([group], rows)[0].advice == [
        f"By {iou}, no corruption is shown to be better than the same masks without corruption (pseudo).",
        f"By {iou}, no row with corrupted images is better than the labelled images alone (human).",
    ]
    rows[1] |= {"pseudo_verdict": "better", "pseudo_low": 0.01, "pseudo_high": 0.03}
    (answer,) = find_answers([group], rows)
    words = answer.questions[0].replies[iou].words
    assert words == "Yes: 1 of 1. m1 has the largest lead: +2.00 [1.00, 3.00] points."
    assert (
        answer.advice[0]
        == f"By {iou}, use m1: +2.00 [1.00, 3.00] points over pseudo; 1 other is not separable from it."
    )


def test_the_advice_counts_the_rows_that_lost_their_lead_on_fresh_images():
    group, rows = _group([0.5, 0.4, 0.3], set(), baselines={0})
    for row, verdict in zip(rows, ("unresolved", "behind", None), strict=True):
        row["seasons"] = {"spring": {"lead_verdict": verdict, "lead_ap_verdict": "unresolved"}}
    (words,) = find_answers([group], rows)[0].advice
    where = "On the fresh images of season spring"
    assert (
        words
        == f"{where}, rows lost their lead over pseudo beyond chance: by artifact IoU at 0.5 1 of 2, by AP 0 of 3."
    )
    rows[1]["seasons"]["spring"]["lead_verdict"] = "ahead"
    (words,) = find_answers([group], rows)[0].advice
    ranked = "by artifact IoU at 0.5 and by AP"
    assert words == f"{where}, none of 3 rows lost its lead over pseudo beyond chance, {ranked}."


def test_a_method_says_in_short_where_it_stands():
    rows = [
        {"group": 0, "kind": "trained", "role": "corrupted", "detector": "net", "name": name, "board_slug": "mine"}
        | {"iou": iou, "rank": rank, "rank_low": 1.0, "rank_high": 3.0, "pseudo": 0.1, "pseudo_verdict": verdict}
        | {"pseudo_low": 0.0, "pseudo_high": 0.2}
        for name, iou, rank, verdict in (("a:steps=1", 0.2, 2.0, "worse"), ("a:steps=2", 0.3, 1.0, "better"))
    ]
    mixed = rows[0] | {"role": "mixed", "name": "human+a", "iou": 0.9}
    assert list(describe_rows(rows, {0: 5})) == [
        "With net, by artifact IoU at 0.5: its best row is a:steps=2: 30.00 %, rank 1 [1–3] of 5; better than pseudo "
        "(+10.00 [0.00, 20.00] points)."
    ]
    *_, words = describe_rows([mixed | {"rank": 1.0}, *rows], {0: 5})
    assert words.startswith("With net and the labelled images together, by artifact IoU at 0.5: 90.00 %")
    best, verdicts, *_ = summarise_method([*rows, mixed])
    assert (best.text, verdicts.text, verdicts.value) == ("30.00", "1 better, 1 worse", 0)


def test_what_all_rows_share_is_no_column(tables):
    rows = next(rows for rows in tables.rows_by("detector").values() if len(rows) > 3)
    measured = [row for row in rows if row["board_slug"] != "paper"]
    table = make_row_tables(rows, "../", "detector")[0]
    assert table.of == len(measured)
    assert {"submission", "badge"} <= {what for what, _, _ in table.common}
    headers = [text for text, _ in table.headers]
    assert "submission" not in headers and "artifact IoU, %" in headers
    assert all(len(line) == len(headers) for line in table.lines)
    assert "Δ to pseudo, IoU, points" in headers and "Δ to pseudo, AP, points" in headers


def test_rows_without_a_detector_do_not_make_it_a_column(tables):
    measured = [row for row in tables.rows if row["board_slug"] != "paper"]
    trained = next(row for row in measured if row["kind"] == "trained")
    own = [row for row in measured if row["detector"] in (trained["detector"], "–")]
    (chosen, *_) = [row["selector"] for row in own if row["selector"]]
    own = [row for row in own if row["selector"] in (None, chosen)]
    assert {row["detector"] for row in own} == {trained["detector"], "–"}
    table = make_row_tables(own, "../", "dataset")[0]
    assert ("regions selected by", chosen, "") in table.common
    assert ("detector", trained["detector"], f"../detectors/{trained['detector_slug']}.html") in table.common


def test_nothing_is_answered_where_only_baselines_are_ranked():
    group, rows = _group([0.5, 0.4], set(), baselines={1})
    rows[0]["role"] = "oracle"
    assert find_answers([group], rows) == []


def test_a_docstring_is_shown_in_paragraphs(files):
    doc = re.search(r'<p class="doc">(.*?)</p>', files["methods/renoise-masked.html"].decode(), re.DOTALL).group(1)
    assert "does not fit the inverted latents around the mask." in doc


# --- equations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("doc", "equation"),
    [
        ("Adds noise: f = sqrt(alpha_bar) z_0 + n (eq. 4).", "f = sqrt(alpha_bar) z_0 + n"),
        ("Is noise: f = n ~ N(0, I) (Table 2).", "f = n ~ N(0, I)"),
        ("Guides.\n\neps = own + w (other -\nown) inside. More.", "eps = own + w (other - own) inside"),
        ("Lays a texture. If = is no equation.", None),
    ],
)
def test_the_equation_of_a_docstring_is_found(doc, equation):
    assert find_equation(doc) == equation


def test_an_equation_is_drawn_and_escaped():
    drawn = to_mathml("f = sqrt(1 - alpha_bar) z_0' + <img> (a b)")
    assert to_mathml("blur of z_t").count("<mtext>") == 1
    assert "<msqrt><mrow><mn>1</mn><mo>−</mo><mover>" in drawn and "<img" not in drawn
    assert "<msubsup><mi>z</mi><mi>0</mi><mo>′</mo></msubsup>" in drawn
    for tag in ("math ", "mrow>", "msqrt>", "mi>", "mo>", "msubsup>", "mover>", "mtext>"):
        assert drawn.count(f"<{tag}") == drawn.count(f"</{tag.rstrip(' >')}>")


# --- examples ---------------------------------------------------------------------------------------------------------


def test_a_runs_examples_are_those_of_its_page(sources, files):
    shown = sources[0].gallery.of("blur:steps=20")
    assert len(shown) == SHOWN and shown[0].caption.startswith("portraits/clean/0")
    for one, made in zip(shown, examples(SHOWN), strict=True):
        for path, pixels in ((one.before, made.before), (one.after, made.after)):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(files[path])).convert("RGB")), pixels)
    assert sources[0].gallery.of("gaussian:steps=10") == []


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("data:image/webp;base64,", "data:image/svg+xml;base64,"),
        ("data:image/webp;base64,", "https://example.org/"),
        ('class="outline" d="', 'class="outline" d="url(x)'),
        ('transform="scale(', 'transform="matrix('),
        ('viewBox="0 0 ', 'viewBox="0 '),
    ],
)
def test_of_a_page_only_images_and_lines_are_accepted(tmp_path, what, instead):
    folder = board_folder(tmp_path / "run", two_detectors())
    assert read_gallery(folder).of("blur:steps=20")
    text = (folder / "index.html").read_text()
    assert what in text
    (folder / "index.html").write_text(text.replace(what, instead))
    assert read_gallery(folder).of("blur:steps=20") == []


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_boards_gives_all_of_them(tmp_path):
    for name in ("b", "a"):
        board_folder(tmp_path / name, standard())
    (tmp_path / "other").mkdir()
    assert [source.name for source in load_sources([tmp_path, tmp_path / "a"], {})] == ["a", "b"]


def test_a_folder_without_boards_is_refused(tmp_path):
    with pytest.raises(BenchkitError, match=r"contains no board\.json"):
        load_sources([tmp_path], {})


def test_a_run_of_nobody_elses_is_reported(tmp_path):
    folder = board_folder(tmp_path / "run", two_detectors())
    assert load_sources([folder], {})[0].members[0].badge == "reported"


# --- submissions ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_submissions(tmp_path_factory) -> Path:
    """Two submissions of one protocol, which share their baselines."""
    folder = tmp_path_factory.mktemp("submissions")
    for name, methods in (("first", {"blur:steps=20": 0.2}), ("second", {"renoise-masked:steps=10": 0.62})):
        data = make_data(methods)
        corrupted = data.rows.loc[data.rows["role"] == "corrupted", "cell"]
        own = {cell: cell for cell in data.rows["cell"]} | {cell: digest([name, cell]) for cell in corrupted}
        rows = data.rows.assign(cell=[own[cell] for cell in data.rows["cell"]])
        records = {own[cell]: record for cell, record in data.records.items()}
        made = RunData(data.run, data.grid, data.environment, rows, records)
        write_submission(submit_data(made, name), folder / name)
    return folder


@pytest.fixture
def submitted(two_submissions, tmp_path) -> Path:
    """A copy of the two submissions."""
    return Path(shutil.copytree(two_submissions, tmp_path / "submissions"))


def test_submissions_of_one_protocol_are_ranked_together(submitted, registry):
    sources = load_sources([submitted], {})
    assert [[member.name for member in source.members] for source in sources] == [["first", "second"]]
    tables = make_tables(sources, [], Costs(registry))
    own = {row["name"]: (row["board"], row["badge"]) for row in tables.rows}
    assert own["blur:steps=20"] == ("first", "recomputed") and own["renoise-masked:steps=10"] == (
        "second",
        "recomputed",
    )
    rank = {row["name"]: row["rank"] for row in tables.rows if row["rank"]}
    assert sorted(rank.values()) == [1, 2, 3, 4]
    places = {row["name"]: row["place"] for row in tables.rows}
    pairs = tables.groups[0].pairs["artifact_iou"]
    both = {places["blur:steps=20"], places["renoise-masked:steps=10"]}
    assert any({*pair} == both for pair in pairs), "rows of two submissions are paired"


@pytest.mark.parametrize(
    ("verdict", "badge"), [("verified", "re-run"), ("differs", "differs"), ("cannot run", "recomputed")]
)
def test_re_running_gives_a_badge(submitted, verdict, badge):
    facts = {"schema": 1, "verdict": verdict, "submission": digest_submission(submitted / "first"), "cells": []}
    (submitted / "first" / "verified.json").write_text(json.dumps(facts))
    members = {m.name: m.badge for source in load_sources([submitted], {}) for m in source.members}
    assert members == {"first": badge, "second": "recomputed"}


def test_re_running_of_another_state_gives_none(submitted):
    (submitted / "first" / "verified.json").write_text(json.dumps({"verdict": "verified", "submission": "0" * 64}))
    assert load_sources([submitted], {})[0].members[0].badge == "recomputed"


def test_a_submission_that_fails_its_check_is_refused(submitted):
    board = load_board(submitted / "first")
    board.frame.loc[0, "artifact_iou"] += 0.001
    (submitted / "first" / "board.parquet").write_bytes(board_to_parquet(board))
    with pytest.raises(BenchkitError, match="first"):
        load_sources([submitted], {})


# --- very many rows ---------------------------------------------------------------------------------------------------


def test_very_many_rows_are_given_as_parquet_alone_and_compared_with_it(
    tmp_path, monkeypatch, sources, files, registry
):
    monkeypatch.setattr("benchkit.leaderboard.site.downloads.MOST_ROWS_AS_TEXT", 5)
    made = make_site(sources, paper_lines(), registry)
    assert set(files) - set(made) == {"downloads/rows.csv", "downloads/rows.json"}
    write_site(made, tmp_path / "site")
    for place in (tmp_path / "site", tmp_path / "site" / "downloads" / "rows.parquet"):
        earlier = load_earlier(place).rows
        as_text = json.loads(files["downloads/rows.json"])["rows"]
        assert find_changes(earlier, as_text) == find_changes(as_text, earlier) == []
    (tmp_path / "site" / "downloads" / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(BenchkitError, match="not a readable Parquet file"):
        load_earlier(tmp_path / "site")


def test_a_page_has_the_first_answers_and_says_how_many_more_there_are(tmp_path, monkeypatch, sources, registry):
    monkeypatch.setattr("benchkit.leaderboard.site.answers.MOST_ANSWERS", 1)
    monkeypatch.setattr("benchkit.leaderboard.site.pages.MOST_ANSWERS", 1)
    page = make_site(sources, (), registry)["index.html"].decode()
    assert page.count('<article class="answer">') == 1
    assert "The board has 1 more groups of rows" in page


def test_a_method_in_very_many_groups_names_the_first():
    rows = [
        {
            "group": i,
            "kind": "trained",
            "role": "corrupted",
            "detector": f"net {i}",
            "name": "a",
            "iou": 0.3,
            "rank": 1.0,
        }
        for i in range(45)
    ]
    *first, last = describe_rows(rows, {})
    assert len(first) == 40 and last == "It is ranked in 5 more groups of rows, which the board shows."


def test_files_are_compared_block_by_block(tmp_path):
    files = Files({"a": lambda: iter([b"one", b"", b"two"]), "b": b"whole"})
    assert files["a"] == b"onetwo" and len(files) == 2
    digest_a = files.write("a", tmp_path / "in" / "a")
    assert files.differs("a", tmp_path / "in" / "a") == (False, digest_a)
    for text in (b"onetw", b"onetwo!", b"oneTwo", b""):
        (tmp_path / "in" / "a").write_bytes(text)
        assert files.differs("a", tmp_path / "in" / "a") == (True, digest_a)
