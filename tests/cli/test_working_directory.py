"""Nothing in the working directory is imported unless it was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TRAP = "from pathlib import Path\nPath('imported-{name}').touch()\n"
NAMES = ("benchkit_plugins", "benchkit_mine", "conftest", "plugin", "gaussian", "yaml", "torch", "pluggy")
#: As an installed console script does: the script's own folder is on the path, not the one it is started in.
SCRIPT = "import sys\nfrom benchkit.cli.main import main\nsys.exit(main())\n"


def test_a_folder_full_of_modules_is_left_alone(tmp_path: Path) -> None:
    work, scripts = tmp_path / "work", tmp_path / "bin"
    work.mkdir()
    scripts.mkdir()
    (scripts / "benchkit-script.py").write_text(SCRIPT)
    for name in NAMES:
        (work / f"{name}.py").write_text(TRAP.format(name=name))
    (work / "benchkit_mine.egg-info").mkdir()
    (work / "benchkit_mine.egg-info" / "entry_points.txt").write_text("[benchkit]\nmine = benchkit_mine\n")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(scripts / "benchkit-script.py"), *arguments]
        environment = {k: v for k, v in os.environ.items() if k != "BENCHKIT_PLUGINS"}
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)

    listed = run("plugins", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert not list(work.glob("imported-*"))
    asked = run("plugins", "list", "--json", "--plugin", "plugin.py")
    assert asked.returncode == 0, asked.stderr
    assert [path.name for path in work.glob("imported-*")] == ["imported-plugin"]
