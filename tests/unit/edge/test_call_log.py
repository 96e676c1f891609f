"""One line for each call, with its cost, and with nothing that is secret."""

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import CallInfo
from meshgate_edge.call_log import CallLog

INFO = CallInfo(
    "call-1",
    "gpt",
    model_group="gpt",
    provider="openai",
    deployment_id="d-1",
    cost_usd_nanos=225_000,
    key_hash="0123456789abcdef" * 4,
    key_alias="alias",
    prompt_tokens=10,
    completion_tokens=20,
    duration_s=0.1234,
    outcome="success",
    provider_headers={"x": "secret"},
)


def lines(info: CallInfo, error: MeshError | None = None) -> list[Any]:
    """What is logged of a call."""
    with capture_logs() as logged:
        CallLog().finished(info, error)
    return logged


def test_a_call_is_one_line_with_its_cost() -> None:
    """In USD, beside what it was for."""
    expected = {
        "event": "call",
        "log_level": "info",
        "call_id": "call-1",
        "outcome": "success",
        "model": "gpt",
        "model_group": "gpt",
        "provider": "openai",
        "deployment_id": "d-1",
        "key_alias": "alias",
        "key_hash": "01234567",
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "cost": 0.000225,
        "duration_ms": 123.4,
    }

    assert [expected] == lines(INFO)


@pytest.mark.parametrize(
    ("error", "level", "status"),
    [
        (MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "a prompt"), "info", 400),
        (MeshError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", "a prompt"), "warning", 503),
        (MeshError(Code.UNAVAILABLE, "PROVIDER_ERROR", "a prompt", {"http_status": "502"}), "warning", 502),
    ],
)
def test_a_failure_is_told_by_reason_and_status(error: MeshError, level: str, status: int) -> None:
    """Not by its message, which may quote a prompt."""
    (line,) = lines(INFO, error)

    assert (level, status, error.reason) == (line["log_level"], line["status"], line["reason"])
    assert "a prompt" not in str(line)


def test_a_used_up_budget_is_found_by_that_word() -> None:
    """As LiteLLM's users search for it."""
    (line,) = lines(INFO, MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", "key over budget"))

    assert "Budget has been exceeded!" in line["budget"]


def test_a_fallback_has_a_line_of_its_own() -> None:
    """From where to where."""
    first, second = lines(replace(INFO, attempted_fallbacks=1, model_group="claude"))

    assert ("fallback", "gpt", "claude") == (first["event"], first["from_model"], first["to_model"])
    assert "call" == second["event"]
