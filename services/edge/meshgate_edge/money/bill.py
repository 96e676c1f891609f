"""What a call is billed for: pure.

Money rule: a provider that answered is billed by its own usage; where it gave none, or the answer was
cut, the tokens that were received are counted and the entry is marked as estimated. What the provider had
told of a cut answer by then (its prompt, and what of it was read from a cache) is believed.
"""

from collections.abc import Sequence

from meshgate_chassis.chat.json import loads_object
from meshgate_chassis.errors import MeshError
from meshgate_chassis.price import TOKENS_MAX
from meshgate_edge.call_run import UNANSWERED, CallRun
from meshgate_edge.principal import principal_message
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_edge.tokens.families import Family, family_of
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

# Errors that mean the router was never asked, so no provider was either.
NOT_SENT_REASONS = frozenset(
    {"SERVICE_UNREACHABLE", "DEADLINE_TOO_CLOSE", "MODEL_NOT_FOUND", "TOO_MANY_CALLS"}
)
# Errors after which the provider may have read the prompt although nobody saw an answer: the router was lost,
# or does not say more (of its own calls it tells those that were not answered).
MAYBE_SENT_REASONS = frozenset({"CONNECTION_LOST", "RPC_DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT"})
STREAM_BROKEN = "stream_broken"  # of a leg whose text the client has seen
LEGS_MAX = 32


def provider_was_called(run: CallRun, error: BaseException | None) -> bool:
    """False when it is certain that no provider was called: then the hold is released, not billed."""
    if not run.asked:
        return False
    if run.legs:
        return True
    if run.first_token_ns is not None or not isinstance(error, MeshError):
        return True
    return error.reason not in NOT_SENT_REASONS and error.metadata.get("upstream_calls") != "0"


def may_have_been_sent(error: MeshError) -> bool:
    """Whether the router leaves it open that a provider was called."""
    return error.reason in MAYBE_SENT_REASONS and UNANSWERED not in error.metadata


def tokens_of_usage(
    usage: chat_pb.Usage | None, run: CallRun, counter: TokenCounter, response: chat_pb.ChatResponse
) -> tuple[pb.TokenCounts, bool]:
    """What to bill for a whole answer, and whether it had to be counted here."""
    if usage is None or not usage.HasField("prompt_tokens") or not usage.HasField("completion_tokens"):
        return _counted(run, counter, response), True
    return token_counts(usage), False


def tokens_of_broken_call(
    run: CallRun, counter: TokenCounter, error: BaseException | None
) -> tuple[pb.TokenCounts, bool]:
    """What to bill for an answer that was cut: what was received, and the prompt if it may have been read.
    And whether it had to be counted here."""
    if run.usage is not None and run.usage.completion_tokens:  # it was whole, but nobody waited for its end
        return tokens_of_usage(run.usage, run, counter, chat_pb.ChatResponse())
    response = run.chunks.response() if run.chunks is not None else chat_pb.ChatResponse()
    counted = _counted(run, counter, response)
    refused = isinstance(error, MeshError) and not may_have_been_sent(error)
    if refused and counted.completion_tokens == 0 and run.first_token_ns is None:
        return pb.TokenCounts(), False
    told = response.usage if response.HasField("usage") else run.first_usage
    if told is None:
        return counted, True
    tokens = token_counts(told)
    if not told.prompt_tokens:
        tokens.prompt_tokens = counted.prompt_tokens
    tokens.completion_tokens = max(counted.completion_tokens, told.completion_tokens)
    tokens.reasoning_tokens = max(counted.reasoning_tokens, tokens.reasoning_tokens)
    return tokens, True


def token_counts(usage: chat_pb.Usage) -> pb.TokenCounts:
    """A provider's usage as the ledger prices it."""
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return pb.TokenCounts(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=prompt.cached_tokens,
        cache_creation_tokens=prompt.cache_creation_tokens,
        reasoning_tokens=completion.reasoning_tokens,
        audio_prompt_tokens=_audio_tokens(prompt.extra_json),
        audio_completion_tokens=_audio_tokens(completion.extra_json),
    )


def spend_legs(run: CallRun, counter: TokenCounter) -> list[pb.SpendLeg]:
    """The request's further provider calls; tokens that nobody reported are counted by what was received."""
    return [spend_leg(leg, run, counter) for leg in run.legs[:LEGS_MAX]]


def sent_before(run: CallRun, counter: TokenCounter, family: Family) -> int:
    """Tokens of the answer that others had sent before their streams broke: part of the prompt of who goes
    on, as that one counts."""
    return sum(counter.text(leg.received_text, family) for leg in run.legs if leg.reason == STREAM_BROKEN)


def add_broken_legs(usage: chat_pb.Usage, legs: Sequence[pb.SpendLeg]) -> None:
    """What a client is told of an answer that was continued elsewhere: the prompt of the first call, which is
    its own, and all of the answer's tokens, as they are billed. The ledger has each call for itself."""
    broken = [leg.tokens for leg in legs if leg.reason == STREAM_BROKEN]
    if not broken:
        return
    usage.prompt_tokens = broken[0].prompt_tokens
    usage.completion_tokens += sum(tokens.completion_tokens for tokens in broken)
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens
    usage.ClearField("prompt_tokens_details")
    if broken[0].cached_tokens:
        usage.prompt_tokens_details.cached_tokens = broken[0].cached_tokens


def take_unanswered(run: CallRun, error: BaseException | None) -> router_pb.Leg | None:
    """The last call of a request that failed, when nobody knows whether it was served: it becomes the
    request's own entry. None: the router was lost, or something had come of an answer."""
    told = isinstance(error, MeshError) and UNANSWERED in error.metadata
    if not told or run.first_token_ns is not None or not run.legs or run.legs[-1].reason != UNANSWERED:
        return None
    *others, last = run.legs
    run.legs = others
    info = run.info
    info.deployment_id, info.model_group = last.deployment_id, last.model_group
    info.provider, info.upstream_model = last.provider, last.upstream_model
    return last


def settle_request(
    run: CallRun,
    outcome: "pb.Outcome.ValueType",
    tokens: pb.TokenCounts,
    legs: Sequence[pb.SpendLeg] = (),
    *,
    estimated: bool,
    end_ns: int,
) -> pb.SettleSpendRequest:
    """The ledger's settlement of this call; also fills in the call's token counts."""
    info = run.info
    info.prompt_tokens, info.completion_tokens = tokens.prompt_tokens, tokens.completion_tokens
    info.usage_estimated = estimated
    request = pb.SettleSpendRequest(
        request_id=run.call.call_id,
        principal=principal_message(run.call.principal),
        outcome=outcome,
        deployment_id=info.deployment_id,
        provider=info.provider,
        upstream_model=info.upstream_model,
        model_group=info.model_group or run.call.request.model,
        tokens=tokens,
        estimated=estimated,
        cache_key=run.cache_key,
        saved_usd_nanos=info.saved_usd_nanos,
        legs=legs,
        call_type=run.call.call_type,
        api_base=info.api_base,
        response_id=run.response_id,
        requester_ip_address=run.call.client_address,
        end_user=run.call.end_user,
        tags=run.call.options.tags,
    )
    request.start_time.FromNanoseconds(run.start_ns)
    request.end_time.FromNanoseconds(end_ns)
    if run.first_token_ns is not None:
        request.first_token_time.FromNanoseconds(run.first_token_ns)
    if info.original_prompt_tokens is not None:
        request.uncompressed_prompt_tokens = info.original_prompt_tokens
    return request


def _audio_tokens(extra_json: bytes) -> int:
    """OpenAI's `audio_tokens` of the details; 0 when it is not told, or makes no sense."""
    if b"audio_tokens" not in extra_json:
        return 0
    told = loads_object(extra_json).get("audio_tokens")
    return min(max(told, 0), TOKENS_MAX) if isinstance(told, int) else 0


def _counted(run: CallRun, counter: TokenCounter, response: chat_pb.ChatResponse) -> pb.TokenCounts:
    """What was received of the answer, less what others had sent of it before their streams broke: that is
    part of the prompt of who went on."""
    others = sent_before(run, counter, run.family)
    sent = max(0, counter.answer(response, run.family) - others)
    return pb.TokenCounts(
        prompt_tokens=run.prompt_tokens_as_served(counter) + others,
        completion_tokens=sent,
        reasoning_tokens=min(sent, counter.reasoning(response, run.family)),
    )


def spend_leg(leg: router_pb.Leg, run: CallRun, counter: TokenCounter) -> pb.SpendLeg:
    family = family_of(leg.provider, leg.upstream_model)
    tokens = token_counts(leg.usage)
    if not leg.usage.HasField("prompt_tokens"):
        tokens.prompt_tokens = run.prompt_tokens
    if leg.estimated and leg.received_text:
        counted = counter.text(leg.received_text, family) + family.answer_tokens
        tokens.completion_tokens = max(tokens.completion_tokens, counted)
    return pb.SpendLeg(
        deployment_id=leg.deployment_id,
        provider=leg.provider,
        upstream_model=leg.upstream_model,
        model_group=leg.model_group,
        tokens=tokens,
        estimated=leg.estimated,
        reason=leg.reason,
    )
