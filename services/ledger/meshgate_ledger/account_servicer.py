"""AccountService over the stores of management: converts, and decides nothing."""

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import invalid_field
from meshgate_ledger import convert as ledger_convert
from meshgate_ledger.database import Database
from meshgate_ledger.entities import convert, key_convert
from meshgate_ledger.entities.changes import Change
from meshgate_ledger.entities.creation import Creation, NewEntity
from meshgate_ledger.entities.entity_store import EntityStore
from meshgate_ledger.entities.member_store import MemberStore
from meshgate_ledger.entities.records import IDS_MAX, EntityFilter, EntityKind, KeyFilter
from meshgate_ledger.entities.text import ids_from, text_from
from meshgate_ledger.key_store import KeyStore, NewSecret
from meshgate_protos.ledger.v1 import account_service_pb2 as pb
from meshgate_protos.ledger.v1.account_service_mesh import AccountServiceServicer
from meshgate_protos.rpc import Call


class AccountServicer(AccountServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(self, entities: EntityStore, members: MemberStore, keys: KeyStore) -> None:
        self._entities = entities
        self._members = members
        self._keys = keys
        self._creation = Creation(entities, members, keys)

    async def create_entity(self, request: pb.CreateEntityRequest, call: Call) -> pb.CreateEntityResponse:
        entity = convert.entity_from(request.entity)
        change = _change(request.request_id, f"create {entity.kind}", request.changed_by)
        if len(request.members) > IDS_MAX:
            raise invalid_field("members", f"has more than {IDS_MAX} members")
        for member in request.members:
            owner = "team_id" if entity.kind is EntityKind.TEAM else "user_id"
            setattr(member, owner, entity.entity_id)
        key = key_convert.key_from(request.key) if request.HasField("key") else None
        members = [convert.member_from(member) for member in request.members]
        created = await self._creation.create(change, NewEntity(entity, members, key), call.remaining_s())
        return pb.CreateEntityResponse(
            entity=convert.entity_state_to(created.entity),
            members=map(convert.member_state_to, created.members),
            key=None if created.key is None else key_convert.key_to(created.key),
        )

    async def get_entity(self, request: pb.GetEntityRequest, call: Call) -> pb.GetEntityResponse:
        kind = convert.kind_from(request.kind)
        state = await self._entities.get(kind, text_from("entity_id", request.entity_id), call.remaining_s())
        return pb.GetEntityResponse(entity=convert.entity_state_to(state))

    async def update_entity(self, request: pb.UpdateEntityRequest, call: Call) -> pb.UpdateEntityResponse:
        asked = convert.entity_from(pb.Entity(kind=request.entity.kind, entity_id=request.entity.entity_id))
        state = await self._entities.update(
            _change(request.request_id, f"update {asked.kind}", request.changed_by),
            asked,
            convert.changing_from(
                request.entity, request.update_mask, convert.entity_to, convert.entity_from
            ),
            call.remaining_s(),
            allow_missing=request.allow_missing,
        )
        return pb.UpdateEntityResponse(entity=convert.entity_state_to(state))

    async def delete_entities(
        self, request: pb.DeleteEntitiesRequest, call: Call
    ) -> pb.DeleteEntitiesResponse:
        kind = convert.kind_from(request.kind)
        ids = convert.named_ids_from("entity_ids", request.entity_ids)
        change = _change(request.request_id, f"delete {kind}", request.changed_by)
        deleted = await self._entities.delete(change, kind, ids, call.remaining_s())
        return pb.DeleteEntitiesResponse(deleted_entity_ids=deleted)

    async def list_entities(self, request: pb.ListEntitiesRequest, call: Call) -> pb.ListEntitiesResponse:
        wanted = EntityFilter(
            kind=convert.kind_from(request.kind),
            entity_ids=ids_from("entity_ids", request.entity_ids, IDS_MAX),
            alias_contains=text_from("alias_contains", request.alias_contains),
            email_contains=text_from("email_contains", request.email_contains),
            role=text_from("role", request.role),
            organization_id=text_from("organization_id", request.organization_id),
            member_user_id=text_from("member_user_id", request.member_user_id),
        )
        page = convert.page_from(request.page, request.order, request.descending)
        states, total = await self._entities.page(wanted, page, call.remaining_s())
        return pb.ListEntitiesResponse(entities=map(convert.entity_state_to, states), total=total)

    async def put_team_members(
        self, request: pb.PutTeamMembersRequest, call: Call
    ) -> pb.PutTeamMembersResponse:
        team_id = convert.team_id_from(request.team_id)
        if not 1 <= len(request.members) <= IDS_MAX:
            raise invalid_field("member", f"1 to {IDS_MAX} members are needed")
        mask = request.update_mask
        if not mask.paths:
            mask.paths.extend(["role", "budget_id", "limits"])
        changing = {}
        for member in request.members:
            member.team_id = team_id
            user_id = convert.id_from("user_id", member.user_id)
            changing[user_id] = convert.changing_from(member, mask, convert.member_to, convert.member_from)
        states = await self._members.put(
            _change(request.request_id, "put members", request.changed_by),
            team_id,
            changing,
            call.remaining_s(),
            must_exist=request.must_exist,
        )
        return pb.PutTeamMembersResponse(members=map(convert.member_state_to, states))

    async def remove_team_members(
        self, request: pb.RemoveTeamMembersRequest, call: Call
    ) -> pb.RemoveTeamMembersResponse:
        removed = await self._members.remove(
            _change(request.request_id, "remove members", request.changed_by),
            text_from("team_id", request.team_id, required=True),
            convert.named_ids_from("user_ids", request.user_ids),
            call.remaining_s(),
        )
        return pb.RemoveTeamMembersResponse(removed_user_ids=removed)

    async def list_team_members(
        self, request: pb.ListTeamMembersRequest, call: Call
    ) -> pb.ListTeamMembersResponse:
        team_ids = ids_from("team_ids", request.team_ids, IDS_MAX)
        user_ids = ids_from("user_ids", request.user_ids, IDS_MAX)
        if not team_ids and not user_ids:
            raise invalid_field("team_ids", "team_ids or user_ids is needed")
        page = convert.page_from(request.page, pb.ORDER_ID, descending=False)
        states, total = await self._members.page(team_ids, user_ids, page, call.remaining_s())
        return pb.ListTeamMembersResponse(members=map(convert.member_state_to, states), total=total)

    async def update_key(self, request: pb.UpdateKeyRequest, call: Call) -> pb.UpdateKeyResponse:
        key_hash = ledger_convert.key_hash_from("key.key_hash", request.key.key_hash)
        state = await self._keys.update(
            _change(request.request_id, "update key", request.changed_by),
            key_hash,
            convert.changing_from(
                request.key, request.update_mask, key_convert.key_rules_to, key_convert.key_from
            ),
            call.remaining_s(),
        )
        return pb.UpdateKeyResponse(key=key_convert.key_to(state))

    async def regenerate_key(self, request: pb.RegenerateKeyRequest, call: Call) -> pb.RegenerateKeyResponse:
        secret = NewSecret(
            ledger_convert.key_hash_from("new_key_hash", request.new_key_hash),
            text_from("new_key_name", request.new_key_name),
        )
        state = await self._keys.regenerate(
            _change(request.request_id, "regenerate key", request.changed_by),
            ledger_convert.key_hash_from("key_hash", request.key_hash),
            secret,
            convert.changing_from(
                request.key, request.update_mask, key_convert.key_rules_to, key_convert.key_from
            ),
            call.remaining_s(),
        )
        return pb.RegenerateKeyResponse(key=key_convert.key_to(state))

    async def list_keys(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        wanted = KeyFilter(
            key_hashes=ids_from("key_hashes", request.key_hashes, IDS_MAX),
            user_ids=ids_from("user_ids", request.user_ids, IDS_MAX),
            team_ids=ids_from("team_ids", request.team_ids, IDS_MAX),
            organization_id=text_from("organization_id", request.organization_id),
            alias=text_from("alias", request.alias),
            alias_contains=text_from("alias_contains", request.alias_contains),
            with_alias=request.with_alias,
        )
        page = convert.page_from(request.page, request.order, request.descending)
        states, total = await self._keys.page(wanted, page, call.remaining_s())
        return pb.ListKeysResponse(keys=map(key_convert.key_to, states), total=total)


def account_servicer(database: Database, keys: KeyStore, clock: Clock) -> AccountServicer:
    """All stores of management share the changes of the keys'."""
    entities = EntityStore(database, clock, keys.changes, keys.defaults)
    return AccountServicer(entities, MemberStore(database, clock, keys.changes, keys.defaults), keys)


def _change(request_id: str, action: str, changed_by: str) -> Change:
    return Change(ledger_convert.request_id_from(request_id), action, text_from("changed_by", changed_by))
