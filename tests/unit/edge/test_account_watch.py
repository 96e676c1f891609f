"""The edge follows the ledger's notices, and what it remembers is never more than the ledger confirms."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from meshgate_chassis.errors import MeshError
from meshgate_edge.call import Principal
from meshgate_edge.money.account_memory import AccountMemory, MemoryLimits
from meshgate_edge.money.account_watch import AccountFollower
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod
from tests.support.clock import ManualClock
from tests.support.eventually import eventually
from tests.unit.edge.closing_stand_in import away

KEPT, GONE = Principal("virtual_key", "a" * 64), Principal("virtual_key", "b" * 64)


class Notices:
    """Implements meshgate_protos.rpc.Channel: streams of notices as told, and who is still known."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[pb.WatchAccountsResponse | MeshError] = asyncio.Queue()
        self.known = {KEPT.key_hash}
        self.streams = 0

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            assert timeout_s is not None
            key_hash = request.principal.key_hash
            if key_hash not in self.known:
                return pb.AuthenticateKeyResponse(decision=pb.DECISION_DENIED)
            account = pb.Account(key_hash=key_hash, models=["gpt"])
            return pb.AuthenticateKeyResponse(decision=pb.DECISION_GRANTED, account=account)

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> AsyncGenerator[Any, None]:
            assert timeout_s is not None
            self.streams += 1
            while True:
                notice = await self.waiting.get()
                if isinstance(notice, MeshError):
                    raise notice
                yield notice

        return call


async def test_changes_are_forgotten_and_lost_notices_are_made_up_for() -> None:
    """A change by name; after a break whoever the ledger does not confirm; others go on."""
    clock, ledger = ManualClock(), Notices()
    memory = AccountMemory(MemoryLimits(), clock)
    for principal in (KEPT, GONE):
        memory.admitted(principal, pb.Account(key_hash=principal.key_hash), "gpt", "gpt")
    memory.admitted(
        Principal("virtual_key", "c" * 64), pb.Account(key_hash="c" * 64, user_id="u"), "gpt", "gpt"
    )
    task = asyncio.create_task(AccountFollower(LedgerServiceClient(ledger), memory, clock).run())

    ledger.waiting.put_nowait(pb.WatchAccountsResponse())
    ledger.waiting.put_nowait(pb.WatchAccountsResponse(account_ids=["user:u"]))
    await eventually(lambda: memory.find(Principal("virtual_key", "c" * 64)) is None, "it is forgotten")
    assert memory.find(GONE) is not None

    ledger.waiting.put_nowait(away())
    await eventually(lambda: ledger.streams > 1, "another stream")
    assert memory.find(GONE) is not None, "while nobody can be asked nothing has changed"
    ledger.waiting.put_nowait(pb.WatchAccountsResponse())
    await eventually(lambda: memory.find(GONE) is None and memory.find(KEPT) is not None, "confirmed or not")

    ledger.known.clear()
    ledger.waiting.put_nowait(pb.WatchAccountsResponse(all=True))
    await eventually(lambda: memory.find(KEPT) is None, "everything may have changed")
    task.cancel()
