"""Limits that took part in a decision, and the headers and words clients know them by. Pure.

Names are LiteLLM's: x-ratelimit-<scope>-limit-requests and so on for each scope; OpenAI's without a scope and
X-RateLimit-Limit, -Remaining, -Reset tell of the tightest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

Header = tuple[bytes, bytes]
_Metric = pb.LimitState.Metric

MINUTES: Final = frozenset({"60s", "1m"})
TYPES: Final[Mapping[int, str]] = {
    _Metric.METRIC_SPEND: "budget",
    _Metric.METRIC_REQUESTS: "requests",
    _Metric.METRIC_TOKENS: "tokens",
    _Metric.METRIC_PARALLEL: "max_parallel_requests",
}
_SCOPES: Final = {"key": "api_key", "member": "team_member", "customer": "end_user", "gateway": "global"}
_SCOPES_WITH_MODEL: Final = {"gateway": "model"}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit after a decision. `scope`: LiteLLM's name. `type`: requests, tokens, max_parallel_requests or
    budget (nano-USD). `reset_s`: Unix time; None: it has no end."""

    scope: str
    scope_id: str
    model: str
    type: str
    period: str
    maximum: int
    remaining: int
    reset_s: int | None = None
    soft_exceeded: bool = False  # of a budget: its soft limit is passed


def limit_of(state: pb.LimitState) -> Limit:
    """The contract's message as a value."""
    reset_s = None
    if state.HasField("reset_time"):
        reset_s = state.reset_time.seconds + (1 if state.reset_time.nanos else 0)
    return Limit(
        scope=_scope(state.scope, state.model),
        scope_id=state.scope_id,
        model=state.model,
        type=TYPES.get(state.metric, ""),
        period=state.period,
        maximum=state.maximum,
        remaining=max(0, state.remaining),
        reset_s=reset_s,
        soft_exceeded=state.soft_exceeded,
    )


def limits_of(states: Iterable[pb.LimitState]) -> tuple[Limit, ...]:
    """The tightest first, as they came."""
    return tuple(map(limit_of, states))


def limit_headers(limits: Sequence[Limit], taken: frozenset[bytes] = frozenset()) -> Iterator[Header]:
    """What a client is told of its limits. `taken`: names that a provider's own values have."""
    rates = [limit for limit in limits if limit.type in ("requests", "tokens")]
    for limit in _one_for_each(rates):
        yield f"x-ratelimit-{limit.scope}-limit-{limit.type}".encode(), b"%d" % limit.maximum
        yield f"x-ratelimit-{limit.scope}-remaining-{limit.type}".encode(), b"%d" % limit.remaining
        if limit.scope == "api_key" and limit.period in MINUTES:
            name = b"x-litellm-key-rpm-limit" if limit.type == "requests" else b"x-litellm-key-tpm-limit"
            yield name, b"%d" % limit.maximum
    for kind in ("requests", "tokens"):
        tightest = next((limit for limit in rates if limit.type == kind), None)
        names = (f"x-ratelimit-limit-{kind}".encode(), f"x-ratelimit-remaining-{kind}".encode())
        if tightest is not None and taken.isdisjoint(names):
            yield names[0], b"%d" % tightest.maximum
            yield names[1], b"%d" % tightest.remaining
    if rates:
        yield from _plain(rates[0])


def denial_metadata(limit: Limit) -> dict[str, str]:
    """A refusing limit as the metadata of an error; read again by `denial_headers`."""
    told = {
        "limit_scope": limit.scope,
        "limit_scope_id": limit.scope_id,
        "limit_model": limit.model,
        "limit_type": limit.type,
        "limit_maximum": str(limit.maximum),
        "limit_remaining": str(limit.remaining),
    }
    if limit.reset_s is not None:
        told["limit_reset_s"] = str(limit.reset_s)
    return told


def denial_headers(metadata: Mapping[str, str]) -> Iterator[Header]:
    """What a refused client is told besides retry-after; nothing for any other error."""
    kind = metadata.get("limit_type", "")
    if kind not in ("requests", "tokens", "max_parallel_requests"):
        return
    yield b"rate_limit_type", kind.encode()
    reset_s = metadata.get("limit_reset_s")
    if reset_s is not None:
        yield b"reset_at", instant(int(reset_s)).encode()
    limit = Limit(
        scope=metadata["limit_scope"],
        scope_id="",
        model="",
        type=kind,
        period="",
        maximum=int(metadata["limit_maximum"]),
        remaining=int(metadata["limit_remaining"]),
        reset_s=None if reset_s is None else int(reset_s),
    )
    if kind == "max_parallel_requests":
        yield from _plain(limit)
    else:
        yield from limit_headers((limit,))


def refusal(limit: Limit) -> str:
    """LiteLLM's sentence for a client that asks too often."""
    period = "" if limit.period in MINUTES or not limit.period else f" per {limit.period}"
    of_model = f" for model {limit.model}" if limit.model else ""
    told = (
        f"Rate limit exceeded for {limit.scope}: {limit.scope_id}{of_model}. Limit type: {limit.type}. "
        f"Current limit: {limit.maximum}{period}, Remaining: {limit.remaining}."
    )
    return told if limit.reset_s is None else f"{told} Limit resets at: {instant(limit.reset_s)}"


def instant(unix_s: int) -> str:
    """As LiteLLM writes times to people."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _scope(scope: str, model: str) -> str:
    if not model:
        return _SCOPES.get(scope, scope)
    return _SCOPES_WITH_MODEL.get(scope, f"model_per_{_SCOPES.get(scope, scope).removeprefix('api_')}")


def _one_for_each(limits: Iterable[Limit]) -> Iterable[Limit]:
    """For each name of a header one: that of the minute, else the tightest."""
    chosen: dict[tuple[str, str], Limit] = {}
    for limit in limits:
        name = (limit.scope, limit.type)
        held = chosen.get(name)
        if held is None or (limit.period in MINUTES and held.period not in MINUTES):
            chosen[name] = limit
    return chosen.values()


def _plain(limit: Limit) -> Iterator[Header]:
    yield b"x-ratelimit-limit", b"%d" % limit.maximum
    yield b"x-ratelimit-remaining", b"%d" % limit.remaining
    if limit.reset_s is not None:
        yield b"x-ratelimit-reset", b"%d" % limit.reset_s
