"""Changes of virtual keys over HTTP: update, block, unblock, another secret."""

from fastapi import APIRouter, Request, Response
from google.protobuf.field_mask_pb2 import FieldMask

from meshgate_chassis.errors import MeshError, invalid_field
from meshgate_edge.http.authentication import key_hash
from meshgate_edge.management.key_models import (
    KeyMembers,
    NamedKeyRequest,
    RegenerateKeyRequest,
    UpdateKeyRequest,
)
from meshgate_edge.management.key_records import generated_json, row_json, rules_paths, rules_record
from meshgate_edge.management.key_values import custom_key, hash_of, key_name, new_key
from meshgate_edge.management.keys import key_not_found
from meshgate_edge.management.management import LEDGER_TIMEOUT_S, Management, answered
from meshgate_protos.ledger.v1 import account_service_pb2 as pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as ledger_pb


class KeyChangeEndpoints:
    """What was changed counts from the next call on."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._parts = management.parts

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["keys"])
        router.add_api_route("/key/update", self.update, methods=["POST"])
        router.add_api_route("/key/block", self.block, methods=["POST"])
        router.add_api_route("/key/unblock", self.unblock, methods=["POST"])
        router.add_api_route("/key/regenerate", self.regenerate, methods=["POST"])
        router.add_api_route("/key/{key}/regenerate", self.regenerate_named, methods=["POST"])
        return router

    async def update(self, request: Request, body: UpdateKeyRequest) -> Response:
        """Changes what is given; null removes. `duration` counts from now."""
        changed_by = await self._management.admin(request)
        record, paths = await self._rules(body, hash_of(body.key))
        changed = await self._update(record, paths, changed_by)
        return answered(row_json(changed) | {"key": body.key}, body.not_enforced(), changed.key_hash)

    async def block(self, request: Request, body: NamedKeyRequest) -> Response:
        """Its next call is refused."""
        return await self._set_blocked(request, body.key, blocked=True)

    async def unblock(self, request: Request, body: NamedKeyRequest) -> Response:
        """It may call again."""
        return await self._set_blocked(request, body.key, blocked=False)

    async def regenerate(self, request: Request, body: RegenerateKeyRequest) -> Response:
        """Gives the key another secret; see /key/{key}/regenerate."""
        if body.key is None:
            raise invalid_field("key", "key is needed")
        return await self._regenerate(request, body.key, body)

    async def regenerate_named(
        self, request: Request, key: str, body: RegenerateKeyRequest | None = None
    ) -> Response:
        """Gives the key another secret. The old one is dead at once; rules, limits and spend stay."""
        return await self._regenerate(request, key, body or RegenerateKeyRequest())

    async def _regenerate(self, request: Request, key: str, body: RegenerateKeyRequest) -> Response:
        changed_by = await self._management.admin(request)
        if body.new_master_key is not None:
            raise invalid_field("new_master_key", "the master key is configured, not generated")
        old = hash_of(key)
        secret = new_key(self._parts.random_bytes) if body.new_key is None else custom_key(body.new_key)
        record, paths = await self._rules(body, old)
        try:
            answer = await self._management.accounts.regenerate_key(
                pb.RegenerateKeyRequest(
                    request_id=self._parts.new_request_id(),
                    key_hash=old,
                    new_key_hash=key_hash(secret),
                    new_key_name=key_name(secret),
                    key=record,
                    update_mask=FieldMask(paths=paths),
                    changed_by=changed_by,
                ),
                timeout_s=LEDGER_TIMEOUT_S,
            )
        except MeshError as error:
            raise key_not_found(error) from error
        return answered(generated_json(answer.key, secret), body.not_enforced(), answer.key.key_hash)

    async def _set_blocked(self, request: Request, key: str, *, blocked: bool) -> Response:
        changed_by = await self._management.admin(request)
        record = ledger_pb.Key(key_hash=hash_of(key), blocked=blocked)
        return answered(row_json(await self._update(record, ["blocked"], changed_by)))

    async def _rules(self, body: KeyMembers, wanted: str) -> tuple[ledger_pb.Key, list[str]]:
        """What is to change, and its mask. What is only kept is put over what was kept before."""
        record, paths = rules_record(body, self._parts.clock.now_ns()), rules_paths(body)
        record.key_hash = wanted
        if "settings_json" in paths:
            try:
                before = await self._parts.ledger.get_key(
                    ledger_pb.GetKeyRequest(key_hash=wanted), timeout_s=LEDGER_TIMEOUT_S
                )
            except MeshError as error:
                raise key_not_found(error) from error
            record.settings_json = body.settings_json(before.key.settings_json)
        return record, paths

    async def _update(self, record: ledger_pb.Key, paths: list[str], changed_by: str) -> ledger_pb.Key:
        try:
            answer = await self._management.accounts.update_key(
                pb.UpdateKeyRequest(
                    request_id=self._parts.new_request_id(),
                    key=record,
                    update_mask=FieldMask(paths=paths),
                    changed_by=changed_by,
                ),
                timeout_s=LEDGER_TIMEOUT_S,
            )
        except MeshError as error:
            raise key_not_found(error) from error
        return answer.key
