"""An environment of their own for clients and engines that bring many packages (requirements/clients.in)."""

import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "programs"

Program = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def clients_python() -> Path:
    """The Python that has them, installed as locked; skips when no package index can be reached."""
    with (ROOT / ".venv/clients.lock").open("w") as lock:  # two workers of a test run may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", ".venv/.clients"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    if made.returncode != 0:
        pytest.skip(f"requirements/clients.txt cannot be installed: {made.stderr.strip()[-300:]}")
    return ROOT / ".venv/clients/bin/python"


@pytest.fixture(scope="session")
def program(clients_python: Path) -> Program:
    """Runs programs/NAME.py against a mesh, and gives back the JSON it printed."""

    def run(name: str, **variables: str) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ran = subprocess.run(
            [clients_python, PROGRAMS / f"{name}.py"],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == ran.returncode, ran.stderr
        result: dict[str, Any] = json.loads(ran.stdout)
        return result

    return run
