"""The pipeline's compression step, in front of the real compressor."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.telemetry import Telemetry
from meshgate_edge.call import CompressionOptions
from meshgate_edge.circuit import DEFAULT_RULES
from meshgate_edge.compression.step import prices_of
from meshgate_edge.money.bill import settle_request
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from tests.support.prompt_cache import CachingProvider
from tests.unit.edge.compression_stand_in import Gateway

DOCUMENT = "\n".join(
    f"On day {n} the keeper of lighthouse {n} wrote a letter about the weather, ships and the long nights."
    for n in range(160)
)


def about(number: int) -> list[chat.Message]:
    """A fresh prompt, unlike all others."""
    return [chat.Message(role="user", text=f"<context>{number} {DOCUMENT}</context>\n{QUESTION}")]


QUESTION = "What did the keeper of lighthouse 77 write?"
FRESH = [
    chat.Message(role="system", text="Be brief."),
    chat.Message(role="user", text=f"<context>{DOCUMENT}</context>\n{QUESTION}"),
]
FOLLOW_UP = [
    *FRESH,
    chat.Message(role="assistant", text="A letter."),
    chat.Message(role="user", text="About what?"),
]
CHEAP_CACHE = ledger_pb.PromptPrice(input_nanos_per_mtok=1_000, cache_read_nanos_per_mtok=100)
NO_DISCOUNT = ledger_pb.PromptPrice(input_nanos_per_mtok=1_000)
FREE = ledger_pb.PromptPrice(input_nanos_per_mtok=0)
HANGS = MeshError(Code.DEADLINE_EXCEEDED, "RPC_DEADLINE_EXCEEDED", "no answer")


async def test_a_fresh_long_context_is_shortened_and_everybody_is_told() -> None:
    """Call info for headers and metrics, the bill's estimate, and the ledger's entry."""
    gateway = Gateway(CHEAP_CACHE)
    sent = await gateway.send(FRESH, tools=50)

    info = gateway.last.info
    assert "compressed" == gateway.result
    assert FRESH[0] == sent[0]
    assert sent[1].text.endswith(QUESTION)
    assert info.original_prompt_tokens and info.compressed_prompt_tokens
    assert info.compressed_prompt_tokens < 0.6 * info.original_prompt_tokens
    assert info.compressed_prompt_tokens + 50 == gateway.last.prompt_tokens
    assert 0.0 == info.compression_duration_s
    entry = settle_request(
        gateway.last, ledger_pb.OUTCOME_SUCCESS, ledger_pb.TokenCounts(), estimated=False, end_ns=1
    )
    assert info.original_prompt_tokens == entry.uncompressed_prompt_tokens


@pytest.fixture
def spans() -> Iterator[tuple[Telemetry, InMemorySpanExporter]]:
    """A telemetry and where its spans go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry(provider)
    yield telemetry, exporter
    telemetry.shutdown()


async def test_the_tokens_are_on_the_calls_span(spans: tuple[Telemetry, InMemorySpanExporter]) -> None:
    """Before and after; nothing on the span of a prompt that was left alone."""
    telemetry, exporter = spans
    gateway = Gateway(CHEAP_CACHE)
    for messages in (FRESH, FOLLOW_UP[:1]):
        with telemetry.span("POST /v1/chat/completions"):
            await gateway.send(messages)
            info = gateway.last.info
    first, second = exporter.get_finished_spans()
    told: dict[str, Any] = {
        name.removeprefix("meshgate.compression."): value for name, value in (first.attributes or {}).items()
    }

    assert {"original_tokens", "compressed_tokens", "compressor"} == set(told)
    assert told["compressed_tokens"] < told["original_tokens"]
    assert not second.attributes
    assert info.original_prompt_tokens is None


@pytest.mark.parametrize("price", [CHEAP_CACHE, FREE, None])
async def test_history_that_was_not_compressed_here_stays_as_it_is(
    price: ledger_pb.PromptPrice | None,
) -> None:
    """Its provider has it cached; the service is not even asked. So it is for a model without a price."""
    gateway = Gateway(price)

    assert FOLLOW_UP == await gateway.send(FOLLOW_UP)
    assert "prefix_cached" == gateway.result
    assert [] == gateway.service.asked


async def test_without_a_discount_history_is_shortened_as_well() -> None:
    """There is nothing to lose."""
    gateway = Gateway(NO_DISCOUNT)
    sent = await gateway.send(FOLLOW_UP)

    assert len(sent[1].text) < 0.6 * len(DOCUMENT)


@pytest.mark.parametrize("price", [CHEAP_CACHE, NO_DISCOUNT, FREE, None])
async def test_a_conversation_keeps_its_bytes(price: ledger_pb.PromptPrice | None) -> None:
    """What was sent shortened in one turn is sent so in the next: the provider's cache hits."""
    gateway = Gateway(price)
    first = await gateway.send(FRESH)
    second = await gateway.send(FOLLOW_UP)

    assert first == second[: len(first)]
    assert len(first[1].text) < len(FRESH[1].text)
    assert FOLLOW_UP[2:] == second[2:]


async def test_fresh_context_behind_a_cached_prefix_is_shortened_alone() -> None:
    """The prefix keeps its bytes."""
    gateway = Gateway(CHEAP_CACHE)
    again = chat.Message(role="user", text=f"<context>{DOCUMENT[2_000:]}</context>\nAnd lighthouse 99?")
    sent = await gateway.send([*FOLLOW_UP[:3], again])

    assert FOLLOW_UP[:3] == sent[:3]
    assert len(sent[3].text) < 0.6 * len(again.text)


@pytest.mark.parametrize("price", [CHEAP_CACHE, None])
async def test_without_the_guard_everything_is_shortened(price: ledger_pb.PromptPrice | None) -> None:
    """By configuration or by request: always alike, whatever was sent before."""
    configured, asked = Gateway(price, guard=False), Gateway(price)
    by_config = await configured.send(FOLLOW_UP)
    by_request = await asked.send(FOLLOW_UP, CompressionOptions(guard=False))

    assert by_config == by_request != FOLLOW_UP


async def test_a_prompt_that_would_fall_out_of_the_cache_is_left_alone_in_time() -> None:
    """Long it is cached, short it never is: the more turns, the more that costs, until it is given up."""
    turns = [chat.Message(role="user", text=f"<context>{DOCUMENT[:5_000]}</context>\n{QUESTION}")]
    guarded, blind = Gateway(CHEAP_CACHE), Gateway(CHEAP_CACHE, guard=False)
    bills = CachingProvider(10**9, 10**8), CachingProvider(10**9, 10**8)
    results = []
    for _ in range(12):
        for gateway, provider in zip((guarded, blind), bills, strict=True):
            provider.send(await gateway.send(turns))
        results.append(guarded.result)
        turns = [*turns, chat.Message(role="assistant", text="Yes."), chat.Message(role="user", text="More?")]

    given_up = results.index("no_saving")
    assert given_up > 0
    assert ["compressed"] * given_up == results[:given_up]
    assert {"prefix_cached"} == set(results[given_up + 1 :])
    assert bills[0].spent_nanos < bills[1].spent_nanos


@pytest.mark.parametrize(
    ("messages", "config", "result"),
    [
        (FRESH, {"enabled": False}, ""),
        (FRESH, {"min_tokens": 1_000_000}, "below_minimum"),
        (FRESH[:1], {}, "below_minimum"),
        ([chat.Message(role="system", text=DOCUMENT)], {}, "nothing_to_gain"),
    ],
)
async def test_why_a_prompt_was_left_alone(
    messages: list[chat.Message], config: dict[str, Any], result: str
) -> None:
    """It is the same object's content, and the reason is told; nothing is, when nobody asked."""
    gateway = Gateway(CHEAP_CACHE, **config)

    assert messages == await gateway.send(messages)
    assert result == gateway.result


async def test_the_policy_reaches_the_service() -> None:
    """The request's before the configuration's."""
    gateway = Gateway(CHEAP_CACHE)
    await gateway.send(FRESH, CompressionOptions(target_ratio=0.4, rag_target_ratio=0.9, allow_system=True))
    (asked,) = gateway.service.asked

    assert (0.4, 0.9, True) == (
        asked.policy.target_ratio,
        asked.policy.rag_target_ratio,
        asked.policy.allow_system,
    )


async def test_any_failure_means_uncompressed() -> None:
    """And the reason is told."""
    gateway = Gateway(CHEAP_CACHE)
    gateway.service.failure = MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "busy")

    assert FRESH == await gateway.send(FRESH)
    assert "queue_full" == gateway.result


async def test_a_service_that_hangs_is_left_out() -> None:
    """After a few deadlines calls no longer wait for it; after a pause one call tries it again."""
    gateway = Gateway(CHEAP_CACHE)
    gateway.service.failure = HANGS
    for number in range(20):
        assert about(number) == await gateway.send(about(number))
    assert DEFAULT_RULES.failures_max == len(gateway.service.asked)
    assert "service_left_out" == gateway.result

    gateway.service.failure = None
    gateway.clock.advance(DEFAULT_RULES.pause_s)
    await gateway.send(
        [*FRESH[:1], chat.Message(role="user", text=f"<context>{DOCUMENT[50:]}</context>\nWho?")]
    )
    assert "compressed" == gateway.result


async def test_a_busy_service_is_not_left_out() -> None:
    """It answered, and quickly."""
    gateway = Gateway(CHEAP_CACHE)
    gateway.service.failure = MeshError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "busy")
    for number in range(5):
        await gateway.send(about(number))

    assert 5 == len(gateway.service.asked)


async def test_a_compressor_that_is_not_at_hand_is_the_clients_error() -> None:
    """Naming its field; one that the configuration names costs the client nothing."""
    gateway = Gateway(CHEAP_CACHE)
    fields = {"policy.compressor": "is not one of those at hand: extractive, none"}
    gateway.service.failure = MeshError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "no", fields=fields)
    with pytest.raises(MeshError) as caught:
        await gateway.send(FRESH, CompressionOptions(compressor="llmlingua"))

    assert ["compression.compressor"] == list(caught.value.fields)
    assert FRESH == await gateway.send(FRESH)


def test_unknown_and_free_prices_are_shares_of_work() -> None:
    """So the guard works for models on one's own machines, too."""
    assert prices_of(None) == prices_of(FREE)
    assert prices_of(NO_DISCOUNT).cached == prices_of(NO_DISCOUNT).input == 1_000
    assert (1_000, 100) == (prices_of(CHEAP_CACHE).input, prices_of(CHEAP_CACHE).cached)
