"""Who was admitted lately and to what, so that calls can go on while the ledger is away (policy `allow`).

Only a memory of the ledger's own answers: who was never admitted is not known here. A record is forgotten
when the ledger says that it changed, when the ledger refuses its holder, when it is too old, or when others
need the place. While notices may have been lost a record is in doubt and of no use until it is confirmed.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshgate_chassis.clock import Clock
from meshgate_edge.call import Principal
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

MODELS_MAX: Final = 100  # of one caller


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """`age_s_max`: since the ledger last admitted or confirmed the caller."""

    callers_max: int = 10_000
    age_s_max: float = 86_400.0


@dataclass(slots=True)
class Remembered:
    """One caller. `models`: requested -> resolved, as they were admitted."""

    principal: Principal
    account: pb.Account
    seen_s: float
    models: "OrderedDict[str, str]" = field(default_factory=OrderedDict)
    in_doubt: bool = False


class AccountMemory:
    """Of one process."""

    def __init__(self, limits: MemoryLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._callers: OrderedDict[Principal, Remembered] = OrderedDict()
        self._by_account: dict[str, set[Principal]] = {}

    def admitted(self, principal: Principal, account: pb.Account, requested: str, resolved: str) -> None:
        """The ledger has admitted this call."""
        known = self._callers.get(principal)
        if known is None:
            known = Remembered(principal, account, 0.0)
            self._callers[principal] = known
            self._index(known)
            if len(self._callers) > self._limits.callers_max:
                self._drop(next(iter(self._callers)))
        else:
            self._place(known, account)
        known.seen_s, known.in_doubt = self._clock.monotonic_s(), False
        known.models[requested] = resolved
        known.models.move_to_end(requested)
        if len(known.models) > MODELS_MAX:
            known.models.popitem(last=False)
        self._callers.move_to_end(principal)

    def refused(self, principal: Principal) -> None:
        """The ledger does not know, or does not want, this caller any more."""
        self._drop(principal)

    def find(self, principal: Principal) -> Remembered | None:
        """What is known for certain, still."""
        known = self._callers.get(principal)
        if known is None or known.in_doubt:
            return None
        if self._clock.monotonic_s() - known.seen_s > self._limits.age_s_max:
            return None
        expires = known.account.expire_time
        if known.account.HasField("expire_time") and expires.ToNanoseconds() <= self._clock.now_ns():
            return None
        return known

    def changed(self, account_ids: Collection[str]) -> None:
        """Forgets everybody whom one of these accounts concerns."""
        for account_id in account_ids:
            for principal in tuple(self._by_account.get(account_id, ())):
                self._drop(principal)

    def doubt(self) -> None:
        """Notices may have been lost."""
        for known in self._callers.values():
            known.in_doubt = True

    def in_doubt(self, count_max: int) -> Sequence[Principal]:
        """Callers to be confirmed, who called last first."""
        found = [known.principal for known in reversed(self._callers.values()) if known.in_doubt]
        return found[:count_max]

    def confirmed(self, principal: Principal, account: pb.Account) -> None:
        """The ledger still knows this caller. What it was admitted to before may have been narrowed since."""
        known = self._callers.get(principal)
        if known is not None:
            self._place(known, account)
            known.in_doubt, known.seen_s = False, self._clock.monotonic_s()
            known.models.clear()

    def _place(self, known: Remembered, account: pb.Account) -> None:
        if _accounts_of(account) == _accounts_of(known.account):
            known.account = account
            return
        self._unindex(known)
        known.account = account
        self._index(known)

    def _drop(self, principal: Principal) -> None:
        known = self._callers.pop(principal, None)
        if known is not None:
            self._unindex(known)

    def _index(self, known: Remembered) -> None:
        for account_id in _accounts_of(known.account):
            self._by_account.setdefault(account_id, set()).add(known.principal)

    def _unindex(self, known: Remembered) -> None:
        for account_id in _accounts_of(known.account):
            holders = self._by_account.get(account_id, set())
            holders.discard(known.principal)
            if not holders:
                self._by_account.pop(account_id, None)


def _accounts_of(account: pb.Account) -> Sequence[str]:
    """Every account whose rules hold for this caller."""
    found = [f"key:{account.key_hash}"]
    if account.user_id:
        found.append(f"user:{account.user_id}")
    if account.team_id:
        found.append(f"team:{account.team_id}")
    if account.team_id and account.user_id:
        found.append(f"member:{account.team_id}/{account.user_id}")
    if account.organization_id:
        found.append(f"organization:{account.organization_id}")
    return found
