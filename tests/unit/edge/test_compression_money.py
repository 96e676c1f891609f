"""What the guard is worth in money: recorded prompts, prices of the price library, a provider's cache.

Each trace goes three ways: never compressed, compressed blindly, and with the guard.
"""

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from meshgate_ledger.price_library import PriceLibrary
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from tests.support.prompt_cache import CachingProvider
from tests.support.shared_data import shared_data
from tests.unit.edge.compression_stand_in import Gateway

PRICES_AT = datetime(2026, 6, 1, tzinfo=UTC)
Prompt = list[chat.Message]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded exchange: its prompt, its answer, and the cached tokens that the provider billed."""

    prompt: Prompt
    answer: str
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one way cost, and what became of each prompt."""

    usd_nanos: int
    results: list[str]


def recorded(provider: str, number: int) -> Recorded:
    """Line `number` of a provider's cassette."""
    with gzip.open(shared_data(f"cassettes/{provider}.jsonl.gz")) as lines:
        exchange = next(json.loads(line) for index, line in enumerate(lines) if index == number)
    response = exchange["response"]
    usage = response["usage"]
    if provider == "anthropic":
        answer, cached = response["content"][0]["text"], usage["cache_read_input_tokens"]
    else:
        answer = response["choices"][0]["message"]["content"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Recorded([_message(each) for each in exchange["request"]["messages"]], answer, cached)


def _message(message: dict[str, object]) -> chat.Message:
    content = message["content"]
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    assert isinstance(content, str | None)
    return chat.Message(role=str(message["role"]), text=content or "")


async def three_ways(model: str, prompts: list[Prompt], warm: Prompt | None = None) -> dict[str, Outcome]:
    """`model`: provider/model of the price library. `warm`: what the provider has cached before."""
    name, _, upstream = model.partition("/")
    price = PriceLibrary().price(name, upstream, PRICES_AT)
    assert price is not None
    cached = price.rates.input if price.rates.cache_read is None else price.rates.cache_read
    told = ledger_pb.PromptPrice(
        input_nanos_per_mtok=price.rates.input, cache_read_nanos_per_mtok=price.rates.cache_read
    )
    outcomes = {}
    for way, config in (("never", {"enabled": False}), ("blind", {"guard": False}), ("guard", {})):
        gateway = Gateway(told, **config)
        provider = CachingProvider(price.rates.input, cached)
        before = provider.send(warm) if warm else 0
        results = []
        for prompt in prompts:
            provider.send(await gateway.send(prompt))
            results.append(gateway.result)
        outcomes[way] = Outcome(provider.spent_nanos - before, results)
    print(model, {way: f"{outcome.usd_nanos / 1e9:.6f} USD" for way, outcome in outcomes.items()})
    return outcomes


@pytest.mark.parametrize("model", ["openai/gpt-3.5-turbo", "openai/gpt-4o", "openai/gpt-5"])
async def test_fresh_context_turns_it_on(model: str) -> None:
    """A recorded RAG prompt of 2,000 tokens: at least half of its price is saved."""
    ways = await three_ways(model, [recorded("openai", 383).prompt])

    assert ["compressed"] == ways["guard"].results
    assert ways["guard"].usd_nanos < 0.5 * ways["never"].usd_nanos


async def test_a_fresh_tool_result_turns_it_on() -> None:
    """A recorded agent's second call: what the tool said is new."""
    ways = await three_ways("openai/gpt-4o", [recorded("openai", 160).prompt])

    assert ["compressed"] == ways["guard"].results
    assert ways["guard"].usd_nanos < 0.7 * ways["never"].usd_nanos


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "openai/gpt-4.1", "openai/gpt-5"])
async def test_a_long_stable_prefix_keeps_it_off(model: str) -> None:
    """A recorded prompt that its provider billed as cached, and a short follow-up: blind compression costs
    more than none, and the guard costs what none does."""
    first = recorded("openai", 267)
    assert first.cached_tokens >= 1_024
    follow_up = [
        *first.prompt,
        chat.Message(role="assistant", text=first.answer[:200]),
        chat.Message(role="user", text="Which of them is about testing?"),
    ]
    ways = await three_ways(model, [follow_up], warm=first.prompt)

    assert ["prefix_cached"] == ways["guard"].results
    assert ways["guard"].usd_nanos == ways["never"].usd_nanos < ways["blind"].usd_nanos


async def test_behind_a_stable_prefix_only_what_is_new_is_shortened() -> None:
    """A recorded conversation of which 1,111 tokens were read from Anthropic's cache: the prefix stays, the
    long answer that is new is shortened; blindly it would have cost more than without compression."""
    second = recorded("anthropic", 69)
    assert 1_111 == second.cached_tokens
    ways = await three_ways("anthropic/claude-sonnet-4-5", [second.prompt], warm=second.prompt[:1])

    assert ["compressed"] == ways["guard"].results
    assert ways["guard"].usd_nanos < ways["never"].usd_nanos < ways["blind"].usd_nanos


async def test_a_document_that_many_ask_about_is_left_alone_in_time() -> None:
    """The recorded RAG prompt with further questions, at a tenth for cached tokens: shortened for each
    question anew, it is never cached. The guard gives up after a few, and then costs what none does."""
    questions = ["What did the author do growing up?", "Which computer did he use?", "What did he write?"]
    questions += [f"What does he say about subject number {number}?" for number in range(37)]
    system, user = recorded("openai", 383).prompt
    assert questions[0] in user.text
    prompts = [
        [system, chat.Message(role="user", text=user.text.replace(questions[0], question))]
        for question in questions
    ]
    ways = await three_ways("openai/gpt-5", prompts)

    given_up = ways["guard"].results.index("no_saving")
    assert 0 < given_up < 5
    assert {"prefix_cached"} == set(ways["guard"].results[given_up + 1 :])
    assert ways["never"].usd_nanos < ways["guard"].usd_nanos < 1.2 * ways["never"].usd_nanos
    assert ways["blind"].usd_nanos > 2 * ways["never"].usd_nanos
