"""The ledger as a channel, for closings, top-ups and leases: answers as told, and remembers."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshgate_chassis.errors import Code, MeshError
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.rpc import Request, Response, StreamCall, StreamMethod, UnaryCall, UnaryMethod

CHARGED = 42


@dataclass
class ClosingStandIn:
    """Implements meshgate_protos.rpc.Channel. `errors`: for whole calls, the next first; None: no error.
    `refused`: request_id -> errors of its next closings. `gate`: closings wait until it is set."""

    errors: list[MeshError | None] = field(default_factory=list)
    refused: dict[str, list[MeshError]] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[Sequence[str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    leases: list[pb.RenewLeaseRequest] = field(default_factory=list)
    top_ups: list[pb.TopUpSpendRequest] = field(default_factory=list)
    granted: list[pb.TopUpSpendResponse | MeshError] = field(default_factory=list)
    under_way: int = 0
    under_way_most: int = 0

    def unary(self, method: UnaryMethod[Request, Response]) -> UnaryCall[Request, Response]:
        answer: Any = getattr(self, f"_{method.path.rpartition('/')[2]}", None)

        async def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> Any:
            assert timeout_s is not None, "every call has a deadline"
            return await answer(request)

        return call

    def stream(self, method: StreamMethod[Request, Response]) -> StreamCall[Request, Response]:
        def call(
            request: Any, *, timeout_s: float | None = None, metadata: Mapping[str, str] | None = None
        ) -> AsyncGenerator[Any, None]:
            raise NotImplementedError

        return call

    async def _CloseSpends(self, request: pb.CloseSpendsRequest) -> pb.CloseSpendsResponse:
        ids = [getattr(item, item.WhichOneof("close") or "").request_id for item in request.items]
        self.batches.append(ids)
        self.under_way += 1
        self.under_way_most = max(self.under_way_most, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        self._fail()
        return pb.CloseSpendsResponse(results=[self._close(item) for item in request.items])

    async def _TopUpSpend(self, request: pb.TopUpSpendRequest) -> pb.TopUpSpendResponse:
        self.top_ups.append(request)
        await self.gate.wait()
        if not self.granted:
            return pb.TopUpSpendResponse(covered_output_tokens=request.output_tokens)
        answer = self.granted.pop(0)
        if isinstance(answer, MeshError):
            raise answer
        return answer

    async def _RenewLease(self, request: pb.RenewLeaseRequest) -> pb.RenewLeaseResponse:
        self.leases.append(request)
        self._fail()
        response = pb.RenewLeaseResponse()
        response.lease_duration.FromMilliseconds(6_000)
        return response

    def _fail(self) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def _close(self, item: pb.CloseSpend) -> pb.CloseSpendResult:
        request_id = getattr(item, item.WhichOneof("close") or "").request_id
        errors = self.refused.get(request_id)
        if errors:
            error = errors.pop(0)
            told = pb.CloseSpendError(code=error.code.value, reason=error.reason, message=error.message)
            return pb.CloseSpendResult(error=told)
        self.closed.append(request_id)
        if item.HasField("void"):
            return pb.CloseSpendResult(voided=pb.VoidSpendResponse())
        return pb.CloseSpendResult(settled=pb.SettleSpendResponse(charged_usd_nanos=CHARGED))


def away() -> MeshError:
    """The ledger cannot be reached."""
    return MeshError(Code.UNAVAILABLE, "SERVICE_UNREACHABLE", "away")
