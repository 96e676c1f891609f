"""The official npm client, against the same mesh; node and npm come from a wheel."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.npm import NODE, installed
from tests.support.running_mesh import RunningMesh

PROJECT = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client project with its one dependency, as locked; skips when no package index can be reached."""
    return installed(PROJECT, tmp_path_factory.mktemp("node"))


def ran(mesh: RunningMesh, project: Path, program: str, **variables: str) -> dict[str, Any]:
    """What a program of the project printed."""
    environment = {
        **os.environ,
        "BASE_URL": f"{mesh.url}/v1",
        "API_KEY": mesh.master_key,
        "MODEL": "demo",
        **variables,
    }
    done = subprocess.run(
        [NODE, program], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_the_npm_client(started_mesh: RunningMesh, project: Path) -> None:
    """Completes, streams chunk by chunk, calls a tool, lists models, and gets a typed error."""
    result = ran(started_mesh, project, "client.mjs")

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


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["name", "population"],
    "additionalProperties": False,
}
KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "several choices": {"n": 3},
    "a tool call": {"tools": [WEATHER], "tool_choice": "required"},
    "several choices with tools": {"tools": [WEATHER], "tool_choice": "required", "n": 2},
    "a JSON schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "city", "strict": True, "schema": CITY},
        }
    },
}


def test_the_npm_client_reads_the_same_from_the_cache(started_mesh: RunningMesh, project: Path) -> None:
    """A hit, whole or streamed, parses to the object that the miss was, whole or streamed."""
    result = ran(started_mesh, project, "replay.mjs", KINDS=json.dumps(KINDS))

    assert 2 * len(KINDS) == len(result)
    for case, ways in result.items():
        assert ["MISS", "HIT", "HIT"] == [ways[way]["status"] for way in ("miss", "whole", "streamed")], case
        miss, whole, streamed = (comparable(ways[way]["answer"]) for way in ("miss", "whole", "streamed"))
        assert miss == whole == streamed, case
        assert miss["choices"], case


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """What must be equal: everything but what only the gateway adds to whole answers, and what is absent."""
    told: dict[str, Any] = without_absent({**answer, "cost": None})
    told["usage"] = {name: value for name, value in told["usage"].items() if isinstance(value, int)}
    return told


def without_absent(value: Any) -> Any:
    """Members that are null are left out, at every depth: clients fill them in for one way only."""
    if isinstance(value, dict):
        return {name: without_absent(member) for name, member in value.items() if member is not None}
    return [without_absent(item) for item in value] if isinstance(value, list) else value
