"""Who may see which spend: the admin and users with such a role all, any other key what was spent with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import Request

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.http.authentication import Authenticator
from meshgate_edge.http.messages import headers_of
from meshgate_edge.management.callers import SEES_ALL, account_of
from meshgate_edge.management.key_values import hash_of
from meshgate_edge.reports.query import Days
from meshgate_edge.tokens.counter import TokenCounter
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.ledger.v1 import report_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from meshgate_protos.ledger.v1.report_service_mesh import ReportServiceClient

LEDGER_TIMEOUT_S = 10.0
REPORT_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class ReportParts:
    """What the endpoints of reports stand on."""

    reports: ReportServiceClient
    ledger: LedgerServiceClient
    authenticator: Authenticator
    counter: TokenCounter
    clock: Clock
    new_request_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Viewer:
    """`key_hash`: the one whose spend may be seen; None: everybody's."""

    key_hash: str | None = None

    def filter(self, days: Days | None = None, api_key: str = "", **values: Sequence[str]) -> pb.SpendFilter:
        """What may be seen of what is asked for; `api_key`: a key or its hash.

        Raises PERMISSION_DENIED/KEY_NOT_OWN for another's key.
        """
        wanted = pb.SpendFilter()
        for name, given in values.items():
            getattr(wanted, name).extend(value for value in given if value)
        if days is not None:
            wanted.start_day, wanted.end_day = days.first.isoformat(), days.last.isoformat()
        asked = hash_of(api_key) if api_key else None
        if self.key_hash is not None and asked not in (None, self.key_hash):
            raise MeshError(
                Code.PERMISSION_DENIED, "KEY_NOT_OWN", "a key may only be shown to itself and to the admin"
            )
        if (shown := self.key_hash or asked) is not None:
            wanted.key_hashes.append(shown)
        return wanted


class ReportAccess:
    """Asks the ledger on behalf of who may."""

    def __init__(self, parts: ReportParts) -> None:
        self.parts = parts
        self.reports = parts.reports

    async def viewer(self, request: Request) -> Viewer:
        """Raises UNAUTHENTICATED for who is nobody, and for who may not manage in open mode."""
        headers = headers_of(request.scope)
        principal = self.parts.authenticator.authenticate(headers)
        if principal.kind != "virtual_key":
            self.parts.authenticator.require_admin(headers)
            return Viewer()
        account = await account_of(self.parts.ledger, request, principal)
        return Viewer(None if account.user_role in SEES_ALL else principal.key_hash)

    async def key(self, key_hash: str) -> ledger_pb.Key:
        """A key with its limits. Raises NOT_FOUND/KEY_UNKNOWN."""
        answer = await self.parts.ledger.get_key(
            ledger_pb.GetKeyRequest(key_hash=key_hash), timeout_s=LEDGER_TIMEOUT_S
        )
        return answer.key

    def admin(self, request: Request) -> None:
        """Raises UNAUTHENTICATED/ADMIN_ONLY."""
        self.parts.authenticator.require_admin(headers_of(request.scope))

    def now_ns(self) -> int:
        return self.parts.clock.now_ns()

    async def sums(
        self,
        wanted: pb.SpendFilter,
        group_by: "Sequence[pb.Dimension.ValueType]",
        limit: int = 1_000,
        *,
        by_day: bool = False,
        whole: bool = False,
    ) -> list[pb.SpendRow]:
        """Most spent first, or by day, the oldest first. `whole`: raises RESOURCE_EXHAUSTED/REPORT_TOO_LARGE
        rather than leave some out."""
        order = pb.SummarizeSpendRequest.ORDER_DAY if by_day else pb.SummarizeSpendRequest.ORDER_SPEND
        answer = await self.reports.summarize_spend(
            pb.SummarizeSpendRequest(filter=wanted, group_by=group_by, limit=limit, order=order),
            timeout_s=REPORT_TIMEOUT_S,
        )
        if whole and answer.truncated:
            message = f"The report has more than {limit} rows: ask for a shorter time, or filter it."
            raise MeshError(Code.RESOURCE_EXHAUSTED, "REPORT_TOO_LARGE", message, domain="gateway.meshgate")
        return list(answer.rows)

    async def activity(
        self, wanted: pb.SpendFilter, entity: "pb.Dimension.ValueType", page: int, page_days: int
    ) -> pb.ListDailyActivityResponse:
        """A page of days, the newest first."""
        return await self.reports.list_daily_activity(
            pb.ListDailyActivityRequest(filter=wanted, entity=entity, page=page, page_days=page_days),
            timeout_s=REPORT_TIMEOUT_S,
        )
