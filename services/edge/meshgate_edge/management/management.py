"""What all endpoints of management stand on: who may, and the ledger's accounts behind a few words."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from fastapi import Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from meshgate_chassis.chat.json import dumps
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.call import Principal
from meshgate_edge.http.authentication import ADMIN_ONLY_MESSAGE, Authenticator
from meshgate_edge.http.messages import headers_of
from meshgate_edge.management.callers import ADMIN_ROLE, SEES_ALL, account_of
from meshgate_edge.management.entity_rules import EntityRules
from meshgate_edge.management.key_rules import KeyRules
from meshgate_edge.management.key_values import RandomBytes
from meshgate_edge.management.managed_body import NOT_ENFORCED_HEADER
from meshgate_protos.ledger.v1 import account_service_pb2 as pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb
from meshgate_protos.ledger.v1.account_service_mesh import AccountServiceClient
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

LEDGER_TIMEOUT_S = 10.0
BUDGET_TIMEOUT_S = 30.0  # a budget may be used by thousands of keys
PAGE_SIZE_MAX = 1_000
PAGES_MAX = 20  # of members, which LiteLLM answers whole
ADMIN_ID = "default_user_id"  # LiteLLM's name for who holds the master key

log = structlog.get_logger("meshgate.edge.management")


@dataclass(frozen=True, slots=True)
class ManagementParts:
    """What the endpoints stand on. `random_bytes` must be fit for secrets."""

    ledger: LedgerServiceClient
    accounts: AccountServiceClient
    authenticator: Authenticator
    clock: Clock
    random_bytes: RandomBytes
    new_request_id: Callable[[], str]
    key_rules: KeyRules
    entity_rules: EntityRules


class Management:
    """With a master key, its holder manages, and users whose role is proxy_admin."""

    def __init__(self, parts: ManagementParts) -> None:
        self.parts = parts
        self.accounts = parts.accounts

    async def admin(self, request: Request) -> str:
        """Who manages, as changes name them. Raises UNAUTHENTICATED/ADMIN_ONLY and as authentication."""
        headers = headers_of(request.scope)
        principal = self.parts.authenticator.authenticate(headers)
        if principal.kind != "virtual_key":
            self.parts.authenticator.require_admin(headers)
            return ADMIN_ID
        account = await self.account(request, principal)
        if account.user_role == ADMIN_ROLE:
            return account.user_id
        raise MeshError(Code.UNAUTHENTICATED, "ADMIN_ONLY", ADMIN_ONLY_MESSAGE, domain="gateway.meshgate")

    def principal(self, request: Request) -> Principal:
        """Who calls; the ledger was not asked."""
        return self.parts.authenticator.authenticate(headers_of(request.scope))

    async def account(self, request: Request, principal: Principal) -> ledger_pb.Account:
        """What the ledger knows of a caller. Raises for a denial, also of this path to this key."""
        return await account_of(self.parts.ledger, request, principal)

    async def known(self, request: Request) -> None:
        """Raises for who shows no valid credential, or a key that may not call this path."""
        principal = self.principal(request)
        if principal.kind == "virtual_key":
            await self.account(request, principal)

    async def reader(self, request: Request) -> None:
        """Of everything. Raises UNAUTHENTICATED/ADMIN_ONLY for who may see their own only."""
        if await self.viewer(request) is not None:
            raise MeshError(Code.UNAUTHENTICATED, "ADMIN_ONLY", ADMIN_ONLY_MESSAGE, domain="gateway.meshgate")

    async def viewer(self, request: Request) -> ledger_pb.Account | None:
        """Who may look at what is their own; None: at everything."""
        principal = self.principal(request)
        if principal.kind != "virtual_key":
            self.parts.authenticator.require_admin(headers_of(request.scope))
            return None
        account = await self.account(request, principal)
        return None if account.user_role in SEES_ALL else account

    async def create(
        self,
        entity: pb.Entity,
        changed_by: str,
        members: Sequence[pb.TeamMember] = (),
        key: ledger_pb.Key | None = None,
    ) -> pb.CreateEntityResponse:
        """All of it, or nothing."""
        return await self.accounts.create_entity(
            pb.CreateEntityRequest(
                request_id=self.parts.new_request_id(),
                entity=entity,
                changed_by=changed_by,
                members=members,
                key=key,
            ),
            timeout_s=LEDGER_TIMEOUT_S,
        )

    async def get(self, kind: "pb.EntityKind.ValueType", entity_id: str) -> pb.Entity:
        """Raises NOT_FOUND/ENTITY_NOT_FOUND."""
        answer = await self.accounts.get_entity(
            pb.GetEntityRequest(kind=kind, entity_id=entity_id), timeout_s=LEDGER_TIMEOUT_S
        )
        return answer.entity

    async def find(self, kind: "pb.EntityKind.ValueType", entity_id: str) -> pb.Entity | None:
        """None when there is none."""
        found, _ = await self.entities(pb.ListEntitiesRequest(kind=kind, entity_ids=[entity_id]))
        return found[0] if found else None

    async def update(
        self, entity: pb.Entity, paths: Iterable[str], changed_by: str, *, allow_missing: bool = False
    ) -> pb.Entity:
        answer = await self.accounts.update_entity(
            pb.UpdateEntityRequest(
                request_id=self.parts.new_request_id(),
                entity=entity,
                update_mask=FieldMask(paths=paths),
                allow_missing=allow_missing,
                changed_by=changed_by,
            ),
            timeout_s=BUDGET_TIMEOUT_S,
        )
        return answer.entity

    async def delete(
        self, kind: "pb.EntityKind.ValueType", entity_ids: Sequence[str], changed_by: str
    ) -> list[str]:
        answer = await self.accounts.delete_entities(
            pb.DeleteEntitiesRequest(
                request_id=self.parts.new_request_id(),
                kind=kind,
                entity_ids=entity_ids,
                changed_by=changed_by,
            ),
            timeout_s=BUDGET_TIMEOUT_S,
        )
        return list(answer.deleted_entity_ids)

    async def entities(self, asked: pb.ListEntitiesRequest) -> tuple[list[pb.Entity], int]:
        """A page, and how many there are on all."""
        answer = await self.accounts.list_entities(asked, timeout_s=LEDGER_TIMEOUT_S)
        return list(answer.entities), answer.total

    async def users_with(self, email: str) -> list[str]:
        """The ids of all users with this address, whatever its case."""
        asked = pb.ListEntitiesRequest(
            kind=pb.ENTITY_KIND_USER, email_contains=email, page=pb.Page(size=PAGE_SIZE_MAX)
        )
        found, _ = await self.entities(asked)
        return [user.entity_id for user in found if user.email.lower() == email.lower()]

    async def members(
        self, team_ids: Sequence[str] = (), user_ids: Sequence[str] = ()
    ) -> list[pb.TeamMember]:
        """All members of these teams, or all memberships of these users: 1,000 of either, 20,000 answers."""
        found: list[pb.TeamMember] = []
        if not team_ids and not user_ids:
            return found
        asked = pb.ListTeamMembersRequest(team_ids=team_ids, user_ids=user_ids)
        for number in range(1, PAGES_MAX + 1):
            asked.page.CopyFrom(pb.Page(page=number, size=PAGE_SIZE_MAX))
            answer = await self.accounts.list_team_members(asked, timeout_s=LEDGER_TIMEOUT_S)
            found += answer.members
            if not answer.members or len(found) >= answer.total:
                break
        return found

    async def keys(self, asked: pb.ListKeysRequest) -> tuple[list[ledger_pb.Key], int]:
        """A page, and how many there are on all."""
        answer = await self.accounts.list_keys(asked, timeout_s=LEDGER_TIMEOUT_S)
        return list(answer.keys), answer.total


def answered(content: object, not_enforced: Sequence[str] = (), subject: str = "") -> Response:
    """JSON whose amounts are exact; FastAPI's own would make floats of them. `subject`: for the log."""
    if not not_enforced:
        return Response(dumps(content), media_type="application/json")
    log.warning("members are not enforced yet", subject=subject, members=tuple(not_enforced))
    headers = {NOT_ENFORCED_HEADER: ", ".join(not_enforced)}
    return Response(dumps(content), headers=headers, media_type="application/json")


def page_count(total: int, size: int) -> int:
    """At least one."""
    return max(1, -(-total // size))


def not_own() -> MeshError:
    """The error for who asks about others."""
    return MeshError(
        Code.PERMISSION_DENIED, "KEY_NOT_OWN", "a key may only be shown to itself and to the admin"
    )
