"""GET /budget: how much of the gateway's budget is left, as one of the reference dashboards asks for it."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from meshgate_edge.management.key_values import nanos_to_usd
from meshgate_edge.management.management import answered
from meshgate_edge.reports.access import REPORT_TIMEOUT_S, ReportAccess, Viewer
from meshgate_edge.reports.query import Days
from meshgate_protos.ledger.v1 import report_service_pb2 as pb


class BudgetStateEndpoint:
    """A virtual key sees its own budget and spend."""

    def __init__(self, access: ReportAccess) -> None:
        self._access = access

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["spend"])
        router.add_api_route("/budget", self.show, methods=["GET"])
        return router

    async def show(self, request: Request) -> Response:
        """Null where there is no budget. Days and months are UTC."""
        viewer = await self._access.viewer(request)
        limit, used = await self._budget(viewer)
        today = datetime.fromtimestamp(self._access.now_ns() // 1_000_000_000, UTC).date()
        return answered(
            {
                "remaining_budget": None if limit is None else nanos_to_usd(max(0, limit - used)),
                "budget_limit": None if limit is None else nanos_to_usd(limit),
                "spend_today": await self._spent(viewer, Days(today, today)),
                "spend_this_month": await self._spent(viewer, Days(today.replace(day=1), today)),
                "alerts_enabled": False,  # nobody is told yet
            }
        )

    async def _budget(self, viewer: Viewer) -> tuple[int | None, int]:
        """Maximum and what is used of it."""
        if viewer.key_hash is not None:
            key = await self._access.key(viewer.key_hash)
            limits = key.effective_limits
            has_budget = limits.HasField("max_budget_usd_nanos")
            return limits.max_budget_usd_nanos if has_budget else None, key.usage.spend_usd_nanos
        found = await self._access.reports.get_total_spend(
            pb.GetTotalSpendRequest(), timeout_s=REPORT_TIMEOUT_S
        )
        has_budget = found.HasField("max_budget_usd_nanos")
        return found.max_budget_usd_nanos if has_budget else None, found.budget_spend_usd_nanos

    async def _spent(self, viewer: Viewer, days: Days) -> object:
        rows = await self._access.sums(viewer.filter(days), [])
        return nanos_to_usd(sum(row.sums.spend_usd_nanos for row in rows))
