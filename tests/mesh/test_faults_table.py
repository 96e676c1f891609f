"""Each way a provider can fail, through the whole mesh: what the client sees, how often a provider was
called, and what the ledger says. One table.

Every fault is met four ways: alone or with a fallback, in one piece or streamed. `sturdy` answers what
`fragile` does not.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.mesh.subject import Answer, Subject, subject_with
from tests.support.eventually import eventually

CONFIG = """
model_list:
  - model_name: alone
    litellm_params: &fragile
      model: openai/fragile
      api_base: {url}/v1
      api_key: sk-provider-secret
      timeout: 1
      first_token_timeout: 0.5
      between_tokens_timeout: 0.5
      input_cost_per_token: 0.000001
      output_cost_per_token: 0.000002
    model_info: {{id: alone}}
  - model_name: guarded
    litellm_params: *fragile
    model_info: {{id: guarded}}
  - model_name: sturdy
    litellm_params:
      model: openai/sturdy
      api_base: {url}/v1
      api_key: sk-provider-secret
      input_cost_per_token: 0.000010
      output_cost_per_token: 0.000020
    model_info: {{id: sturdy}}
router_settings:
  num_retries: 0
  allowed_fails: 1000
  fallbacks: [{{guarded: [sturdy]}}]
"""
QUESTION = "Tell me a story of some words"
DELAY = "demo:delay=0.01"  # so that a stream has begun before it breaks


@pytest.fixture
async def subject(postgres_dsn: str) -> AsyncIterator[Subject]:
    async with subject_with(CONFIG, postgres_dsn) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Row:
    """`whole`, `streamed`: the status and the reason when nobody helps; None: the answer arrives anyway.
    `begun`: the stream breaks after its first tokens. `billed`: nobody knows whether the prompt was read."""

    whole: tuple[int, str] | None
    streamed: tuple[int, str] | None
    begun: bool = False
    billed: bool = False
    retry_after: str | None = None


BROKEN = (200, "PROVIDER_STREAM_BROKEN")
LATE = (408, "PROVIDER_TIMEOUT")
DOWN = (500, "PROVIDER_UNAVAILABLE")
SENSELESS = (502, "PROVIDER_ERROR")
TABLE = {
    "429:7": Row((429, "PROVIDER_RATE_LIMITED"), (429, "PROVIDER_RATE_LIMITED"), retry_after="7"),
    "500": Row(DOWN, DOWN),
    "503": Row((503, "PROVIDER_UNAVAILABLE"), (503, "PROVIDER_UNAVAILABLE")),
    "hang_before_headers": Row(LATE, LATE, billed=True),
    "hang_before_first_chunk": Row(LATE, LATE, billed=True),
    "stall_mid_stream:20": Row(LATE, BROKEN, begun=True, billed=True),
    "cut_mid_stream:20": Row(DOWN, BROKEN, begun=True, billed=True),
    "error_mid_stream:20": Row(DOWN, BROKEN, begun=True),
    "malformed_chunk:20": Row(SENSELESS, BROKEN, begun=True),
    "end_without_finish:20": Row(SENSELESS, BROKEN, begun=True),
    "wrong_content_type": Row(SENSELESS, SENSELESS),
    "close_connection": Row(DOWN, DOWN, billed=True),
    "slow_drip:0.01": Row(None, None),
    "huge_answer:3000": Row(None, None),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one request left behind: at the client, at the provider and in the ledger."""

    answer: Answer
    text: str
    calls: list[dict[str, Any]]
    entries: list[dict[str, Any]]

    @property
    def models(self) -> list[str]:
        return [call["model"] for call in self.calls]


async def ask(subject: Subject, model: str, fault: str, *, stream: bool, **members: Any) -> Seen:
    """One request, after which everything has settled."""
    calls_before, entries_before = len(await subject.served()), len(await subject.entries())
    directives = f"demo:fail={fault}@fragile {DELAY}" if fault else ""
    members = {**members, "stream": True} if stream else members
    answer = await subject.ask(f"{QUESTION} {directives}", model=model, **members)

    async def entries() -> list[dict[str, Any]]:
        return (await subject.entries())[entries_before:]

    found = await eventually(entries, "the ledger has its entries")
    calls = (await subject.served())[calls_before:]
    return Seen(answer, text_of(answer, stream=stream), calls, found)


def text_of(answer: Answer, *, stream: bool) -> str:
    """What the client can read."""
    if answer.status != 200:
        return ""
    if not stream:
        return str(answer.json["choices"][0]["message"]["content"])
    choices = [
        event["choices"][0] for event in answer.events if isinstance(event, dict) and "choices" in event
    ]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def check_failed(row: Row, seen: Seen, want: str, *, stream: bool) -> None:
    """Nobody helped: one typed error, one call, one entry."""
    expected = row.streamed if stream else row.whole
    assert expected is not None
    status, reason = expected
    broken = expected == BROKEN
    error = seen.answer.events[-1]["error"] if broken else seen.answer.json["error"]
    (entry,) = seen.entries

    assert status == seen.answer.status
    assert {"message", "type", "param", "code"} <= set(error)
    assert b"[DONE]" not in seen.answer.body
    assert row.retry_after == seen.answer.headers.get("retry-after")
    assert ["fragile"] == seen.models
    assert ("failure", reason) == (entry["outcome"], entry["error_reason"])
    assert entry["amount_nanos"] == 1_000 * entry["prompt_tokens"] + 2_000 * entry["completion_tokens"]
    assert (broken or row.billed) == (entry["prompt_tokens"] > 0) == entry["estimated"]
    if broken:
        assert "" < seen.text < want
        assert want.startswith(seen.text)
        assert 0 < entry["completion_tokens"] <= 2 * seen.calls[0]["tokens_sent"]
    else:
        assert 0 == entry["completion_tokens"]


def check_rescued(row: Row, seen: Seen, want: str, *, stream: bool) -> None:
    """The client notices nothing; every call that may cost something is on the bill, at its own price."""
    begun = stream and row.begun
    answering, *legs = sorted(seen.entries, key=lambda entry: entry["leg"])
    sturdy = seen.calls[-1]

    assert (200, want) == (seen.answer.status, seen.text)
    assert stream == (b"[DONE]" in seen.answer.body)
    assert ["fragile", "sturdy"] == seen.models
    assert ("success", "sturdy", False) == (
        answering["outcome"],
        answering["deployment_id"],
        answering["estimated"],
    )
    assert (sturdy["prompt_tokens"], sturdy["completion_tokens"]) == (
        answering["prompt_tokens"],
        answering["completion_tokens"],
    )
    assert (
        answering["amount_nanos"] == 10_000 * sturdy["prompt_tokens"] + 20_000 * sturdy["completion_tokens"]
    )
    assert int(begun or row.billed) == len(legs)
    for leg in legs:
        assert ("stream_broken" if begun else "unanswered") == leg["leg_reason"]
        assert ("guarded", True) == (leg["deployment_id"], leg["estimated"])
        assert leg["amount_nanos"] == 1_000 * leg["prompt_tokens"] + 2_000 * leg["completion_tokens"] > 0
        assert begun == (leg["completion_tokens"] > 0)
    assert ("guarded" if begun else "sturdy") == seen.answer.headers["x-litellm-model-group"]


def check_unharmed(seen: Seen, want: str) -> None:
    """An ordinary answer."""
    (call,), (entry,) = seen.calls, seen.entries

    assert 200 == seen.answer.status
    assert seen.text == want or len(seen.text) > 3_000
    assert "fragile" == call["model"]
    assert ("success", False) == (entry["outcome"], entry["estimated"])
    assert (call["prompt_tokens"], call["completion_tokens"]) == (
        entry["prompt_tokens"],
        entry["completion_tokens"],
    )


@pytest.mark.parametrize("fault", TABLE)
async def test_a_fault(subject: Subject, fault: str) -> None:
    """As its row says: alone and guarded, whole and streamed."""
    row = TABLE[fault]
    want = (await ask(subject, "sturdy", "", stream=False)).text
    for stream in (False, True):
        for model in ("alone", "guarded"):
            seen = await ask(subject, model, fault, stream=stream)
            if (row.streamed if stream else row.whole) is None:
                check_unharmed(seen, want)
            elif model == "alone":
                check_failed(row, seen, want, stream=stream)
            else:
                check_rescued(row, seen, want, stream=stream)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_retry_waits_as_long_as_it_was_told(subject: Subject, stream: bool) -> None:
    """Two calls of the same deployment, the second one not before Retry-After; one entry."""
    faults = {"faults": [{"fault": "429:1@fragile", "count": 1}]}
    async with subject.session.put(f"{subject.provider.url}/demo/faults", json=faults) as answer:
        assert 200 == answer.status
    seen = await ask(subject, "alone", "", stream=stream, num_retries=1)
    first, second = seen.calls

    assert (200, "1") == (seen.answer.status, seen.answer.headers["x-litellm-attempted-retries"])
    assert ["fragile", "fragile"] == seen.models
    assert second["received_s"] - first["received_s"] >= 1.0
    assert ["success"] == [entry["outcome"] for entry in seen.entries]
