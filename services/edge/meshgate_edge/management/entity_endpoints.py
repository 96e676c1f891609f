"""What the endpoints of all kinds of entities have in common: make and change by a body."""

from collections.abc import Sequence

from meshgate_chassis.errors import Code, MeshError
from meshgate_edge.management.entity_records import entity_of
from meshgate_edge.management.managed_body import ManagedBody
from meshgate_edge.management.management import Management
from meshgate_protos.ledger.v1 import account_service_pb2 as pb

SETTINGS = "settings_json"


class EntityBodies:
    """Makes and changes entities of one kind."""

    def __init__(self, management: Management, kind: "pb.EntityKind.ValueType") -> None:
        self._management = management
        self._kind = kind

    async def create(self, body: ManagedBody, entity_id: str, changed_by: str) -> pb.Entity:
        """Raises ALREADY_EXISTS/ENTITY_EXISTS, `invalid_field`."""
        return (await self._management.create(self.new(body, entity_id), changed_by)).entity

    def new(self, body: ManagedBody, entity_id: str) -> pb.Entity:
        """What a body asks for. Raises `invalid_field`."""
        entity, _ = entity_of(body, self._kind, entity_id)
        entity.settings_json = body.settings_json()
        return entity

    async def update(
        self, body: ManagedBody, entity_id: str, changed_by: str, extra: Sequence[str] = ()
    ) -> pb.Entity:
        """Changes what is given. Raises NOT_FOUND/ENTITY_NOT_FOUND, `invalid_field`."""
        entity, paths = entity_of(body, self._kind, entity_id)
        if body.kept():
            before = await self._management.get(self._kind, entity_id)
            entity.settings_json = body.settings_json(before.settings_json)
            paths.append(SETTINGS)
        return await self._management.update(entity, [*paths, *extra], changed_by)

    async def one(self, entity_id: str | None, name: str) -> pb.Entity:
        """Raises NOT_FOUND/ENTITY_NOT_FOUND, also when none is named."""
        if not entity_id:
            raise MeshError(Code.NOT_FOUND, "ENTITY_NOT_FOUND", f"{name} is needed")
        return await self._management.get(self._kind, entity_id)
