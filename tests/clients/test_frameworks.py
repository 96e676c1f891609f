"""What people build on an OpenAI-compatible address, unchanged, in front of the mesh."""

from typing import Any

import pytest

from tests.clients.conftest import Program
from tests.support.running_mesh import RunningMesh


@pytest.fixture
def address(started_mesh: RunningMesh) -> dict[str, str]:
    return {"BASE_URL": f"{started_mesh.url}/v1", "API_KEY": started_mesh.master_key}


def is_city(value: Any) -> bool:
    return isinstance(value["name"], str) and isinstance(value["inhabitants"], int)


def test_langchain(program: Program, address: dict[str, str]) -> None:
    """Whole and streamed answers, tools there and back, structured answers, batches, typed errors."""
    found = program("langchain", **address)

    assert "Paris" in found["text"]
    assert found["text"] == found["streamed"]
    assert found["usage"] == found["streamed_usage"] > 0
    assert "stop" == found["finish_reason"]
    assert found["chunks"] > 3
    assert ["get_weather", ["city"]] == found["tool"]
    assert "18 degrees" in found["answered"]
    assert is_city(found["structured"])
    assert ["Paris" in found["batch"][0], "Rome" in found["batch"][1]] == [True, True]
    assert "BadRequestError" in found["error"]


def test_instructor(program: Program, address: dict[str, str]) -> None:
    """Typed answers through tools and through schemas, and in parts."""
    found = program("instructor_client", **address)

    assert {"TOOLS", "JSON_SCHEMA", "partial"} == set(found)
    for each in found.values():
        assert isinstance(each["user"]["name"], str)
        assert isinstance(each["user"]["age"], int)
    assert found["TOOLS"]["tokens"] > 0
    assert found["partial"]["parts"] > 1


def test_pydantic_ai(program: Program, address: dict[str, str]) -> None:
    """An agent's tool really runs, and its result is used; typed results, streams, errors."""
    found = program("pydantic_ai_client", **address)

    assert 1 == len(found["asked"])
    assert "18 degrees" in found["weather"]
    assert is_city(found["typed"])
    assert "Madrid" in found["streamed"]
    assert found["pieces"] > 1
    assert found["output_tokens"] > 0
    assert 400 == found["status"]
