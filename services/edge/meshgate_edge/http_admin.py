"""All endpoints that manage whoever calls and pays, as one router."""

from fastapi import APIRouter

from meshgate_edge.http_budgets import BudgetEndpoints
from meshgate_edge.http_customers import CustomerEndpoints
from meshgate_edge.http_key_changes import KeyChangeEndpoints
from meshgate_edge.http_key_lists import KeyListEndpoints
from meshgate_edge.http_keys import KeyEndpoints
from meshgate_edge.http_organizations import OrganizationEndpoints
from meshgate_edge.http_tags import TagEndpoints
from meshgate_edge.http_team_members import TeamMemberEndpoints
from meshgate_edge.http_teams import TeamEndpoints
from meshgate_edge.http_users import UserEndpoints
from meshgate_edge.management import Management, ManagementParts


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
