"""Recorded answers with damage: whatever a provider says is an answer or a ProviderError, and no crash."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from meshgate_chassis.chat.sse import SseEvent
from meshgate_router.framing import framer
from meshgate_router.providers.base import Framing, ProviderError
from meshgate_router.providers.registry import providers
from tests.support.cassettes import PROVIDERS, Exchange, chat_exchanges
from tests.unit.router.test_providers_recorded import exchange_of

TABLE = providers()
DAMAGES = (None, "", "x", 0, -1, 1.5, True, [], {}, [None], ["x"], {"a": None}, [[]])
ROUNDS = 20
EVENT_BYTES_MAX = 1 << 24


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from places(item)


def damaged(body: Any, random: Random) -> Any:
    """A copy with one value replaced, or one member gone."""
    copy = json.loads(json.dumps(body))
    container, key = random.choice(list(places(copy)) or [([None], 0)])
    if isinstance(container, dict) and random.random() < 0.2:
        del container[key]
    else:
        container[key] = random.choice(DAMAGES)
    return copy


def event_bodies(recorded: Exchange) -> list[Any]:
    """The JSON of each event; texts that are none stay as they are."""
    framing = exchange_of(recorded).request.framing
    events = framer(framing, EVENT_BYTES_MAX)
    found = [event.data for event in [*events.feed(recorded.raw), *events.finish()]]
    return [json.loads(data) if data.startswith(b"{") else data for data in found]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_whole_answers(provider: str) -> None:
    """One value of the answer is not what it should be."""
    random = Random(21)
    for recorded in chat_exchanges(provider):
        if recorded.stream or not recorded.answers:
            continue
        exchange = exchange_of(recorded)
        for _ in range(ROUNDS):
            body = json.dumps(damaged(json.loads(recorded.raw), random)).encode()
            try:
                answer = TABLE[recorded.prefix].response(body, exchange)
            except ProviderError:
                continue
            assert min(answer.usage.prompt_tokens, answer.usage.completion_tokens) >= 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_streams(provider: str) -> None:
    """One value of one event is not what it should be, or an event is missing, or comes twice."""
    random = Random(22)
    for recorded in chat_exchanges(provider):
        if not (recorded.stream and recorded.answers):
            continue
        bodies = event_bodies(recorded)
        for _ in range(ROUNDS):
            number = random.randrange(len(bodies))
            chosen = bodies[number]
            instead = [damaged(chosen, random)] if isinstance(chosen, dict) else [chosen]
            instead = random.choice([instead, instead, instead, [], [chosen, chosen]])
            decoder = TABLE[recorded.prefix].decoder(exchange_of(recorded))
            try:
                for body in [*bodies[:number], *instead, *bodies[number + 1 :]]:
                    data = body if isinstance(body, bytes) else json.dumps(body).encode()
                    if not decoder.done:
                        decoder.feed(SseEvent("", data))
            except ProviderError:
                continue
            usage = decoder.usage
            assert usage is None or min(usage.prompt_tokens, usage.completion_tokens) >= 0


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"error":null}', b'{"error":[1]}', b"\xff", b"1"]
)
@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_errors(name: str, body: bytes, status: int) -> None:
    """Any body of an error is one."""
    error = TABLE[name].error(status, {"retry-after": "soon"}, body)

    assert status == error.upstream_status
    assert error.message
    assert 400 <= error.http_status < 600


def test_lines_are_what_ollama_sends() -> None:
    """So that the damage above is done to events, not to text."""
    framings = {exchange_of(item).request.framing for item in chat_exchanges("ollama") if not item.base_end}
    assert {Framing.LINES} == framings
