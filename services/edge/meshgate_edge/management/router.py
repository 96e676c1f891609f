"""All endpoints that manage whoever calls and pays, as one router."""

from fastapi import APIRouter

from meshgate_edge.management.budgets import BudgetEndpoints
from meshgate_edge.management.customers import CustomerEndpoints
from meshgate_edge.management.key_changes import KeyChangeEndpoints
from meshgate_edge.management.key_lists import KeyListEndpoints
from meshgate_edge.management.keys import KeyEndpoints
from meshgate_edge.management.management import Management, ManagementParts
from meshgate_edge.management.organizations import OrganizationEndpoints
from meshgate_edge.management.tags import TagEndpoints
from meshgate_edge.management.team_members import TeamMemberEndpoints
from meshgate_edge.management.teams import TeamEndpoints
from meshgate_edge.management.users import UserEndpoints


class ManagementEndpoints:
    """Keys, users, teams, customers, budgets, organizations and tags."""

    def __init__(self, parts: ManagementParts) -> None:
        management = Management(parts)
        self._endpoints = (
            KeyEndpoints(management),
            KeyChangeEndpoints(management),
            KeyListEndpoints(management),
            UserEndpoints(management),
            TeamEndpoints(management),
            TeamMemberEndpoints(management),
            CustomerEndpoints(management),
            BudgetEndpoints(management),
            OrganizationEndpoints(management),
            TagEndpoints(management),
        )

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter()
        for endpoints in self._endpoints:
            router.include_router(endpoints.router())
        return router
