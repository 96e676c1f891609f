"""Follows the ledger's notices of changed keys and accounts, so that what is remembered of them is forgotten.

A stream that breaks may have lost notices: what is remembered is in doubt until the ledger, asked caller by
caller, confirms it. While the ledger is away nothing can change, and what is remembered stays as it is.
"""

import asyncio
from typing import Final

import structlog

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import MeshError
from meshgate_edge.call import Principal
from meshgate_edge.money.account_memory import AccountMemory
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

log = structlog.get_logger("meshgate.edge.accounts")

STREAM_S: Final = 3_600.0
RETRY_S: Final = 0.5
CONFIRM_TIMEOUT_S: Final = 2.0
CONFIRM_BATCH: Final = 16  # asked at the same time


class AccountFollower:
    """One task; see `run`."""

    def __init__(self, ledger: LedgerServiceClient, memory: AccountMemory, clock: Clock) -> None:
        self._ledger = ledger
        self._memory = memory
        self._clock = clock
        self._followed = False  # before the first stream there is nothing to have missed

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except MeshError as error:
                log.debug("changes are not heard of", reason=error.reason)
            await self._clock.sleep(RETRY_S)

    async def _follow(self) -> None:
        stream = self._ledger.watch_accounts(pb.WatchAccountsRequest(), timeout_s=STREAM_S)
        first = True
        try:
            async for change in stream:
                self._memory.changed(change.account_ids)
                if change.all or (first and self._followed):
                    self._memory.doubt()
                first, self._followed = False, True
                await self._confirm()
        finally:
            await stream.aclose()

    async def _confirm(self) -> None:
        while callers := self._memory.in_doubt(CONFIRM_BATCH):
            await asyncio.gather(*(self._ask(principal) for principal in callers))

    async def _ask(self, principal: Principal) -> None:
        request = pb.AuthenticateKeyRequest(principal=principal_message(principal))
        answer = await self._ledger.authenticate_key(request, timeout_s=CONFIRM_TIMEOUT_S)
        if answer.decision == pb.DECISION_GRANTED:
            self._memory.confirmed(principal, answer.account)
        else:
            self._memory.refused(principal)
