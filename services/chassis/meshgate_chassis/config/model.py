"""The validated configuration, as services see it: frozen values, no YAML.

Each service takes its part. Read by `meshgate_chassis.config.load_config`.
Source of the format: LiteLLM's config.yaml; members that LiteLLM does not know are marked "ours".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential. Its repr and str never show it."""

    value: str

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class DeploymentPrice:
    """Prices from the configuration, in nano-USD per million tokens (exact for every published price). None:
    these tokens cost what the others of their side cost."""

    input_nanos_per_mtok: int
    output_nanos_per_mtok: int
    cache_read_nanos_per_mtok: int | None = None
    cache_creation_nanos_per_mtok: int | None = None
    reasoning_nanos_per_mtok: int | None = None
    audio_input_nanos_per_mtok: int | None = None
    audio_output_nanos_per_mtok: int | None = None
    request_nanos: int = 0  # nano-USD for each call
    # Prices of the whole call once its prompt has more than so many tokens, ascending; they have no tiers.
    tiers: "tuple[tuple[int, DeploymentPrice], ...]" = ()


ErrorCounts = Mapping[str, int]
"""A number for some classes of errors: bad_request, authentication, timeout, rate_limit, content_policy,
internal_server."""


@dataclass(frozen=True, slots=True)
class DeploymentLimits:
    """What a deployment may be asked for, by the minute and by the day; None: no limit."""

    rpm: int | None = None
    rpd: int | None = None
    tpm: int | None = None
    tpd: int | None = None
    itpm: int | None = None  # prompt tokens
    otpm: int | None = None  # answer tokens
    max_parallel_requests: int | None = None
    time_zone: str = "UTC"  # where a day begins at midnight (ours: quota_time_zone)

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self != DeploymentLimits(time_zone=self.time_zone)


@dataclass(frozen=True, slots=True)
class StageTimeouts:
    """Limits of a provider call's stages (ours), of a deployment or of all. None: not said."""

    connect_s: float | None = None  # connect_timeout
    first_token_s: float | None = None  # first_token_timeout: of a stream, instead of stream_timeout
    between_tokens_s: float | None = None  # between_tokens_timeout: of a stream; comments are no tokens
    total_s: float | None = None  # total_timeout: the whole of a call, a stream as well


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of `model_list`: a model at a provider under a public name."""

    id: str  # model_info.id, else the SHA-256 hex of its litellm_params (secrets by name, not by value)
    model_group: str  # model_name: the public name; may contain "/" or "*"
    provider: str  # openai, anthropic, groq, mistral, ...
    upstream_model: str  # without the provider prefix
    api_base: str | None = field(repr=False)  # None: the provider's own; may hold credentials
    api_key: Secret | None
    request_defaults: Mapping[str, object] = field(repr=False)  # OpenAI parameters merged under the request
    extra_headers: Mapping[str, str] = field(repr=False)  # may hold credentials
    timeout_s: float | None
    stream_timeout_s: float | None
    rpm: int | None
    tpm: int | None
    weight: float | None
    price: DeploymentPrice | None  # None: the price library decides
    drop_params: bool
    mode: str  # chat, embedding, ...
    model_info: Mapping[str, object] = field(repr=False)  # all of it, as written
    stages: StageTimeouts = StageTimeouts()
    same_as: str | None = None  # the id of the entry it is a copy of: they share limits and health
    limits: DeploymentLimits = DeploymentLimits()
    blocked: bool = False
    order: float | None = None  # of a group only those with the least order are asked, as long as they can be
    tags: Sequence[str] = ()
    max_input_tokens: int | None = None
    num_retries: int | None = None
    retry_policy: ErrorCounts = field(default_factory=dict)
    allowed_fails: int | None = None
    allowed_fails_policy: ErrorCounts = field(default_factory=dict)
    cooldown_time_s: float | None = None
    api_version: str | None = None  # of Azure's API

    @property
    def account(self) -> str:
        """Whose limits and health it has."""
        return self.same_as or self.id


@dataclass(frozen=True, slots=True)
class HedgingConfig:
    """`router_settings.hedging` (ours): a second deployment is asked when the first one is unusually slow."""

    enabled: bool = False
    quantile: float = 0.95  # of the group's times to the first token: later than it is slow
    delay_min_s: float = 0.05  # delay_min: never ask sooner
    extra_calls_max: float = 0.05  # share of the calls that may be asked twice
    same_deployment: bool = False  # ask the same one again when a group has no other
    whole_answers: bool = False  # also calls that are not streamed, by their total time


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """`router_settings`, and the same members of `litellm_settings`."""

    routing_strategy: str = "simple-shuffle"
    group_strategies: Mapping[str, str] = field(default_factory=dict)  # of single groups
    latency_memory_s: float = 3_600.0  # routing_strategy_args.ttl
    latency_buffer: float = 0.0  # lowest_latency_buffer: this share above the best is as good
    latency_samples_max: int = 10  # max_latency_list_size
    num_retries: int = 2
    retry_after_s: float = 0.0
    timeout_s: float = 600.0
    stream_timeout_s: float | None = None
    fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    default_fallbacks: Sequence[str] = ()
    context_window_fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    content_policy_fallbacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fallback_depth_max: int = 5  # max_fallbacks
    retry_policy: ErrorCounts = field(default_factory=dict)
    group_retry_policies: Mapping[str, ErrorCounts] = field(default_factory=dict)
    allowed_fails: int | None = None
    allowed_fails_policy: ErrorCounts = field(default_factory=dict)
    cooldown_time_s: float = 5.0
    cooldowns: bool = True  # not disable_cooldowns
    pre_call_checks: bool = False  # leave out deployments whose context window is too small
    tag_filtering: bool = False
    tags_match_any: bool = True  # one tag in common is enough
    redis_url: Secret | None = None  # state shared with other replicas; None: each has its own
    redis_nodes: Sequence[tuple[str, int]] = ()  # as of the cache
    model_group_alias: Mapping[str, str] = field(default_factory=dict)
    hidden_aliases: Collection[str] = frozenset()  # they work, but are not listed
    stages: StageTimeouts = StageTimeouts()
    hedging: HedgingConfig = HedgingConfig()
    mid_stream_recovery: bool = True  # ours: a broken stream goes on elsewhere where it can be prefilled


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """`litellm_settings.cache` and `cache_params`; the top-level `cache_settings` (ours)."""

    enabled: bool = False
    type: str = "local"  # local or redis
    semantic: bool = False  # type redis-semantic or local-semantic, or a similarity_threshold
    similarity_threshold: float = 0.8  # floor of the cosine of a semantic hit
    embedding_model: str = ""  # of the configuration, whose vectors find semantic hits; empty: a local one
    max_false_hit_rate: float = 0.01  # ours: the calibrated score keeps false hits below it
    ttl_s: int | None = None  # None: 60 for redis, 600 for local
    namespace: str = ""
    mode: str = "default_on"  # or default_off: only requests that ask for it
    redis_url: Secret | None = None  # composed of url, or host, port, username, password, ssl
    redis_nodes: Sequence[tuple[str, int]] = ()  # of a Redis Cluster; redis_url has the credentials
    redis_connections_max: int = 100
    supported_call_types: Sequence[str] | None = None  # None: all; LiteLLM's names
    single_flight: bool = True  # ours: of equal misses at the same time, one makes the answer
    single_flight_streams: bool = (
        False  # ours: of streams as well; a follower's first token comes with the last
    )


@dataclass(frozen=True, slots=True)
class ModelCompression:
    """One model of `compression_settings.models` (ours). None: as for all models."""

    enabled: bool = True
    target_ratio: float | None = None
    rag_target_ratio: float | None = None
    min_tokens: int | None = None
    compressor: str | None = None
    allow_system: bool | None = None
    guard: bool | None = None


@dataclass(frozen=True, slots=True)
class CompressionConfig:
    """`compression_settings` (ours): the defaults of prompt compression."""

    enabled: bool = False
    compressor: str = "extractive"
    target_ratio: float = 0.5
    rag_target_ratio: float = 0.33
    min_tokens: int = 500
    guard: bool = True  # compress only where it pays
    models: Mapping[str, ModelCompression] = field(default_factory=dict)  # by public name


@dataclass(frozen=True, slots=True)
class ConfiguredLimit:
    """`metric`: spend (nano-USD), requests, tokens or parallel. `period`: '60s', '1d'; '': without end."""

    metric: str
    period: str
    maximum: int | None
    soft_maximum: int | None = None


@dataclass(frozen=True, slots=True)
class ConfiguredLimits:
    """Of the whole gateway, and of each user and end user that has none of their own."""

    gateway: Sequence[ConfiguredLimit] = ()
    user: Sequence[ConfiguredLimit] = ()
    customer: Sequence[ConfiguredLimit] = ()
    customer_budget_id: str = ""  # max_end_user_budget_id: of customers without limits; comes first
    tags: Mapping[str, Sequence[ConfiguredLimit]] = field(default_factory=dict)  # tag_budget_config
    time_zone: str = "UTC"  # where the days of budgets begin at midnight


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The money part of `general_settings` and `litellm_settings`."""

    default_output_tokens: int = 1024  # held when a request gives no max_tokens (ours)
    hold_duration_s: int = 900  # ours
    require_pricing: bool | None = None  # None: only for keys with a budget (ours)
    allow_without_ledger: bool = False  # allow_requests_on_db_unavailable
    entries_kept_s: float | None = None  # maximum_spend_logs_retention_period; None: for good
    blocked: Collection[str] = frozenset()  # SHA-256, as hex, of keys and of user ids that are refused
    limits: ConfiguredLimits = field(default_factory=ConfiguredLimits)


@dataclass(frozen=True, slots=True)
class EntityDefaults:
    """By LiteLLM's names: what keys, users and teams get that are made without, and how far a key may go."""

    key: Mapping[str, object] = field(default_factory=dict)  # members of /key/generate
    key_upper_bounds: Mapping[str, object] = field(default_factory=dict)
    key_generation: Mapping[str, object] = field(default_factory=dict)  # key_generation_settings
    user: Mapping[str, object] = field(default_factory=dict)  # members of /user/new
    team: Mapping[str, object] = field(default_factory=dict)  # members of /team/new


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who may reach the gateway, and what a request has to say."""

    key_header: str = ""  # litellm_key_header_name, lower case: looked at first
    user_required: bool = False  # enforce_user_param: calls name their end user
    required_params: Sequence[str] = ()  # enforced_params of calls; "metadata.x" is within
    allowed_ips: Sequence[str] = ()  # addresses or networks; empty: everybody
    behind_proxy: bool = False  # use_x_forwarded_for: its last address is the caller's
    metrics_need_key: bool = False  # require_auth_for_metrics_endpoint


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything of config.yaml."""

    deployments: Sequence[Deployment] = ()
    router: RouterConfig = field(default_factory=RouterConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    compression: CompressionConfig = field(default_factory=CompressionConfig)
    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    entity_defaults: EntityDefaults = field(default_factory=EntityDefaults)
    access: AccessConfig = field(default_factory=AccessConfig)
    master_key: Secret | None = None
    database_url: Secret | None = None
    request_bytes_max: int = 8 * 1024 * 1024  # general_settings.max_request_size_mb
    allowed_origins: Sequence[str] = ("*",)
    log_level: str = "INFO"
    json_logs: bool = False
    warnings: Sequence["ConfigProblem"] = ()


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """Something to tell the operator: `path:line: where: message (did you mean 'x'?)`. Never a value."""

    path: str
    line: int  # 1-based; 0: the whole file
    where: str  # dotted path, for example model_list[0].litellm_params.modell
    message: str
    suggestion: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        place = f"{self.path}:{self.line}" if self.line else self.path
        where = f"{self.where}: " if self.where else ""
        return f"{place}: {where}{self.message}{hint}"
