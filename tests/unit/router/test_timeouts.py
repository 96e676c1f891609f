"""Each limit of a provider call, over real sockets: which one was passed is said."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshgate_chassis.config.model import RouterConfig, StageTimeouts
from meshgate_chassis.errors import MeshError
from meshgate_router.timing import TimeoutRules, call_limits, configured_s, rules_for
from meshgate_router.transport import TransportLimits
from tests.support.eventually import eventually
from tests.unit.router.support import chat, deployment, router
from tests.unit.router.test_transport import (
    CHUNK,
    LAST_CHUNK,
    NO_RETRY,
    Script,
    Upstream,
    answer,
    piece,
    stream_head,
    upstream,
)

COMMENT = b": keep-alive\n\n"
ROLE = (
    b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null}}]}\n\n'
)
PAUSE_S = 0.02


def then_keeps_alive(*first: bytes, alive: bytes = COMMENT) -> Script:
    """What is said first, and after it nothing that is a token, for ever."""

    async def script(seen: Upstream, writer: Any) -> None:
        writer.writelines([stream_head(), *map(piece, first)])
        while not writer.is_closing():
            writer.write(piece(alive))
            await writer.drain()
            await asyncio.sleep(PAUSE_S)

    return script


def then_silent(*first: bytes) -> Script:
    async def script(seen: Upstream, writer: Any) -> None:
        writer.writelines(first)
        await writer.drain()

    return script


def then_talks_on(*first: bytes) -> Script:
    return then_keeps_alive(*first, alive=CHUNK)


HEAD = stream_head()
TABLE: Mapping[str, tuple[Script, bool, StageTimeouts, str, str]] = {
    # Of each: what the provider does, whether it streams, the limits, the reason, and what is said.
    "headers": (
        then_silent(),
        False,
        StageTimeouts(total_s=0.2),
        "PROVIDER_TIMEOUT",
        "begin to answer within",
    ),
    "total of a whole answer": (
        then_silent(answer()[:-20]),
        False,
        StageTimeouts(total_s=0.2),
        "PROVIDER_TIMEOUT",
        "was not whole within 0.2 s",
    ),
    "first token, silence": (
        then_silent(HEAD),
        True,
        StageTimeouts(first_token_s=0.2),
        "PROVIDER_TIMEOUT",
        "first token did not come within 0.2 s",
    ),
    "first token, comments": (
        then_keeps_alive(),
        True,
        StageTimeouts(first_token_s=0.2),
        "PROVIDER_TIMEOUT",
        "first token did not come within 0.2 s",
    ),
    "first token, the role alone": (
        then_keeps_alive(ROLE),
        True,
        StageTimeouts(first_token_s=0.2),
        "PROVIDER_TIMEOUT",
        "first token did not come within 0.2 s",
    ),
    "between tokens, silence": (
        then_silent(HEAD, piece(CHUNK)),
        True,
        StageTimeouts(between_tokens_s=0.2),
        "PROVIDER_STREAM_BROKEN",
        "sent no token for 0.2 s",
    ),
    "between tokens, comments": (
        then_keeps_alive(CHUNK),
        True,
        StageTimeouts(between_tokens_s=0.2),
        "PROVIDER_STREAM_BROKEN",
        "sent no token for 0.2 s",
    ),
    "between tokens, empty chunks": (
        then_keeps_alive(CHUNK, alive=ROLE),
        True,
        StageTimeouts(between_tokens_s=0.2),
        "PROVIDER_STREAM_BROKEN",
        "sent no token for 0.2 s",
    ),
    "total of a stream that flows": (
        then_talks_on(CHUNK),
        True,
        StageTimeouts(total_s=0.3),
        "PROVIDER_STREAM_BROKEN",
        "was not whole within 0.3 s",
    ),
}


@pytest.mark.parametrize("where", ["deployment", "router"])
@pytest.mark.parametrize("name", TABLE)
async def test_the_limit_that_was_passed_is_said(name: str, where: str) -> None:
    """Of the deployment, or of all; comments and empty chunks are no tokens; the connection is closed."""
    script, streamed, stages, reason, said = TABLE[name]
    config = NO_RETRY if where == "deployment" else replace(NO_RETRY, stages=stages)
    async with upstream(script) as seen:
        target = replace(seen.deployment, stages=stages) if where == "deployment" else seen.deployment
        async with router([target], config=config) as subject:
            with pytest.raises(MeshError) as caught:
                await (subject.stream(chat()) if streamed else subject.create(chat()))
            await eventually(lambda: seen.gone_s, "the provider sees the end")
    error = caught.value

    assert (reason, "1") == (error.reason, error.metadata["upstream_calls"])
    assert said in error.metadata["provider_message"]
    assert "PROVIDER_TIMEOUT" == json.loads(error.metadata["attempts"])[0]["reason"]


async def test_no_connection_in_time_is_said_and_not_paid_for() -> None:
    """The limit for connecting holds while all connections are in use."""
    async with upstream(then_silent()) as seen:
        target = replace(seen.deployment, stages=StageTimeouts(connect_s=0.2))
        async with router([target], config=NO_RETRY, limits=TransportLimits(connections_max=1)) as subject:
            holding = asyncio.ensure_future(subject.create(chat()))
            await eventually(lambda: seen.heads, "the first request is there")
            with pytest.raises(MeshError) as caught:
                await subject.create(chat())
            holding.cancel()

    assert ("PROVIDER_TIMEOUT", "0") == (caught.value.reason, caught.value.metadata["upstream_calls"])
    assert "no connection to the provider within 0.2 s" == caught.value.metadata["provider_message"]


async def test_an_answer_that_flows_is_not_limited() -> None:
    """Pauses below the limit between tokens may add up to more than it."""

    async def script(seen: Upstream, writer: Any) -> None:
        writer.write(stream_head())
        for _ in range(20):
            writer.write(piece(CHUNK))
            await writer.drain()
            await asyncio.sleep(PAUSE_S)
        writer.writelines([piece(LAST_CHUNK), piece(b"data: [DONE]\n\n"), b"0\r\n\r\n"])

    stages = StageTimeouts(first_token_s=10 * PAUSE_S, between_tokens_s=10 * PAUSE_S)
    async with upstream(script) as seen:
        async with router([replace(seen.deployment, stages=stages)], config=NO_RETRY) as subject:
            result = await subject.stream(chat())

    assert result.finished is not None
    assert "hi" * 20 == result.answer["choices"][0]["message"]["content"]


RULES = TimeoutRules(connect_s=5.0, between_reads_s=60.0)
ROUTER = RouterConfig(timeout_s=600.0, stages=StageTimeouts(1.0, 2.0, 3.0, 4.0))


def test_the_deployment_s_limits_come_first() -> None:
    """Each stage by itself; an older `timeout` of the deployment before a newer limit for all."""
    own = deployment(stages=StageTimeouts(10.0, 20.0, 30.0, 40.0))
    half = deployment(timeout_s=7.0, stages=StageTimeouts(connect_s=10.0))
    found = rules_for(RULES, own, ROUTER)

    assert (10.0, 30.0, 40.0) == (found.connect_s, found.between_tokens_s, found.total_s)
    assert (20.0, 2.0) == (
        configured_s(own, ROUTER, stream=True),
        configured_s(deployment(), ROUTER, stream=True),
    )
    assert 7.0 == configured_s(half, ROUTER, stream=True)
    assert 600.0 == configured_s(own, ROUTER, stream=False)
    assert (10.0, 3.0, 4.0) == tuple(
        getattr(rules_for(RULES, half, ROUTER), name) for name in ("connect_s", "between_tokens_s", "total_s")
    )
    assert 5.0 == rules_for(RULES, deployment(), RouterConfig()).connect_s


def test_a_short_limit_for_the_first_token_is_none_for_pauses() -> None:
    """A model that begins at once may still think in the middle."""
    target = deployment(timeout_s=50.0, stages=StageTimeouts(first_token_s=2.0))
    config = RouterConfig()
    limits = call_limits(
        configured_s(target, config, stream=True), None, 100.0, rules_for(RULES, target, config), stream=True
    )
    assert limits is not None

    assert (2.0, 50.0) == (limits.timeouts.first_byte_s, limits.timeouts.between_reads_s)


def test_a_total_limit_is_no_hurry_of_the_caller() -> None:
    """So a timeout below it counts against the deployment."""
    rules = replace(RULES, total_s=1.0)
    limits = call_limits(600.0, None, 100.0, rules, stream=True)
    hurried = call_limits(600.0, None, 0.5, rules, stream=True)
    assert limits is not None
    assert hurried is not None

    assert (1.0, False) == (limits.timeouts.total_s, limits.shortened)
    assert hurried.shortened
