"""`benchkit leaderboard build` and `serve`: the site's commands, their exit codes, and that they load no torch."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from benchkit.cli.leaderboard_site import _Quiet
from tests.helpers.small_comparison import Run
from tests.leaderboard.made_site import board_folder
from tests.report.conftest import standard


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """A folder with one run's board."""
    board_folder(tmp_path / "boards" / "mine", standard())
    return tmp_path / "boards"


def test_a_site_is_built_checked_and_found_to_drift(run: Run, boards: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert run("leaderboard", "build", boards, "--out", site).code == 0
    assert run("leaderboard", "build", boards, "--check", site).code == 0
    (site / "methods.html").write_text("edited")
    drifted = run("leaderboard", "build", boards, "--check", site)
    assert drifted.code == 2 and "1 files differ: methods.html" in drifted.err
    assert (site / "methods.html").read_text() == "edited"


def test_what_it_needs_is_named(run: Run, boards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, words in (
        ((boards,), "--out"),
        (("--out", tmp_path / "site"), "leaderboard/submissions"),
        ((tmp_path / "none", "--out", tmp_path / "site"), "there is no folder"),
        ((boards, "--check", tmp_path), "is no site"),
        ((boards, "--out", tmp_path / "site", "--since", tmp_path), "no rows of an earlier site"),
    ):
        result = run("leaderboard", "build", *arguments)
        assert result.code == 2 and words in result.err, arguments
    assert not (tmp_path / "site").exists()


def test_workflow_files_are_yaml_and_build_the_site(run: Run, tmp_path: Path) -> None:
    assert run("leaderboard", "build", "--workflows", tmp_path).code == 0
    files = sorted((tmp_path / ".github" / "workflows").iterdir())
    assert len(files) == 2
    for file in files:
        steps = [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job["steps"]]
        assert any("benchkit leaderboard build" in step.get("run", "") for step in steps)


def test_building_loads_no_torch(boards: Path, tmp_path: Path) -> None:
    arguments = ["leaderboard", "build", str(boards), "--out", str(tmp_path / "site")]
    code = f"import sys; from benchkit.cli.main import main; code = main({arguments!r}); "
    code += "sys.exit(code or int('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_served_site_is_read(run: Run, boards: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert run("leaderboard", "build", boards, "--out", site).code == 0
    assert run("leaderboard", "serve", tmp_path).code == 2
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/index.html") as page:
            assert page.read() == (site / "index.html").read_bytes()
        server.shutdown()
