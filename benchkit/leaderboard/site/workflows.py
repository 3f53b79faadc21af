"""Workflow files for publishing a site: GitHub Pages, and a static Space of Hugging Face."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from benchkit.system.output_files import explain_write_errors, write_file

#: Path in the user's repository -> the file here.
WORKFLOWS = {
    ".github/workflows/leaderboard-pages.yaml": "pages.yaml",
    ".github/workflows/leaderboard-space.yaml": "space.yaml",
}


def write_workflows(folder: Path) -> list[Path]:
    """Write the workflow files below a folder, a repository's root; return their paths.

    Raises BenchkitError where they cannot be written.
    """
    templates = resources.files("benchkit.leaderboard.site") / "templates"
    written = []
    for path, name in WORKFLOWS.items():
        target = folder / path
        with explain_write_errors(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, (templates / name).read_bytes())
        written.append(target)
    return written
