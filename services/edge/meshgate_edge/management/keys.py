"""Management of virtual keys over HTTP: make, show, delete.

Invariant: a secret leaves once, in the answer that made it; the ledger only ever sees its hash.
"""

from typing import Any

from fastapi import APIRouter, Query, Request, Response

from meshgate_chassis.chat.json import loads_object
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.management.key_models import DeleteKeysRequest, GenerateKeyRequest, NamedKeysRequest
from meshgate_edge.management.key_records import (
    account_record,
    generated_json,
    info_json,
    new_record,
    row_json,
)
from meshgate_edge.management.key_values import custom_key, hash_of, new_key
from meshgate_edge.management.management import LEDGER_TIMEOUT_S, PAGE_SIZE_MAX, Management, answered, not_own
from meshgate_protos.ledger.v1 import account_service_pb2 as accounts_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb

KEY_CHARACTERS_MAX = 512


class KeyEndpoints:
    """Anyone may look at the key they call with."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._parts = management.parts

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["keys"])
        router.add_api_route("/key/generate", self.generate, methods=["POST"])
        router.add_api_route("/key/service-account/generate", self.generate_for_service, methods=["POST"])
        router.add_api_route("/key/info", self.info, methods=["GET"])
        router.add_api_route("/key/info", self.info_of_body, methods=["POST"])
        router.add_api_route("/v2/key/info", self.info_of_many, methods=["POST"])
        router.add_api_route("/key/delete", self.delete, methods=["POST"])
        return router

    async def generate(self, request: Request, body: GenerateKeyRequest | None = None) -> Response:
        """Makes a key. Its secret is in this answer and nowhere else. Limits that were asked for and that
        nothing keeps yet are named in the header x-meshgate-not-enforced."""
        return await self._generate(await self._management.admin(request), body or GenerateKeyRequest())

    async def generate_for_service(self, request: Request, body: GenerateKeyRequest) -> Response:
        """A key of a team, and of no user."""
        changed_by = await self._management.admin(request)
        if not body.team_id:
            raise invalid_field("team_id", "team_id is needed")
        await self._management.get(accounts_pb.ENTITY_KIND_TEAM, body.team_id)
        if body.user_id:
            raise invalid_field("user_id", "a service account has no user")
        return await self._generate(changed_by, body)

    async def info(self, request: Request, key: str | None = Query(None)) -> Response:
        """A key by itself or its hash; without one the caller's own. A JSON body with `key` works as well."""
        if key is None:
            key = _key_in(await request.body())
        return await self._info(request, key)

    async def info_of_body(self, request: Request) -> Response:
        """As GET, with the key in a JSON body: {"key": "sk-..."}."""
        return await self._info(request, _key_in(await request.body()))

    async def info_of_many(self, request: Request, body: NamedKeysRequest) -> Response:
        """Several keys; those that do not exist are left out."""
        await self._management.reader(request)
        hashes = [hash_of(key) for key in body.keys]
        found: list[pb.Key] = []
        if hashes:
            page = accounts_pb.Page(size=PAGE_SIZE_MAX)
            found, _ = await self._management.keys(accounts_pb.ListKeysRequest(page=page, key_hashes=hashes))
        return answered({"key": body.keys, "info": [row_json(key) for key in found]})

    async def delete(self, request: Request, body: DeleteKeysRequest) -> Response:
        """Keys stop working at once; what they spent stays on the books."""
        changed_by = await self._management.admin(request)
        keys = [*(body.keys or ()), *((body.key,) if body.key is not None else ())]
        aliases = body.key_aliases or []
        if not keys and not aliases:
            raise invalid_field("keys", "keys, key or key_aliases is needed")
        by_hash = {hash_of(key): key for key in keys}
        try:
            answer = await self._parts.ledger.delete_keys(
                pb.DeleteKeysRequest(
                    request_id=self._parts.new_request_id(),
                    key_hashes=by_hash,
                    key_aliases=aliases,
                    changed_by=changed_by,
                ),
                timeout_s=LEDGER_TIMEOUT_S,
            )
        except MeshError as error:
            raise key_not_found(error) from error
        deleted = [by_hash[key_hash] for key_hash in answer.deleted_key_hashes if key_hash in by_hash]
        return answered({"deleted_keys": [*deleted, *answer.deleted_key_aliases]})

    async def _generate(self, changed_by: str, body: GenerateKeyRequest) -> Response:
        asked = self._parts.key_rules.applied(body)
        self._parts.key_rules.check(asked)
        key = new_key(self._parts.random_bytes) if asked.key is None else custom_key(asked.key)
        record = new_record(asked, key, self._parts.clock.now_ns())
        created = await self._parts.ledger.create_key(
            pb.CreateKeyRequest(request_id=self._parts.new_request_id(), key=record, changed_by=changed_by),
            timeout_s=LEDGER_TIMEOUT_S,
        )
        return answered(generated_json(created.key, key), asked.not_enforced(), record.key_hash)

    async def _info(self, request: Request, asked: str | None) -> Response:
        principal = self._management.principal(request)
        account = await self._management.account(request, principal)
        now_ns = self._parts.clock.now_ns()
        wanted = principal.key_hash if asked is None else hash_of(asked)
        if wanted == principal.key_hash and principal.kind != "virtual_key":
            record = account_record(account, principal.key_hash)
            return answered(info_json(record, asked or record.key_hash, now_ns))
        if wanted != principal.key_hash and await self._management.viewer(request) is not None:
            raise not_own()
        try:
            answer = await self._parts.ledger.get_key(
                pb.GetKeyRequest(key_hash=wanted), timeout_s=LEDGER_TIMEOUT_S
            )
        except MeshError as error:
            raise key_not_found(error) from error
        return answered(info_json(answer.key, asked or wanted, now_ns))


def key_not_found(error: MeshError) -> MeshError:
    """A key that was asked for is a 404; a key that was shown would be a 401."""
    if error.reason != "KEY_UNKNOWN":
        return error
    return MeshError(Code.NOT_FOUND, "KEY_NOT_FOUND", "Key not found in database")


def _key_in(body: bytes) -> str | None:
    """`key` of a JSON body of whatever content type, because curl -d sends another one."""
    if not body.strip():
        return None
    key: Any = loads_object(body).get("key")
    if key is None:
        return None
    if type(key) is not str or not 1 <= len(key) <= KEY_CHARACTERS_MAX:
        raise invalid_field("key", f"key must be a string of 1 to {KEY_CHARACTERS_MAX} characters")
    return key
