"""Looking up beside the reservation: for whom the ledger admitted lately the cache is asked at the same time.

What the cache says is used only when the call is granted, to that tenant, as that variant, and under the
model that was asked for; otherwise nobody sees it, and a claim that came with it is given back.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from meshgate_edge.cache.local_flight import LocalFlight, Share
from meshgate_edge.call import Principal
from meshgate_protos.cache.v1 import cache_service_pb2 as pb
from meshgate_protos.chat.v1 import chat_pb2 as chat_pb

TENANTS_MAX: Final = 10_000


@dataclass(slots=True)
class EarlyLookup:
    """Under way, or done. `flight`: others at this edge wait for it. `used`: by the call."""

    share: Share
    chat: chat_pb.ChatRequest
    task: "asyncio.Task[pb.LookupEntryResponse | None]"
    flight: LocalFlight | None = None
    used: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose cache is used. `metadata_json`: what the caller's key says about variants, else empty."""

    tenant_id: str
    metadata_json: str = ""


class TenantMemory:
    """Whose cache a caller's last admitted call used: only ever a guess. The last TENANTS_MAX callers."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[Principal, Caller] = OrderedDict()

    def find(self, principal: Principal) -> Caller | None:
        return self._tenants.get(principal)

    def admitted(self, principal: Principal, caller: Caller) -> None:
        self._tenants[principal] = caller
        self._tenants.move_to_end(principal)
        if len(self._tenants) > TENANTS_MAX:
            self._tenants.popitem(last=False)

    def refused(self, principal: Principal) -> None:
        """Who was refused once will be again: the cache is not asked for nothing."""
        self._tenants.pop(principal, None)
