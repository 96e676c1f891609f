"""What becomes of a call while the ledger, or its PostgreSQL, is away: the policy, and what it needs.

deny (the default): refused at once, with a clear error. allow (`general_settings.
allow_requests_on_db_unavailable`): whom the ledger admitted lately goes on, to what it was admitted to; the
master key and open mode as well. Nothing is held then and no budget or limit is checked, but nothing is lost:
what the call may cost is on disk before its provider is asked (spool.py). Whoever is not known here is told
that it cannot be decided, never that their key is wrong.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.config.names import is_pattern, matched_text
from meshgate_chassis.errors import Code, MeshError
from meshgate_chassis.routes import route_allowed
from meshgate_edge.call import Principal
from meshgate_edge.circuit import Circuit
from meshgate_edge.money.account_memory import AccountMemory, Remembered
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

log = structlog.get_logger("meshgate.edge.offline")

# Errors after which it is not known whether the ledger can decide anything at the moment. QUEUE_FULL is none:
# a ledger that is busy lives, and its limits hold.
AWAY_CODES: Final = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})
OURS: Final = frozenset({"DEADLINE_TOO_CLOSE"})  # says nothing about the ledger
NOT_SENT: Final = frozenset({"SERVICE_UNREACHABLE", "LEDGER_UNAVAILABLE"})
RETRY_AFTER_S: Final = 1.0
COVERED_TOKENS: Final = 2**53  # no top-up is needed: there is no hold
ALL_MODELS: Final = frozenset({"*", "all-proxy-models", "all-team-models"})
GONE: Final = frozenset(
    {
        pb.Denial.REASON_KEY_UNKNOWN,
        pb.Denial.REASON_KEY_EXPIRED,
        pb.Denial.REASON_KEY_BLOCKED,
        pb.Denial.REASON_ACCOUNT_BLOCKED,
    }
)


class IntentSpool(Protocol):
    """Where calls without a hold are noted (spool.py)."""

    async def intend(self, estimate: pb.SettleSpendRequest) -> None:
        """Returns when it is on disk. Raises MeshError."""


@dataclass(frozen=True, slots=True)
class OutageRules:
    """`allow` needs a spool. `blocked`: as the ledger has them, SHA-256 of keys and of user ids."""

    allow: bool = False
    default_output_tokens: int = 1024
    blocked: Collection[str] = frozenset()


class Outage:
    """Follows what the ledger decides, and decides itself when it must. `spool` None: deny."""

    def __init__(
        self,
        rules: OutageRules,
        memory: AccountMemory,
        circuit: Circuit,
        clock: Clock,
        spool: IntentSpool | None = None,
    ) -> None:
        self._rules = rules
        self._memory = memory
        self._circuit = circuit
        self._clock = clock
        self._spool = spool if rules.allow else None

    def ask(self) -> None:
        """Before the ledger is asked. Raises UNAVAILABLE/LEDGER_UNAVAILABLE while it is known to be away."""
        if not self._circuit.allows():
            raise unavailable()

    def decided(
        self, principal: Principal, request: pb.ReserveSpendRequest, answer: pb.ReserveSpendResponse
    ) -> None:
        """The ledger has answered."""
        self._circuit.succeeded()
        if self._spool is None:
            return  # nobody is going to be let through
        if answer.decision == pb.DECISION_GRANTED:
            self._memory.admitted(principal, answer.account, request.model, answer.resolved_model)
        elif answer.denial.reason in GONE:
            self._memory.refused(principal)

    async def answer(
        self, principal: Principal, request: pb.ReserveSpendRequest, error: MeshError, call_type: str
    ) -> pb.ReserveSpendResponse:
        """In the ledger's place, when it did not answer. `call_type`: as its settlement will say. Raises what
        the client is to be told: `error` itself, or UNAVAILABLE/LEDGER_UNAVAILABLE when it is certain that
        nothing is held."""
        if error.reason != "LEDGER_UNAVAILABLE":
            self._circuit.ended(None if error.reason in OURS else error)
        if error.code not in AWAY_CODES or error.reason in OURS:
            raise error
        refusal = unavailable() if error.reason in NOT_SENT else error
        if self._spool is None:
            raise refusal
        known = self._known(principal)
        model = None if known is None else _model(known, request.model)
        if known is None or model is None or self._is_blocked(request, known.account):
            raise refusal
        if not route_allowed(known.account.allowed_routes, request.route):
            raise refusal
        await self._spool.intend(self._estimate(request, model, call_type))
        log.info("a call goes on without the ledger", request_id=request.request_id, reason=error.reason)
        return pb.ReserveSpendResponse(
            decision=pb.DECISION_GRANTED,
            account=known.account,
            resolved_model=model,
            covered_output_tokens=COVERED_TOKENS,
        )

    def _known(self, principal: Principal) -> Remembered | None:
        known = self._memory.find(principal)
        if known is None and principal.kind != "virtual_key":
            account = pb.Account(tenant_id=principal.kind, key_hash=principal.key_hash)
            return Remembered(principal, account, seen_s=0.0)
        return known

    def _is_blocked(self, request: pb.ReserveSpendRequest, account: pb.Account) -> bool:
        names = (name for name in (account.user_id, request.end_user) if name)
        hashes = {request.principal.key_hash, *(sha256(name.encode()).hexdigest() for name in names)}
        return not hashes.isdisjoint(self._rules.blocked)

    def _estimate(self, request: pb.ReserveSpendRequest, model: str, call_type: str) -> pb.SettleSpendRequest:
        output_tokens = self._rules.default_output_tokens
        if request.HasField("max_output_tokens"):
            output_tokens = request.max_output_tokens
        estimate = pb.SettleSpendRequest(
            request_id=request.request_id,
            principal=request.principal,
            outcome=pb.OUTCOME_FAILURE,
            model_group=model,
            tokens=pb.TokenCounts(
                prompt_tokens=request.prompt_tokens,
                completion_tokens=output_tokens * max(1, request.choice_count),
            ),
            estimated=True,
            error_reason="EDGE_LOST",
            end_user=request.end_user,
            tags=request.tags,
            offline=True,
            call_type=call_type,
        )
        estimate.start_time.FromNanoseconds(self._clock.now_ns())
        estimate.end_time.CopyFrom(estimate.start_time)
        return estimate


def _model(known: Remembered, requested: str) -> str | None:
    """The model to call; None when it is not certain that the caller may.

    What was admitted before may be admitted again. Anything else only by the key's own list, and only when no
    user, team or organisation could narrow it.
    """
    if requested in known.models:
        return known.models[requested]
    account = known.account
    if account.user_id or account.team_id or account.organization_id:
        return None
    resolved = account.aliases.get(requested, requested)
    allowed = account.models
    if not allowed or not ALL_MODELS.isdisjoint(allowed) or requested in allowed or resolved in allowed:
        return resolved
    patterns = [name for name in allowed if is_pattern(name)]
    return resolved if any(matched_text(name, resolved) is not None for name in patterns) else None


def unavailable() -> MeshError:
    """What a client is told while spend cannot be recorded, and nothing was asked of the ledger."""
    return MeshError(
        Code.UNAVAILABLE,
        "LEDGER_UNAVAILABLE",
        "Budgets and keys cannot be checked at the moment, so this call was not made. Try again shortly.",
        retry_after_s=RETRY_AFTER_S,
    )
