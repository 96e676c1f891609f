"""Every error has a look that a client can act on, and tells nothing that is not for clients."""

import json
import re
from pathlib import Path

import pytest

from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.http.error_table import (
    BY_CODE,
    BY_REASON,
    PROVIDER_BY_STATUS,
    SERVER,
    UNAVAILABLE,
    ErrorRow,
    row_of,
)
from meshgate_edge.http.errors import RenderedError, render_error

README = Path(__file__).resolve().parents[3] / "protos" / "README.md"


def listed_reasons() -> list[str]:
    """The reasons of the contracts' own page: first cells of its tables of reasons."""
    text = README.read_text()
    cells = re.findall(r"^\| ([A-Z0-9_*`, ]+) \|", text[text.index("## Errors") :], re.MULTILINE)
    return sorted({name for cell in cells for name in re.findall(r"[A-Z][A-Z0-9_]+", cell)})


def message_of(rendered: RenderedError) -> str:
    message = rendered.body["error"]["message"]
    assert isinstance(message, str)
    return message


def test_the_contracts_list_reasons() -> None:
    """The test below has something to check."""
    assert {"FIELD_INVALID", "KEY_EXPIRED", "UNSUPPORTED_PARAMETER"} <= set(listed_reasons())


@pytest.mark.parametrize("reason", listed_reasons())
def test_every_reason_has_a_row(reason: str) -> None:
    """A new reason does not pass unnoticed; a provider's is rendered by its status."""
    assert reason in BY_REASON or reason.startswith("PROVIDER_")


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_row(code: Code) -> None:
    """A reason that nobody listed still becomes an answer."""
    assert 400 <= row_of(MeshError(code, "NEVER_HEARD_OF", "text")).status < 600
    assert code in BY_CODE


@pytest.mark.parametrize("row", [*BY_REASON.values(), *BY_CODE.values(), *PROVIDER_BY_STATUS.values()])
def test_a_type_says_whose_fault_it_is(row: ErrorRow) -> None:
    """As the status does."""
    assert (row.status >= 500) == (row.type in {SERVER, UNAVAILABLE, "timeout_error"})


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS])
def test_what_went_wrong_inside_is_not_told(code: Code) -> None:
    """500 and no detail, whatever the error says."""
    rendered = render_error(MeshError(code, "UNEXPECTED", "secret at 10.0.0.1", {"key": "secret"}))

    assert 500 == rendered.status
    assert "secret" not in str(rendered)


def test_addresses_of_services_are_not_told() -> None:
    """gRPC's own words name them."""
    rendered = render_error(MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "10.0.0.1:50051 refused"))

    assert 503 == rendered.status
    assert "10.0.0.1" not in message_of(rendered)


def test_a_wrong_field_is_named() -> None:
    """As OpenAI names it."""
    rendered = render_error(invalid_field("messages[0].role", "messages[0].role must be a string"))

    error = {
        "message": "messages[0].role must be a string",
        "type": "invalid_request_error",
        "param": "messages[0].role",
        "code": "400",
    }
    assert RenderedError(400, {"error": error}) == rendered


def test_an_unknown_model_is_told_in_all_words_that_clients_look_for() -> None:
    """LiteLLM's, and those of its users' tests."""
    rendered = render_error(MeshError(Code.NOT_FOUND, "MODEL_NOT_FOUND", "no", {"model": "gpt-9"}))

    assert (400, "model") == (rendered.status, rendered.body["error"]["param"])
    assert "Invalid model name passed in model=gpt-9" in message_of(rendered)
    assert "Model not found" in message_of(rendered)


def test_a_budget_that_is_used_up_is_429_and_not_worth_a_retry() -> None:
    """SDKs retry a 429 unless they are told."""
    metadata = {"spend_usd_nanos": "1500000000", "max_budget_usd_nanos": "1000000000"}
    error = MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", "the key has spent it", metadata)
    rendered = render_error(error)

    assert (429, "budget_exceeded") == (rendered.status, rendered.body["error"]["type"])
    assert "Budget has been exceeded! Current cost: 1.5, Max budget: 1.0" in message_of(rendered)
    assert "Budget exceeded" in message_of(rendered)
    assert ((b"x-should-retry", b"false"),) == rendered.headers


def test_the_ledgers_words_about_a_budget_are_told_once() -> None:
    """It uses LiteLLM's by itself."""
    metadata = {"spend_usd_nanos": "1", "max_budget_usd_nanos": "1"}
    said = "Budget exceeded: Budget has been exceeded! Team=crew Current cost: 1, Max budget: 1."
    rendered = render_error(MeshError(Code.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED", said, metadata))

    assert said == message_of(rendered)


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, b"0"), (0.2, b"1"), (17.0, b"17")])
def test_a_wait_is_told_in_whole_seconds(wait_s: float, header: bytes) -> None:
    """Rounded up, so that nobody comes too early."""
    error = MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", retry_after_s=wait_s)

    assert ((b"retry-after", header),) == render_error(error).headers


@pytest.mark.parametrize(
    ("upstream", "status", "name"),
    [
        (400, 400, "BadRequestError"),
        (401, 401, "AuthenticationError"),
        (404, 404, "NotFoundError"),
        (408, 408, "Timeout"),
        (413, 413, "APIError"),
        (429, 429, "RateLimitError"),
        (500, 500, "InternalServerError"),
        (503, 503, "ServiceUnavailableError"),
        (529, 529, "APIError"),
        (302, 502, "APIError"),
    ],
)
def test_a_providers_error_keeps_its_status_and_words(upstream: int, status: int, name: str) -> None:
    """With LiteLLM's names around them, which clients match on."""
    metadata = {"http_status": str(upstream), "provider": "openai", "provider_message": "too hot"}
    rendered = render_error(MeshError(Code.UNAVAILABLE, "PROVIDER_ERROR", "text", metadata))

    assert status == rendered.status
    assert f"litellm.{name}: {name}: OpenAIException - too hot" == message_of(rendered)


def test_a_failure_of_all_fallbacks_says_so() -> None:
    """The first error, and that nothing else helped."""
    attempts = """[{"group": "gpt", "provider": "openai", "reason": "PROVIDER_UNAVAILABLE"},
        {"group": "claude", "provider": "anthropic", "reason": "PROVIDER_TIMEOUT"}]"""
    metadata = {
        "http_status": "500",
        "provider": "openai",
        "attempted_fallbacks": "1",
        "attempts": attempts,
    }
    message = message_of(render_error(MeshError(Code.UNAVAILABLE, "PROVIDER_ERROR", "text", metadata)))

    assert message.startswith("litellm.InternalServerError: ")
    tried = "gpt (openai): PROVIDER_UNAVAILABLE, claude (anthropic): PROVIDER_TIMEOUT"
    assert message.endswith(f"All models failed: {tried}")


def test_what_was_tried_again_is_told_once() -> None:
    """With how often; and a full stop between the two sentences."""
    tried = [{"group": name, "provider": "openai", "reason": "R"} for name in ("a", "a", "a", "b", "a")]
    metadata = {
        "http_status": "500",
        "provider": "openai",
        "attempted_fallbacks": "1",
        "attempts": json.dumps(tried),
    }
    message = message_of(render_error(MeshError(Code.UNAVAILABLE, "PROVIDER_ERROR", "text", metadata)))

    assert message.endswith(
        " - text. All models failed: a (openai): R (3 times), b (openai): R, a (openai): R"
    )


def test_what_the_provider_called_it_is_kept() -> None:
    """For clients that know the provider."""
    metadata = {
        "http_status": "400",
        "provider_error_type": "invalid_request_error",
        "provider_error_code": "context_length_exceeded",
        "provider_error_param": "messages",
    }
    error = render_error(MeshError(Code.INVALID_ARGUMENT, "PROVIDER_ERROR", "x", metadata)).body["error"]

    fields = {"type": "invalid_request_error", "code": "context_length_exceeded", "param": "messages"}
    assert (fields, "messages") == (error["provider_specific_fields"], error["param"])
