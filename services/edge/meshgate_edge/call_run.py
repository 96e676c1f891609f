"""The state of one call on its way through the pipeline."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meshgate_chassis.chat.accumulate import ChunkAccumulator
from meshgate_chassis.chat.json import loads
from meshgate_chassis.errors import MeshError
from meshgate_chassis.price import Cost
from meshgate_edge.cache.local_flight import LocalFlight, Share
from meshgate_edge.call import CallInfo, ChatCall
from meshgate_edge.money.cost import has_room
from meshgate_edge.money.rate_limits import limits_of
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_edge.tokens.families import OPENAI, Family, family_of
from meshgate_protos.cache.v1 import cache_service_pb2 as cache_pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.router.v1 import router_service_pb2 as router_pb

CHOICES_MAX = 1_000
UNANSWERED = "unanswered"  # a call that went out; nobody knows whether it was served
TIGHT = 16  # less than so many holds are left of the budget
# The same, for answers whose length nobody limits: many at once may be longer than they are as a rule.
TIGHT_UNLIMITED = 128


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
    prices: Sequence[ledger_pb.DeploymentPrice] = ()  # of who may answer, as far as they are known
    model: str = ""  # after the key's aliases: what the hold was made for
    covered_output_tokens: int = 0  # what the hold pays for, of all choices together
    held_usd_nanos: int = 0
    reserving: bool = False
    held: bool = False
    asked: bool = False
    settled: bool = False
    first_token_ns: int | None = None
    chunks: ChunkAccumulator | None = None  # of a stream under way
    cache_key: str = ""
    late_share: Share | None = None  # set when the cache did not answer in time: the key is not known
    question: cache_pb.Question | None = None  # what the cache needs to offer the answer to others
    vector: "asyncio.Task[cache_pb.Vector | None] | None" = None  # the question's, on its way from a model
    flight_token: str = ""  # set while others wait for this call's answer
    local_flight: LocalFlight | None = None  # the same, of others at this edge
    usage: chat_pb.Usage | None = None  # as the provider reported it at the end of a stream
    first_usage: chat_pb.Usage | None = None  # the same, as far as it was reported with the first chunks
    response_id: str = ""  # the answer's, as the client sees it
    family: Family = OPENAI  # of the model that answers
    legs: Sequence[router_pb.Leg] = ()  # further provider calls that have to be paid
    earlier_legs: Sequence[router_pb.Leg] = ()  # those of them that the router will not tell again
    covers_model_only: bool = False  # others are paid for before they are called (money/fallbacks.py)
    covered_models: list[str] = field(default_factory=list)  # those that are
    fallbacks_refused: set[str] = field(default_factory=set)
    resume: str = ""  # with which the router goes on
    broken: router_pb.Leg | None = None  # a call that broke off, until another one goes on with its answer

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
        self.family = family_of(served_by.provider, served_by.upstream_model)
        self.legs = [*self.earlier_legs, *served_by.legs] if self.earlier_legs else served_by.legs
        self.broken = None

    def not_served(self, error: MeshError) -> None:
        """Notes calls of which nobody knows whether they were served, as far as the router's error tells of
        them for the first time."""
        told = unanswered_legs(error)
        known = _unanswered(self.legs) - _unanswered(self.earlier_legs)
        if told[known:]:
            self.legs = self.earlier_legs = [*self.legs, *told[known:]]

    def breaks_off(self, leg: router_pb.Leg) -> None:
        """Another call is asked to go on with the answer: the one until now is a leg."""
        self.legs = self.earlier_legs = [*self.legs, leg]
        self.broken = leg

    def stays_broken(self) -> None:
        """Nobody went on: it is the request's own call again."""
        if self.broken is not None:
            self.legs = self.earlier_legs = [leg for leg in self.legs if leg is not self.broken]
            self.broken = None

    def prompt_tokens_as_served(self, counter: TokenCounter) -> int:
        """The prompt, counted for the model group that was asked for, as the model that answers counts it."""
        return self.prompt_tokens_for(counter, self.family)

    def prompt_tokens_for(self, counter: TokenCounter, family: Family) -> int:
        """The same for any family."""
        counted_for = counter.group(self.call.request.model)
        if counted_for.permille == family.permille:
            return self.prompt_tokens
        return -(-self.prompt_tokens * family.permille // counted_for.permille)

    def failed_at(self, metadata: Mapping[str, str]) -> None:
        """Notes which deployment failed last, as far as the router's error tells."""
        info = self.info
        info.deployment_id = metadata.get("deployment_id", "")
        info.model_group = metadata.get("model_group", "")
        info.provider = metadata.get("provider", "")
        info.attempted_retries = _count(metadata, "attempted_retries")
        info.attempted_fallbacks = _count(metadata, "attempted_fallbacks")

    @property
    def choice_count(self) -> int:
        """OpenAI's `n`."""
        return max(1, min(self.call.request.n, CHOICES_MAX))

    @property
    def max_output_tokens(self) -> int | None:
        """Of one choice, as the client limits it."""
        chat = self.call.request
        if chat.HasField("max_completion_tokens"):
            return max(0, chat.max_completion_tokens)
        return max(0, chat.max_tokens) if chat.HasField("max_tokens") else None

    def admitted(self, answer: ledger_pb.ReserveSpendResponse) -> None:
        """Notes whose money is held, and how much."""
        self.reserving, self.held = False, True
        account = self.account = answer.account
        self.model = answer.resolved_model or self.call.request.model
        self.prompt_price = answer.prompt_price if answer.HasField("prompt_price") else None
        self.covered_output_tokens = answer.covered_output_tokens
        self.held_usd_nanos = answer.held_usd_nanos
        self.prices = answer.prices
        self.covers_model_only = answer.covers_model_only
        info = self.info
        info.limits = limits_of(answer.limits)
        if answer.HasField("remaining_budget_usd_nanos"):
            info.remaining_budget_usd_nanos = answer.remaining_budget_usd_nanos
        info.key_hash, info.key_alias = account.key_hash, account.key_alias
        info.user_id, info.team_id = account.user_id, account.team_id
        info.key_spend_usd_nanos = account.spend_usd_nanos
        if account.HasField("max_budget_usd_nanos"):
            info.key_max_budget_usd_nanos = account.max_budget_usd_nanos

    def covers_now(self, model: str, answer: ledger_pb.TopUpSpendResponse) -> None:
        """Notes that the hold was raised for another model that may answer."""
        more = max(0, answer.held_usd_nanos - self.held_usd_nanos)
        self.model, self.prices = model, ()
        self.covered_output_tokens = answer.covered_output_tokens
        self.held_usd_nanos += more
        if self.info.remaining_budget_usd_nanos is not None:
            self.info.remaining_budget_usd_nanos = max(0, self.info.remaining_budget_usd_nanos - more)

    @property
    def is_near_budget_end(self) -> bool:
        """Whether a few more calls like this one use the budget up."""
        return self.has_less_than(TIGHT)

    def has_less_than(self, holds: int) -> bool:
        """Whether less than so many holds like its own are left of a budget."""
        left = self.info.remaining_budget_usd_nanos
        return left is not None and self.held_usd_nanos > 0 and left < holds * self.held_usd_nanos

    @property
    def has_room(self) -> bool:
        """See cost.has_room."""
        info = self.info
        held_tokens = self.prompt_tokens + self.covered_output_tokens
        return has_room(info.limits, info.remaining_budget_usd_nanos, self.held_usd_nanos, held_tokens)

    def priced(self, cost: Cost) -> None:
        """Notes what will be charged; the key's spend as it was at the grant, and this."""
        info = self.info
        info.cost_usd_nanos = cost.total
        info.output_cost_usd_nanos = cost.output + cost.reasoning
        info.input_cost_usd_nanos = cost.total - info.output_cost_usd_nanos
        info.key_spend_usd_nanos = self.account.spend_usd_nanos + cost.total

    def posted(self, posting: ledger_pb.SettleSpendResponse) -> None:
        """Notes what was charged."""
        parts = posting.breakdown
        self.info.cost_usd_nanos = posting.charged_usd_nanos
        self.info.output_cost_usd_nanos = parts.output_usd_nanos + parts.reasoning_usd_nanos
        self.info.input_cost_usd_nanos = posting.charged_usd_nanos - self.info.output_cost_usd_nanos
        self.info.key_spend_usd_nanos = posting.key_spend_usd_nanos


def unanswered_legs(error: MeshError) -> list[router_pb.Leg]:
    """What the router's error tells of them (protos/README.md)."""
    told = loads(error.metadata.get(UNANSWERED, "[]").encode())
    return [
        router_pb.Leg(
            deployment_id=deployment_id,
            provider=provider,
            upstream_model=upstream_model,
            model_group=group,
            estimated=True,
            reason=UNANSWERED,
        )
        for deployment_id, provider, upstream_model, group in told
    ]


def _unanswered(legs: Sequence[router_pb.Leg]) -> int:
    return sum(leg.reason == UNANSWERED for leg in legs)


def _count(metadata: Mapping[str, str], name: str) -> int:
    text = metadata.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
