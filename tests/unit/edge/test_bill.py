"""What a call is billed for: usage where there is one, else what was received; every provider call once."""

from typing import Any

import pytest
from rs_bpe.bpe import openai as vocabularies

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import CallInfo, CallOptions, ChatCall, Principal
from meshgate_edge.call_run import CallRun
from meshgate_edge.money.bill import (
    add_broken_legs,
    provider_was_called,
    settle_request,
    spend_legs,
    token_counts,
    tokens_of_broken_call,
    tokens_of_usage,
)
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

COUNTER = TokenCounter(vocabularies.o200k_base())
GONE = GeneratorExit()


def run_of(provider: str = "openai", upstream_model: str = "gpt-4o", *legs: router_pb.Leg) -> CallRun:
    """A call that a deployment answers."""
    call = ChatCall(
        "call-1",
        Principal("virtual_key", "k"),
        chat_pb.ChatRequest(model="gpt"),
        CallOptions(tags=("blue",), end_user="alice"),
        "10.1.2.3",
    )
    run = CallRun(call, CallInfo("call-1", "gpt"), 100, 1, 0.0, pb.Account())
    run.asked = True
    run.served(router_pb.ServedBy(provider=provider, upstream_model=upstream_model, legs=legs))
    return run


def received(run: CallRun, *texts: str, reasoning: str = "", **usage: Any) -> CallRun:
    """The same, with chunks."""
    run.chunks = ChunkAccumulator()
    run.first_token_ns = 2
    deltas = [chat_pb.MessageDelta(content=text) for text in texts]
    if reasoning:
        deltas.insert(0, chat_pb.MessageDelta(reasoning_content=reasoning))
    for delta in deltas:
        run.chunks.add(chat_pb.ChatChunk(choices=[chat_pb.ChoiceDelta(delta=delta)]))
    if usage:
        run.chunks.add(chat_pb.ChatChunk(usage=chat_pb.Usage(**usage)))
    return run


def test_a_cut_answer_is_counted_and_flagged() -> None:
    """Content and reasoning, which has a price of its own."""
    tokens, estimated = tokens_of_broken_call(
        received(run_of(), "one two", " three", reasoning="four five"), COUNTER, GONE
    )

    assert estimated
    assert (100, 5, 2) == (tokens.prompt_tokens, tokens.completion_tokens, tokens.reasoning_tokens)


def test_a_prompt_is_counted_as_who_answers_counts() -> None:
    """It was counted for the group that was asked for; a fallback answered."""
    tokens, _ = tokens_of_broken_call(received(run_of("anthropic", "claude-opus-4-8"), "one"), COUNTER, GONE)

    assert (138, 6) == (tokens.prompt_tokens, tokens.completion_tokens)


def test_what_the_provider_had_told_is_believed() -> None:
    """Of the prompt all, of the answer at least as much: it goes on after it is told."""
    details = chat_pb.PromptTokensDetails(cached_tokens=80, cache_creation_tokens=5)
    run = received(
        run_of(), "one two three", prompt_tokens=120, completion_tokens=1, prompt_tokens_details=details
    )
    tokens, estimated = tokens_of_broken_call(run, COUNTER, GONE)

    assert estimated
    assert (120, 80, 5, 3) == (
        tokens.prompt_tokens,
        tokens.cached_tokens,
        tokens.cache_creation_tokens,
        tokens.completion_tokens,
    )


def test_a_prompt_that_was_told_with_the_first_chunks_is_believed() -> None:
    """Anthropic tells it there, with what of it was read from its cache at a tenth of the price."""
    run = received(run_of("anthropic", "claude-sonnet-4-5"), "one two three")
    details = chat_pb.PromptTokensDetails(cached_tokens=80)
    run.first_usage = chat_pb.Usage(prompt_tokens=120, completion_tokens=1, prompt_tokens_details=details)
    tokens, estimated = tokens_of_broken_call(run, COUNTER, GONE)

    assert estimated
    assert (120, 80, 8) == (tokens.prompt_tokens, tokens.cached_tokens, tokens.completion_tokens)


def test_an_answer_whose_end_nobody_saw_has_its_own_usage() -> None:
    """The client left, but Finished had arrived: exact, and not flagged."""
    run = received(run_of(), "one two three")
    run.usage = chat_pb.Usage(prompt_tokens=90, completion_tokens=50)
    tokens, estimated = tokens_of_broken_call(run, COUNTER, GONE)

    assert not estimated
    assert (90, 50) == (tokens.prompt_tokens, tokens.completion_tokens)


@pytest.mark.parametrize(
    ("reason", "prompt"), [("PROVIDER_BAD_REQUEST", 0), ("CONNECTION_LOST", 100), ("PROVIDER_TIMEOUT", 100)]
)
def test_a_refused_call_costs_nothing_unless_its_prompt_may_have_been_read(reason: str, prompt: int) -> None:
    """Nobody saw an answer."""
    error = MeshError(Code.UNAVAILABLE, reason, "no")
    tokens, estimated = tokens_of_broken_call(run_of(), COUNTER, error)

    assert (prompt, 0, prompt > 0) == (tokens.prompt_tokens, tokens.completion_tokens, estimated)


def test_who_has_sent_something_was_called() -> None:
    """Whatever the error says that ended it: a top-up that could not be asked for, for example."""
    error = MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "no")

    assert not provider_was_called(run_of(), error)
    assert provider_was_called(received(run_of(), "one"), error)


def test_every_further_call_is_a_leg() -> None:
    """The loser of a hedge by its usage; a broken stream by what it had sent, which is not billed twice."""
    hedge = router_pb.Leg(
        deployment_id="d-1",
        provider="openai",
        upstream_model="gpt-4o",
        model_group="gpt",
        usage=chat_pb.Usage(prompt_tokens=90, completion_tokens=7),
        reason="hedge_lost",
    )
    broken = router_pb.Leg(
        deployment_id="d-2",
        provider="anthropic",
        upstream_model="claude-sonnet-4-5",
        received_text="one two three",
        estimated=True,
        reason="stream_broken",
    )
    run = received(run_of("openai", "gpt-4o", hedge, broken), "one two three", " four five")
    assert run.chunks is not None
    tokens, counted = tokens_of_usage(None, run, COUNTER, run.chunks.response())
    first, second = spend_legs(run, COUNTER)

    assert counted
    assert 2 == tokens.completion_tokens
    assert (90, 7, False, "hedge_lost", "d-1") == (
        first.tokens.prompt_tokens,
        first.tokens.completion_tokens,
        first.estimated,
        first.reason,
        first.deployment_id,
    )
    # Three words at 1.13 tokens each, four for the answer itself.
    assert (100, 8, True) == (second.tokens.prompt_tokens, second.tokens.completion_tokens, second.estimated)


def test_a_settlement_tells_who_asked_and_what_was_answered() -> None:
    """For reports and for a hold that was lost."""
    run = received(run_of(), "one")
    run.response_id = "chatcmpl-1"
    run.info.api_base = "https://api"
    request = settle_request(run, pb.OUTCOME_SUCCESS, pb.TokenCounts(), estimated=False, end_ns=3)

    assert ("acompletion", "https://api", "chatcmpl-1", "10.1.2.3", "alice", ["blue"]) == (
        request.call_type,
        request.api_base,
        request.response_id,
        request.requester_ip_address,
        request.end_user,
        list(request.tags),
    )


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (b'{"audio_tokens":7}', 7),
        (b'{"audio_tokens":null}', 0),
        (b'{"audio_tokens":-1}', 0),
        (b'{"audio_tokens":"7"}', 0),
        (b'{"text_tokens":7}', 0),
        (b"", 0),
    ],
)
def test_audio_tokens_are_read_from_the_details(told: bytes, counted: int) -> None:
    """OpenAI's words; what makes no sense counts as plain tokens."""
    usage = chat_pb.Usage(prompt_tokens=20, completion_tokens=10)
    usage.prompt_tokens_details.extra_json = told
    usage.completion_tokens_details.extra_json = told
    tokens = token_counts(usage)

    assert (counted, counted) == (tokens.audio_prompt_tokens, tokens.audio_completion_tokens)


def test_a_client_is_told_its_own_prompt_and_the_whole_answer() -> None:
    """Of an answer that broke off twice; legs of another kind are no part of it."""
    usage = chat_pb.Usage(prompt_tokens=140, completion_tokens=10, total_tokens=150)
    usage.prompt_tokens_details.cached_tokens = 128
    legs = [
        pb.SpendLeg(tokens=pb.TokenCounts(prompt_tokens=99, completion_tokens=0), reason="hedge_lost"),
        pb.SpendLeg(
            tokens=pb.TokenCounts(prompt_tokens=100, completion_tokens=30, cached_tokens=64),
            reason="stream_broken",
        ),
        pb.SpendLeg(tokens=pb.TokenCounts(prompt_tokens=130, completion_tokens=10), reason="stream_broken"),
    ]
    add_broken_legs(usage, legs)

    assert (100, 50, 150) == (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    assert 64 == usage.prompt_tokens_details.cached_tokens
    untouched = chat_pb.Usage(prompt_tokens=140, completion_tokens=10, total_tokens=150)
    add_broken_legs(untouched, legs[:1])
    assert (140, 10) == (untouched.prompt_tokens, untouched.completion_tokens)
