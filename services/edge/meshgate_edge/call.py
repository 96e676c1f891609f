"""One request through the gateway, as the pipeline sees it: neither HTTP nor gRPC.

A rim (http/chat.py, gateway_servicer.py) makes a ChatCall, the pipeline answers with a Completed or with
a stream of events, and the rim renders that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from meshgate_edge.money.rate_limits import Limit
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

PrincipalKind = Literal["master", "open", "virtual_key"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `key_hash`: SHA-256 hex of the key; for the master key its own; empty in open mode."""

    kind: PrincipalKind
    key_hash: str = ""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """LiteLLM's `cache` body member. `read` and `write` False: no-cache and no-store."""

    read: bool = True
    write: bool = True
    ttl_s: float | None = None
    max_age_s: float | None = None
    namespace: str = ""
    opt_in: bool = False  # use-cache: true, for `mode: default_off`


@dataclass(frozen=True, slots=True)
class CompressionOptions:
    """Our `compression` body member. None: what the key, the model and the configuration say."""

    enabled: bool | None = None
    target_ratio: float | None = None
    rag_target_ratio: float | None = None  # of retrieved context; None: as target_ratio, if that is given
    min_tokens: int | None = None
    compressor: str | None = None
    rag: bool | None = None  # the user's content is retrieved context, or is not
    allow_system: bool | None = None  # system messages may be shortened too
    guard: bool | None = None  # False: compress even where it does not pay


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a request asks of the gateway itself; never sent to a provider."""

    cache: CacheOptions = CacheOptions()
    compression: CompressionOptions = CompressionOptions()
    num_retries: int | None = None
    timeout_s: float | None = None
    fallbacks: Sequence[str] = ()
    tags: Sequence[str] = ()
    end_user: str = ""  # named by a header; the body's `user` wins


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A validated chat request of a caller that has shown a credential. `client_address`: "" if unknown.
    `members`: of the body, as caller_rules.members_of tells them."""

    call_id: str  # UUID; the ledger's request_id
    principal: Principal
    request: chat_pb.ChatRequest
    options: CallOptions = CallOptions()
    client_address: str = ""
    call_type: str = "acompletion"  # LiteLLM's name for the kind of call
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def end_user(self) -> str:
        """OpenAI's `user`, else LiteLLM's header."""
        return self.request.user or self.options.end_user


@dataclass(slots=True)
class CallInfo:
    """What happened to a call; filled in while it happens. Rendered as headers, CallInfo and metrics."""

    call_id: str
    model: str  # as requested
    model_group: str = ""  # the group that answered
    deployment_id: str = ""
    provider: str = ""
    upstream_model: str = ""
    api_base: str = ""
    attempted_retries: int = 0
    attempted_fallbacks: int = 0
    provider_headers: Mapping[str, str] = field(default_factory=dict)
    cache_key: str = ""
    cache_hit: bool = False
    cached_input_count: int = 0  # of a request for embeddings
    similarity: float | None = None  # set iff the answer was given to another question
    cache_source_key: str = ""  # set with it: to which
    original_prompt_tokens: int | None = None  # set iff compressed
    compressed_prompt_tokens: int | None = None
    compression: str = ""  # what became of it, e.g. "compressed" or "no_saving"; empty: nobody asked for it
    compression_duration_s: float | None = None  # set iff the compression service answered
    cost_usd_nanos: int | None = None  # known after the settlement
    input_cost_usd_nanos: int = 0
    output_cost_usd_nanos: int = 0
    saved_usd_nanos: int = 0  # on a cache hit: what the answer had cost
    key_hash: str = ""
    key_alias: str = ""
    user_id: str = ""
    team_id: str = ""
    end_user: str = ""
    key_spend_usd_nanos: int | None = None
    key_max_budget_usd_nanos: int | None = None
    limits: Sequence[Limit] = ()  # that took part in the admission, the tightest first
    remaining_budget_usd_nanos: int | None = None  # the smallest, after the hold; None: no budget applies
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usage_estimated: bool = False
    provider_duration_s: float = 0.0  # waiting for the router, headers included
    first_token_s: float | None = None  # of a stream, from its start
    duration_s: float = 0.0
    outcome: str = ""  # success, failure, cancelled, cache_hit or denied


@dataclass(frozen=True, slots=True)
class Completed:
    """A whole answer."""

    response: chat_pb.ChatResponse
    info: CallInfo


@dataclass(frozen=True, slots=True)
class Started:
    """The answer begins: headers can be written. Cost is not known yet."""

    info: CallInfo


@dataclass(frozen=True, slots=True)
class Chunks:
    """Parts of the answer that are ready now, in order; none of them carries usage. `texts`: of each what
    TextPieces says, as far as it was asked."""

    chunks: Sequence[chat_pb.ChatChunk]
    texts: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete and settled. A stream without it was truncated."""

    info: CallInfo
    usage: chat_pb.Usage
    last: chat_pb.ChatChunk  # id, created and model for a usage chunk


StreamEvent = Started | Chunks | Ended
