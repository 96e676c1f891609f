"""What the guard promises for any conversation and any price."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from meshgate_edge.compression.guard import CACHEABLE_TOKENS_MIN, Measured, TokenPrices, saving
from meshgate_edge.compression.prompt_memory import Outlook
from meshgate_protos.chat.v1 import chat_pb2 as chat
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from tests.support.prompt_cache import CachingProvider
from tests.unit.edge.compression_stand_in import Gateway

SENTENCES = tuple(
    f"The {noun} of the {place} was seen by everybody who {deed} there at the time of the great fair."
    for noun in ("lamp", "boat", "harbour master", "engine", "letter", "storm")
    for place in ("island", "old town", "northern lighthouse", "railway", "museum")
    for deed in ("worked", "lived", "waited", "traded")
)
# Above the threshold from which prefixes are cached, the promise needs no guess of the future.
SYSTEM = chat.Message(role="system", text="Answer from the context, and say so when it is not there. " * 120)
passages = st.lists(st.sampled_from(SENTENCES), min_size=30, max_size=120).map(" ".join)
questions = st.sampled_from(("What was seen on the island?", "Who worked at the museum?", "And then?"))
users = st.one_of(questions, st.builds("<context>{}</context>\n{}".format, passages, questions))
answers = st.one_of(st.just("Nobody knows."), passages)
turns = st.lists(st.tuples(users, answers), min_size=1, max_size=5)
rates = st.sampled_from((0, 1, 1, 2, 5, 10)).map(lambda cached: (10**9, cached * 10**8))


def prompts_of(conversation: Sequence[tuple[str, str]]) -> list[list[chat.Message]]:
    """The prompt of each turn."""
    prompts, messages = [], [SYSTEM]
    for question, answer in conversation:
        messages = [*messages, chat.Message(role="user", text=question)]
        prompts.append(messages)
        messages = [*messages, chat.Message(role="assistant", text=answer)]
    return prompts


@settings(max_examples=200, deadline=None)
@given(turns, rates, st.integers(0, 4))
def test_a_conversation_never_costs_more_than_uncompressed(
    conversation: list[tuple[str, str]], rates: tuple[int, int], begins_here: int
) -> None:
    """Billed by a provider with a prompt cache, for what was really sent, whatever cached tokens cost; also
    when the conversation began without compression, and the guard knows nothing of its first turns."""
    prompts = prompts_of(conversation)
    given_to, guarded_to = CachingProvider(*rates), CachingProvider(*rates)
    gateway = Gateway(
        ledger_pb.PromptPrice(input_nanos_per_mtok=rates[0], cache_read_nanos_per_mtok=rates[1])
    )

    async def hold() -> None:
        for number, prompt in enumerate(prompts):
            given_to.send(prompt)
            guarded_to.send(prompt if number < begins_here else await gateway.send(prompt))

    asyncio.run(hold())
    assert guarded_to.spent_nanos <= given_to.spent_nanos


def expected_cost(tokens: int, cached: int, repeats: int, prices: TokenPrices) -> int:
    """A call now and the same again `repeats` times, billed plainly, call by call."""
    total = 0
    for _ in range(repeats + 1):
        hit = cached if cached >= CACHEABLE_TOKENS_MIN else 0
        total += prices.input * (tokens - hit) + prices.cached * hit
        cached = tokens
    return total


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.1, 1)), min_size=1, max_size=6),
    st.data(),
    st.integers(1, 20),
    st.integers(0, 20),
)
def test_never_at_an_expected_loss(
    messages: list[tuple[int, float]], data: st.DataObject, input_rate: int, cached_rate: int
) -> None:
    """The saving is the difference of two bills; when it is positive, the compressed prompt is cheaper."""
    before = [tokens for tokens, _ in messages]
    first = data.draw(st.integers(0, len(messages)))
    after = [
        tokens if index < first else int(tokens * share) for index, (tokens, share) in enumerate(messages)
    ]
    seen = data.draw(st.integers(0, len(messages)))
    repeats = data.draw(st.integers(1, 5))
    prices = TokenPrices(input_rate, min(cached_rate, input_rate))
    outlook = Outlook(first_touched=first, cached_given=seen, repeats=repeats)

    warm = sum(before[:seen])
    kept_warm = sum(before[: min(seen, first)])
    loss = expected_cost(sum(after), kept_warm, repeats, prices) - expected_cost(
        sum(before), warm, repeats, prices
    )
    assert -loss == saving(Measured(before, after), outlook, prices)
