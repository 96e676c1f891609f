"""Each way a provider can fail, over real sockets: what the caller sees, and how many calls it took."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.errors import Code, MeshError
from meshgate_router.stream import Delta, Finished, Started
from meshgate_router.transport import TransportLimits
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.unit.router.support import RouterUnderTest, chat, deployment, router

SHAPES = ("openai", "anthropic")
LIMIT_S = 0.4  # of a call that is to hang
NO_RETRY = RouterConfig(num_retries=0, fallbacks={"first": ["second"]})


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with demo_provider() as running:
        yield running


PATIENT_S = 600.0  # 20,000 chunks take their time on a busy machine


@contextlib.asynccontextmanager
async def pair(provider: DemoProvider, shape: str, **options: Any) -> AsyncIterator[RouterUnderTest]:
    """Two groups at the demo provider, the second one the first one's fallback."""
    base = f"{provider.url}/v1"
    deployments = [
        deployment(name, shape, api_base=base, timeout_s=options.pop(f"{name}_s", None))
        for name in ("first", "second")
    ]
    async with router(deployments, config=options.pop("config", NO_RETRY), **options) as subject:
        yield subject


def failing(fault: str, model: str = "first-upstream") -> Any:
    """A request that the deployment with this upstream model answers with the fault."""
    text = f"Tell me something demo:fail={fault}@{model} demo:tokens=40"
    return chat("first", messages=[{"role": "user", "content": text}], max_tokens=100_000)


async def served_models(provider: DemoProvider) -> list[str]:
    async with aiohttp.ClientSession() as session, session.get(f"{provider.url}/demo/requests") as answer:
        records = await answer.json()
    return [record["model"] for record in records["requests"]]


STATUSES = {
    400: ("PROVIDER_BAD_REQUEST", "400"),
    401: ("PROVIDER_AUTHENTICATION_FAILED", "401"),
    403: ("PROVIDER_AUTHENTICATION_FAILED", "403"),
    404: ("PROVIDER_NOT_FOUND", "404"),
    408: ("PROVIDER_TIMEOUT", "408"),
    429: ("PROVIDER_RATE_LIMITED", "429"),
    500: ("PROVIDER_UNAVAILABLE", "500"),
    502: ("PROVIDER_UNAVAILABLE", "502"),
    503: ("PROVIDER_UNAVAILABLE", "503"),
    504: ("PROVIDER_TIMEOUT", "504"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", STATUSES)
async def test_statuses(provider: DemoProvider, shape: str, status: int) -> None:
    """The reason, the status for the client, the provider's words and Retry-After; streams fail alike."""
    reason, http_status = STATUSES[status]
    only_first = RouterConfig(num_retries=0)
    async with pair(provider, shape, config=only_first) as subject:
        for way in (subject.create, subject.stream):
            with pytest.raises(MeshError) as caught:
                await way(failing(str(status)))
            error = caught.value
            assert (reason, http_status, "1") == (
                error.reason,
                error.metadata["http_status"],
                error.metadata["upstream_calls"],
            )
            assert error.metadata["provider_message"]
            assert shape == error.metadata["provider"]
            assert (1.0 if status == 429 else None) == error.retry_after_s


BEFORE_THE_ANSWER = {
    "500": "PROVIDER_UNAVAILABLE",
    "429": "PROVIDER_RATE_LIMITED",
    "hang_before_headers": "PROVIDER_TIMEOUT",
    "hang_before_first_chunk": "PROVIDER_TIMEOUT",
    "wrong_content_type": "PROVIDER_ERROR",
    "close_connection": "PROVIDER_UNAVAILABLE",
}
IN_A_WHOLE_ANSWER = {
    **BEFORE_THE_ANSWER,
    "stall_mid_stream": "PROVIDER_TIMEOUT",
    "cut_mid_stream": "PROVIDER_UNAVAILABLE",
    "malformed_chunk": "PROVIDER_ERROR",
    "end_without_finish": "PROVIDER_ERROR",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fault", IN_A_WHOLE_ANSWER)
async def test_whole_answers_fall_back(provider: DemoProvider, shape: str, fault: str) -> None:
    """No failure of the first model reaches the client while the second one works."""
    async with pair(provider, shape, first_s=LIMIT_S) as subject:
        served = await subject.served(failing(fault))

    assert "second" == served.group.name
    assert [IN_A_WHOLE_ANSWER[fault]] == [item.error.kind.value for item in served.journey.failures]
    assert ["first-upstream", "second-upstream"] == await served_models(provider)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fault", BEFORE_THE_ANSWER)
async def test_streams_fall_back_until_the_first_chunk(
    provider: DemoProvider, shape: str, fault: str
) -> None:
    """As above; the caller sees one stream, of the deployment that answered."""
    async with pair(provider, shape, first_s=LIMIT_S) as subject:
        result = await subject.stream(failing(fault))
    started = result.events[0]

    assert result.finished is not None
    assert isinstance(started, Started)
    assert "second" == started.served.group.name
    assert [BEFORE_THE_ANSWER[fault]] == [item.error.kind.value for item in started.served.journey.failures]
    assert 1 == sum(isinstance(event, Started) for event in result.events)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "fault",
    ["stall_mid_stream", "cut_mid_stream", "error_mid_stream", "malformed_chunk", "end_without_finish"],
)
async def test_broken_streams_never_look_whole(provider: DemoProvider, shape: str, fault: str) -> None:
    """Without recovery: what was sent stands; then an error, no Finished, and no second call."""
    seen: list[Any] = []
    config = replace(NO_RETRY, mid_stream_recovery=False)
    async with pair(provider, shape, first_s=LIMIT_S, config=config) as subject:
        with pytest.raises(MeshError) as caught:
            async with contextlib.aclosing(subject.events(failing(f"{fault}:6"))) as events:
                async for event in events:
                    seen.append(event)

    assert (Code.UNAVAILABLE, "PROVIDER_STREAM_BROKEN") == (caught.value.code, caught.value.reason)
    assert isinstance(seen[0], Started)
    assert isinstance(seen[1], Delta)
    assert not any(isinstance(event, Finished) for event in seen)
    assert ["first-upstream"] == await served_models(provider)
    metadata = caught.value.metadata
    assert ("1", "id-first") == (metadata["upstream_calls"], metadata["deployment_id"])
    assert json.loads(metadata["attempts"])


@pytest.mark.parametrize("shape", SHAPES)
async def test_slow_drips_and_huge_answers_arrive(provider: DemoProvider, shape: str) -> None:
    """Events in halves, and thousands of them, are an ordinary answer."""
    async with pair(provider, shape) as subject:
        drip = await subject.stream(failing("slow_drip:0.01"), deadline_s=PATIENT_S)
        huge = await subject.stream(failing("huge_answer:20000"), deadline_s=PATIENT_S)
    sizes = [len(event.chunks) for event in huge.events if isinstance(event, Delta)]

    assert drip.finished is not None
    assert huge.finished is not None
    assert huge.finished.usage is not None
    assert 20_000 == huge.finished.usage.completion_tokens
    assert 1 <= min(sizes)
    assert max(sizes) <= 64


async def test_an_answer_beyond_the_limit_is_refused(provider: DemoProvider) -> None:
    """Whole or streamed: memory is bounded, and the call counts as made."""
    limits = TransportLimits(response_bytes_max=300_000)
    async with pair(provider, "openai", limits=limits, config=RouterConfig(num_retries=0)) as subject:
        with pytest.raises(MeshError) as caught:
            await subject.create(failing("huge_answer:100000"))
        with pytest.raises(MeshError) as streamed:
            await subject.stream(failing("huge_answer:20000"))

    assert ("PROVIDER_ERROR", "1") == (caught.value.reason, caught.value.metadata["upstream_calls"])
    assert "PROVIDER_STREAM_BROKEN" == streamed.value.reason


async def test_a_dead_host_is_not_paid_for() -> None:
    """No connection, no call: also without anybody listening, or without a usable address."""
    addresses = ["http://127.0.0.1:1/v1", "http://name.invalid/v1", "nonsense", "http://127.0.0.1:99999/v1"]
    for address in addresses:
        async with router([deployment(api_base=address)], config=RouterConfig(num_retries=0)) as subject:
            with pytest.raises(MeshError) as caught:
                await subject.create(chat())
        assert "0" == caught.value.metadata["upstream_calls"]
        assert caught.value.reason in ("PROVIDER_UNAVAILABLE", "PROVIDER_ERROR")
        assert "127.0.0.1" not in str(caught.value)


async def test_an_unsupported_provider_steps_aside() -> None:
    """It is an error with a name, and a fallback like any other."""
    async with router([deployment("a", "carrier-pigeon")], config=RouterConfig()) as subject:
        with pytest.raises(MeshError) as caught:
            await subject.create(chat("a"))

    assert ("PROVIDER_NOT_SUPPORTED", "0") == (caught.value.reason, caught.value.metadata["upstream_calls"])
