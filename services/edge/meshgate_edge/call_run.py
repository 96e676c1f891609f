"""The state of one call on its way through the pipeline, and what follows from it: pure.

Money rule: a provider that answered is billed by its own usage; where it gave none, or the answer was
cut, the tokens that were sent are counted and the entry is marked as estimated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import CallInfo, ChatCall
from meshgate_edge.principal import principal_message
from meshgate_edge.tokens import TokenCounter
from meshgate_protos.cache.v1 import cache_service_pb2 as cache_pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

# Errors that mean the router was never asked, so no provider was either.
NOT_SENT_REASONS = frozenset({"SERVICE_UNREACHABLE", "DEADLINE_TOO_CLOSE", "MODEL_NOT_FOUND"})
# Errors after which the provider may have read the prompt although nobody saw an answer.
MAYBE_SENT_REASONS = frozenset({"CONNECTION_LOST", "RPC_DEADLINE_EXCEEDED", "PROVIDER_TIMEOUT"})


@dataclass(slots=True)
class CallRun:
    """One call under way. `reserving`: the ledger was asked to hold money and has not answered. `held`: it
    holds money. `asked`: the router was asked."""

    call: ChatCall
    info: CallInfo
    prompt_tokens: int
    start_ns: int
    start_monotonic_s: float
    account: ledger_pb.Account
    prompt_price: ledger_pb.PromptPrice | None = None  # None: not known
    reserving: bool = False
    held: bool = False
    asked: bool = False
    settled: bool = False
    first_token_ns: int | None = None
    chunks: ChunkAccumulator | None = None  # of a stream under way
    cache_key: str = ""
    question: cache_pb.Question | None = None  # what the cache needs to offer the answer to others
    usage: chat_pb.Usage | None = None  # as the provider reported it at the end of a stream

    def served(self, served_by: router_pb.ServedBy) -> None:
        """Notes which deployment answered."""
        info = self.info
        info.deployment_id = served_by.deployment_id
        info.model_group = served_by.model_group
        info.provider = served_by.provider
        info.upstream_model = served_by.upstream_model
        info.api_base = served_by.api_base
        info.attempted_retries = served_by.attempted_retries
        info.attempted_fallbacks = served_by.attempted_fallbacks
        info.provider_headers = dict(served_by.provider_headers)

    def failed_at(self, metadata: Mapping[str, str]) -> None:
        """Notes which deployment failed last, as far as the router's error tells."""
        info = self.info
        info.deployment_id = metadata.get("deployment_id", "")
        info.model_group = metadata.get("model_group", "")
        info.provider = metadata.get("provider", "")
        info.attempted_retries = _count(metadata, "attempted_retries")
        info.attempted_fallbacks = _count(metadata, "attempted_fallbacks")

    def admitted(self, account: ledger_pb.Account) -> None:
        """Notes whose money is held."""
        self.reserving, self.held = False, True
        self.account = account
        info = self.info
        info.key_hash, info.key_alias = account.key_hash, account.key_alias
        info.user_id, info.team_id = account.user_id, account.team_id
        info.key_spend_usd_nanos = account.spend_usd_nanos
        if account.HasField("max_budget_usd_nanos"):
            info.key_max_budget_usd_nanos = account.max_budget_usd_nanos

    def posted(self, posting: ledger_pb.SettleSpendResponse) -> None:
        """Notes what was charged."""
        parts = posting.breakdown
        self.info.cost_usd_nanos = posting.charged_usd_nanos
        self.info.output_cost_usd_nanos = parts.output_usd_nanos + parts.reasoning_usd_nanos
        self.info.input_cost_usd_nanos = posting.charged_usd_nanos - self.info.output_cost_usd_nanos
        self.info.key_spend_usd_nanos = posting.key_spend_usd_nanos


def _count(metadata: Mapping[str, str], name: str) -> int:
    text = metadata.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def provider_was_called(run: CallRun, error: BaseException | None) -> bool:
    """False when it is certain that no provider was called: then the hold is released, not billed."""
    if not run.asked:
        return False
    if not isinstance(error, MeshError):
        return True
    return error.reason not in NOT_SENT_REASONS and error.metadata.get("upstream_calls") != "0"


def tokens_of_usage(
    usage: chat_pb.Usage | None, run: CallRun, counter: TokenCounter, response: chat_pb.ChatResponse
) -> tuple[ledger_pb.TokenCounts, bool]:
    """What to bill for a whole answer, and whether it had to be counted here."""
    if usage is None or not usage.HasField("prompt_tokens") or not usage.HasField("completion_tokens"):
        counted = ledger_pb.TokenCounts(
            prompt_tokens=run.prompt_tokens, completion_tokens=counter.answer(response)
        )
        return counted, True
    return (
        ledger_pb.TokenCounts(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.prompt_tokens_details.cached_tokens,
            cache_creation_tokens=usage.prompt_tokens_details.cache_creation_tokens,
            reasoning_tokens=usage.completion_tokens_details.reasoning_tokens,
        ),
        False,
    )


def tokens_of_broken_call(
    run: CallRun, counter: TokenCounter, error: BaseException | None
) -> ledger_pb.TokenCounts:
    """What to bill for an answer that was cut: what was sent, and the prompt if it may have been read."""
    sent = counter.answer(run.chunks.response()) if run.chunks is not None else 0
    refused = isinstance(error, MeshError) and error.reason not in MAYBE_SENT_REASONS
    prompt = 0 if refused and sent == 0 and run.first_token_ns is None else run.prompt_tokens
    return ledger_pb.TokenCounts(prompt_tokens=prompt, completion_tokens=sent)


def settle_request(
    run: CallRun,
    outcome: "ledger_pb.Outcome.ValueType",
    tokens: ledger_pb.TokenCounts,
    *,
    estimated: bool,
    end_ns: int,
    error_reason: str = "",
) -> ledger_pb.SettleSpendRequest:
    """The ledger's settlement of this call; also fills in the call's token counts."""
    info = run.info
    info.prompt_tokens, info.completion_tokens = tokens.prompt_tokens, tokens.completion_tokens
    info.usage_estimated = estimated
    request = ledger_pb.SettleSpendRequest(
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
        error_reason=error_reason[:64],
    )
    request.start_time.FromNanoseconds(run.start_ns)
    request.end_time.FromNanoseconds(end_ns)
    if run.first_token_ns is not None:
        request.first_token_time.FromNanoseconds(run.first_token_ns)
    if info.original_prompt_tokens is not None:
        request.uncompressed_prompt_tokens = info.original_prompt_tokens
    return request
