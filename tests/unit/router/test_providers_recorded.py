"""Recorded answers through the translations alone: bytes cut anywhere, and noise that must not matter.

The same traffic goes through the transport and the whole router in test_recorded_traffic.py.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.request_json import request_from_json
from meshgate_chassis.chat.response_json import response_to_json
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_router.framing import framer
from meshgate_router.providers.base import Exchange as ProviderExchange
from meshgate_router.providers.base import Framing
from meshgate_router.providers.registry import providers
from tests.support.cassettes import PROVIDERS, Exchange, Reading, chat_exchanges, reading
from tests.support.deployments import deployment
from tests.support.recorded_reading import said, without_made_ids

CREATED_S = 1_700_000_000
CUTS_MAX = 60
EVENT_BYTES_MAX = 1 << 24
TABLE = providers()


def pieces(raw: bytes, random: Random) -> Iterator[bytes]:
    """The bytes, cut at random places."""
    places = sorted(random.randrange(len(raw) + 1) for _ in range(random.randrange(CUTS_MAX)))
    for start, end in zip([0, *places], [*places, len(raw)], strict=True):
        yield raw[start:end]


def exchange_of(recorded: Exchange) -> ProviderExchange:
    """The request that could have brought this answer."""
    where = deployment(
        str(recorded),
        recorded.prefix,
        api_base=f"http://localhost{recorded.base_end}",
        upstream_model=recorded.model,
    )
    chat = request_from_json({"model": "m", "messages": [{"role": "user", "content": "as recorded"}]})
    request = TABLE[recorded.prefix].request(chat, where, stream=recorded.stream)
    return ProviderExchange(request, CREATED_S)


def whole(recorded: Exchange) -> Reading:
    answer = TABLE[recorded.prefix].response(recorded.raw, exchange_of(recorded))
    return said(response_to_json(answer), answer.usage if answer.HasField("usage") else None)


def streamed(recorded: Exchange, raw: bytes, random: Random) -> Reading:
    exchange = exchange_of(recorded)
    decoder = TABLE[recorded.prefix].decoder(exchange)
    events = framer(exchange.request.framing, EVENT_BYTES_MAX)
    chunks: list[chat_pb.ChatChunk] = []
    found_events = [event for piece in pieces(raw, random) for event in events.feed(piece)]
    for event in found_events + events.finish():
        if not decoder.done:
            chunks.extend(decoder.feed(event))
    assert decoder.whole
    answer = ChunkAccumulator()
    for chunk in chunks:
        answer.add(chunk)
    found = said(response_to_json(answer.response()), decoder.usage)
    assert (found.choices[0].finish_reason or "") == decoder.finish_reason
    return found


def noisy(recorded: Exchange) -> bytes:
    """The stream with what other servers put around and between its events; nothing of it says anything."""
    framing = exchange_of(recorded).request.framing
    if framing is Framing.LINES:
        return b"\n" + recorded.raw.replace(b"\n", b"\r\n\r\n").rstrip()
    ping = b': OPENROUTER PROCESSING\r\n\r\nevent: ping\r\ndata: {"type":"ping"}\r\n\r\nretry: 10\r\n\r\n'
    lines = recorded.raw.replace(b"\r\n", b"\n").strip(b"\n").split(b"\n\n")
    return (
        b"\xef\xbb\xbf" + ping + b"".join(line.replace(b"\n", b"\r\n") + b"\r\n\r\n" + ping for line in lines)
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_whole_answers(provider: str) -> None:
    """Text, reasoning, tool calls, finish reason and usage of every recorded answer."""
    wrong = []
    for recorded in chat_exchanges(provider):
        if recorded.answers and not recorded.stream:
            expected = reading(recorded)
            if expected != without_made_ids(expected, found := whole(recorded)):
                wrong.append((str(recorded), expected, found))

    assert [] == wrong


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_streams(provider: str, seed: int) -> None:
    """The same of every recorded stream, cut anywhere, as it was and with noise."""
    wrong = []
    for recorded in chat_exchanges(provider):
        if recorded.answers and recorded.stream:
            expected = reading(recorded)
            for raw in (recorded.raw, noisy(recorded)):
                found = without_made_ids(expected, streamed(recorded, raw, Random(seed)))
                if expected != found:
                    wrong.append((str(recorded), expected, found))

    assert [] == wrong


@pytest.mark.parametrize("provider", PROVIDERS)
def test_cut_streams_are_noticed(provider: str) -> None:
    """An answer without its end is not whole, wherever it was cut before its last words."""
    random = Random(7)
    for recorded in chat_exchanges(provider):
        if not (recorded.answers and recorded.stream):
            continue
        exchange = exchange_of(recorded)
        decoder = TABLE[recorded.prefix].decoder(exchange)
        events = framer(exchange.request.framing, EVENT_BYTES_MAX)
        for event in events.feed(recorded.raw[: random.randrange(before_end(recorded))]):
            decoder.feed(event)
        assert not decoder.whole, recorded


def before_end(recorded: Exchange) -> int:
    """Where the event begins that first tells a finish reason."""
    marks = (
        b'"finish_reason":"',
        b'"finish_reason": "',
        b'"stop_reason":"',
        b'"finishReason"',
        b'"done":true',
    )
    found = [place for mark in marks if (place := recorded.raw.find(mark)) >= 0]
    end = min(found) if found else recorded.raw.find(b"[DONE]")
    return recorded.raw.rfind(b"\n", 0, end) + 1 or 1


def members(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(item)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_unknown_members_change_nothing(provider: str) -> None:
    """Other versions of a provider say more: in every object of an answer."""
    for recorded in chat_exchanges(provider):
        if recorded.answers and not recorded.stream:
            body = json.loads(recorded.raw)
            for found in list(members(body)):
                found["unheard_of"] = {"a": [1, None]}
            expected = whole(recorded)
            changed = Exchange(**{**vars(recorded), "raw": json.dumps(body).encode()})
            answer = TABLE[recorded.prefix].response(changed.raw, exchange_of(recorded))
            found_usage = answer.usage if answer.HasField("usage") else None
            text = said(response_to_json(answer), found_usage)
            assert [choice.text for choice in expected.choices.values()] == [
                choice.text for choice in text.choices.values()
            ]
            assert expected.usage == text.usage
