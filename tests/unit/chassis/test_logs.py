"""No credential reaches a log line, whatever name or text it hides in."""

import json
import logging

import pytest
import structlog

from meshgate_chassis.logs import MASK, configure_logs, redact, redact_text

SECRETS = (
    "sk-abcdef1234567890",
    "sk-ant-api03-abcdef_123",
    "gsk_abcdef1234567890",
    "AIzaSyA-1234567890abcdefg",
    "Bearer abc.def-ghi",
    "bearer sk-other-secret",
)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_credential_in_a_text_is_masked(secret: str) -> None:
    """Wherever it stands."""
    masked = redact_text(f"before {secret} after")

    assert secret.split()[-1] not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_a_password_in_a_url_is_masked() -> None:
    """Host and user of other URLs stay readable."""
    masked = redact_text("postgresql://bob:hunter2@db:5432/x and https://example.org/a")

    assert "hunter2" not in masked
    assert "@db:5432/x" in masked
    assert "https://example.org/a" in masked


@pytest.mark.parametrize(
    "name", ["authorization", "api_key", "x-api-key", "Password", "mesh_secret", "cookie"]
)
def test_a_value_under_a_secret_name_is_masked(name: str) -> None:
    """Also when it does not look like one."""
    assert {name: MASK} == redact(None, "info", {name: "plain words"})


def test_ordinary_values_stay() -> None:
    """Numbers of tokens are no tokens."""
    event = {"event": "done", "prompt_tokens": 5, "cost": 0.1, "model": "gpt-4o", "task": "risk-free"}

    assert event == redact(None, "info", dict(event))


def test_lines_are_json_with_litellms_members(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of libraries that use the standard library's logging."""
    configure_logs(service="edge", level="INFO", json=True)
    try:
        structlog.get_logger("x").info("hello", api_key="abc", number=1)
        structlog.get_logger("x").debug("not shown")
        logging.getLogger("some.dependency").warning("with sk-abcdef1234567890")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    own, foreign = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert ("hello", "info", "edge", 1, MASK) == (
        own["message"],
        own["level"],
        own["service"],
        own["number"],
        own["api_key"],
    )
    assert own["timestamp"].endswith("Z")
    assert "sk-abcdef" not in foreign["message"]


@pytest.mark.parametrize("odd", ["\ud800", 2**80, {1: 2}, {3}, ValueError("x"), float("nan")])
def test_nothing_is_too_odd_for_a_line(odd: object, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON and for people; a log never fails a call."""
    for as_json in (True, False):
        configure_logs(service="edge", level="INFO", json=as_json)
        try:
            structlog.get_logger("x").info("hello", value=odd)
        finally:
            structlog.reset_defaults()
            logging.getLogger().handlers.clear()
    as_json_line, as_text = capsys.readouterr().out.splitlines()

    assert "hello" == json.loads(as_json_line)["message"]
    assert as_text.endswith("service=edge value=" + (repr(odd)))


def test_a_line_for_people_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a member has in it; what was raised stands below."""
    configure_logs(service="edge", level="INFO", json=False)
    try:
        structlog.get_logger("x").info("hello", text="a b", odd="a\nfalse line", none=None)
        try:
            int("why")
        except ValueError:
            structlog.get_logger("x").exception("broke")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    first, second, *below = capsys.readouterr().out.splitlines()

    head, members = f"[info     ] {'hello':<30} ", r"none=None odd='a\nfalse line' service=edge text=a b"
    assert first.endswith(head + members)
    assert "[error    ] broke" in second
    assert below[-1].startswith("ValueError: ")
