"""Streams that break and go on elsewhere: what the client gets, who was asked for what, what it costs."""

import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest

from meshgate_chassis.config.model import RouterConfig
from meshgate_chassis.errors import MeshError
from meshgate_demo import tokens
from meshgate_router.stream import Continued, Delta, Finished, Started
from tests.support.demo_provider import DemoProvider, demo_provider
from tests.unit.router.support import RouterUnderTest, StreamResult, chat, deployment, router

CONFIG = RouterConfig(num_retries=0, fallbacks={"first": ["second"]})
CUTS = 40
WORDS = (
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
)
SHARE_MIN = 0.95
SLOWLY = "demo:delay=0.01"  # so that chunks come one by one
DROPPED = ("stall_mid_stream", "cut_mid_stream", "error_mid_stream", "malformed_chunk", "end_without_finish")


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with demo_provider() as running:
        yield running


@contextlib.asynccontextmanager
async def pair(
    provider: DemoProvider, first: str, second: str, **options: Any
) -> AsyncIterator[RouterUnderTest]:
    """`first` and `second`: their providers; the second model is the first one's fallback."""
    base = f"{provider.url}/v1"
    deployments = [
        deployment(name, shape, api_base=base, timeout_s=0.4 if name == "first" else None, price=None)
        for name, shape in (("first", first), ("second", second))
    ]
    async with router(deployments, config=options.pop("config", CONFIG), **options) as subject:
        yield subject


def question(words: int, seed: int) -> str:
    """Text that the demo provider tells back, and that does not repeat itself."""
    random = Random(seed)
    return " ".join(f"{random.choice(WORDS)}{random.randrange(100)}" for _ in range(words))


def asking(text: str, directives: str = "", **members: Any) -> Any:
    messages = [{"role": "user", "content": f"{text} {directives}"}]
    return chat("first", messages=messages, max_tokens=5_000, **members)


async def served(provider: DemoProvider) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{provider.url}/demo/requests") as answer:
        return list((await answer.json())["requests"])


def text_of(result: StreamResult) -> str:
    return str(result.answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize("second", ["openai", "anthropic", "hosted_vllm", "mistral", "groq"])
@pytest.mark.parametrize("first", ["openai", "anthropic"])
async def test_a_stream_cut_anywhere_is_finished(provider: DemoProvider, first: str, second: str) -> None:
    """In at least 95 of 100 cases, and in those no character is doubled or lost."""
    random = Random(f"{first} {second}")
    whole = 0
    how = "demo:prefill=restart" if second == "mistral" else ""  # Mistral's answer begins with the prefix
    async with pair(provider, first, second) as subject:
        for seed in range(CUTS):
            text = question(12, seed)
            want = text_of(await subject.stream(asking(text)))
            cut = random.randrange(4, 40)
            result = await subject.stream(
                asking(text, f"demo:fail=cut_mid_stream:{cut}@first-upstream {how}")
            )
            whole += result.finished is not None and want == text_of(result)

    assert whole >= SHARE_MIN * CUTS, f"{whole} of {CUTS}"


@pytest.mark.parametrize("how", ["restart", "repeat:20"])
async def test_a_server_that_repeats_is_seamless(provider: DemoProvider, how: str) -> None:
    """A server of one's own may begin anew, or say the last words again."""
    text = question(20, 7)
    async with pair(provider, "openai", "openai") as subject:
        want = text_of(await subject.stream(asking(text)))
        for cut in range(12, 50, 3):
            directives = f"demo:fail=cut_mid_stream:{cut}@first-upstream demo:prefill={how}"
            assert want == text_of(await subject.stream(asking(text, directives)))


@pytest.mark.parametrize("fault", DROPPED)
async def test_every_way_to_break_is_mended(provider: DemoProvider, fault: str) -> None:
    """One Started, one Finished; the client's chunks are of one answer; both calls are told."""
    async with pair(provider, "openai", "openai") as subject:
        want = await subject.stream(asking("Tell me a story"))
        result = await subject.stream(
            asking("Tell me a story", f"demo:fail={fault}:25@first-upstream {SLOWLY}")
        )
    chunks = [chunk for event in result.events if isinstance(event, Delta) for chunk in event.chunks]
    finished, started = result.finished, result.events[0]
    assert finished is not None
    assert finished.served is not None
    assert isinstance(started, Started)
    (leg,) = finished.served.journey.legs
    requests = (await served(provider))[1:]

    assert text_of(want) == text_of(result)
    assert 1 == sum(isinstance(event, Started) for event in result.events)
    assert ("id-first", "id-second") == (started.served.deployment.id, finished.served.deployment.id)
    assert ("id-first", "stream_broken", "first") == (leg.deployment.id, leg.reason.value, leg.group)
    assert text_of(want).startswith(leg.received_text)
    assert requests[0]["tokens_sent"] >= 24
    assert 1 == len({(chunk.id, chunk.created, chunk.model) for chunk in chunks})
    assert ["stop"] == [
        c.finish_reason for chunk in chunks for c in chunk.choices if c.HasField("finish_reason")
    ]
    assert {"role": "assistant", "content": leg.received_text} == requests[1]["body"]["messages"][-1]
    assert 5_000 - tokens.count(leg.received_text) == requests[1]["body"]["max_tokens"]
    assert finished.usage is not None
    assert requests[1]["completion_tokens"] == finished.usage.completion_tokens


NOT_CONTINUED: dict[str, dict[str, Any]] = {
    "JSON": {"response_format": {"type": "json_object"}},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
    "two answers": {"n": 2},
    "probabilities": {"logprobs": True},
    "reasoning": {"reasoning_effort": "low"},
    "a tool call": {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "story",
                    "parameters": {
                        "type": "object",
                        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    },
                },
            }
        ],
        "tool_choice": "required",
    },
}


@pytest.mark.parametrize("name", NOT_CONTINUED)
async def test_what_cannot_be_prefilled_ends_with_an_error(provider: DemoProvider, name: str) -> None:
    """Typed, after what was sent; nobody else is asked."""
    seen: list[Any] = []
    directives = "demo:fail=cut_mid_stream:5@first-upstream"
    request = asking("Tell me a story of ten words or more", directives, **NOT_CONTINUED[name])
    async with pair(provider, "openai", "openai") as subject:
        with pytest.raises(MeshError) as caught:
            async with contextlib.aclosing(subject.events(request)) as events:
                async for event in events:
                    seen.append(event)

    assert "PROVIDER_STREAM_BROKEN" == caught.value.reason
    assert not any(isinstance(event, Finished) for event in seen)
    assert 1 == len(await served(provider))


async def test_nobody_who_can_go_on_is_an_error(provider: DemoProvider) -> None:
    """A deployment that promises nothing is not asked for it."""
    async with pair(provider, "openai", "openai") as subject:
        for target in subject.catalog.find("second").deployments:
            target.model_info["supports_assistant_prefill"] = False
        with pytest.raises(MeshError) as caught:
            await subject.stream(asking("Tell me a story", "demo:fail=cut_mid_stream:5@first-upstream"))

    assert ("PROVIDER_STREAM_BROKEN", "1") == (caught.value.reason, caught.value.metadata["upstream_calls"])
    assert 1 == len(await served(provider))


async def test_a_continuation_may_break_as_well(provider: DemoProvider) -> None:
    """Then the next one goes on from where that one ended, until nobody is left."""
    base = f"{provider.url}/v1"
    config = RouterConfig(num_retries=0, fallbacks={"first": ["second", "third"]})
    names = ("first", "second", "third")
    async with router([deployment(name, api_base=base) for name in names], config=config) as subject:
        want = text_of(await subject.stream(asking("Tell me a story")))
        async with aiohttp.ClientSession() as session:
            faults = [{"fault": f"cut_mid_stream:6@{name}-upstream", "count": 1} for name in names[:2]]
            async with session.put(f"{provider.url}/demo/faults", json={"faults": faults}) as answer:
                assert 300 > answer.status
            mended = await subject.stream(asking("Tell me a story"))
            faults = [{"fault": f"cut_mid_stream:6@{name}-upstream", "count": 1} for name in names]
            async with session.put(f"{provider.url}/demo/faults", json={"faults": faults}) as answer:
                assert 300 > answer.status
            with pytest.raises(MeshError) as caught:
                await subject.stream(asking("Tell me a story"))

    assert want == text_of(mended)
    assert mended.finished is not None
    assert mended.finished.served is not None
    assert ["id-first", "id-second"] == [leg.deployment.id for leg in mended.finished.served.journey.legs]
    assert ("PROVIDER_STREAM_BROKEN", "3") == (caught.value.reason, caught.value.metadata["upstream_calls"])


async def test_an_answer_that_was_whole_needs_no_continuation(provider: DemoProvider) -> None:
    """After the finish reason only the usage is missing: the edge counts it."""
    async with pair(provider, "openai", "openai") as subject:
        want = await subject.stream(asking("What is the capital of France?"))
        chunks = sum(len(event.chunks) for event in want.events if isinstance(event, Delta))
        directives = f"demo:fail=cut_mid_stream:{chunks - 1}@first-upstream"
        result = await subject.stream(asking("What is the capital of France?", directives))

    assert text_of(want) == text_of(result)
    assert 2 == len(await served(provider))
    assert result.finished is not None
    assert result.finished.usage is None


async def test_a_stream_tells_where_it_goes_on(provider: DemoProvider) -> None:
    """Before anything of the other call, with what the first one may have cost."""
    async with pair(provider, "openai", "anthropic") as subject:
        result = await subject.stream(
            asking(question(12, 1), f"{SLOWLY} demo:fail=cut_mid_stream:5@first-upstream")
        )

    kinds = [type(event) for event in result.events]
    told = [event for event in result.events if isinstance(event, Continued)]
    assert [Started, Delta, Continued, Delta, Finished] == [
        kind for number, kind in enumerate(kinds) if kinds[number - 1 : number] != [kind]
    ]
    assert ["second"] == [event.served.group.name for event in told]
    assert ["first"] == [leg.group for leg in told[0].served.journey.legs]
