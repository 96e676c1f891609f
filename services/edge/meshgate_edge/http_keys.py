"""Management of virtual keys over HTTP: /key/generate, /key/info, /key/delete.

Invariant: a secret leaves once, in the answer that made it; the ledger only ever sees its hash.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import APIRouter, Query, Request, Response

from meshgate_chassis.chat.json import JsonObject, loads_object
from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_edge.authentication import Authenticator
from meshgate_edge.call import Principal
from meshgate_edge.denials import denied
from meshgate_edge.http_key_models import DeleteKeysRequest, GenerateKeyRequest
from meshgate_edge.http_key_records import account_record, generated_json, info_json, new_record
from meshgate_edge.http_messages import headers_of
from meshgate_edge.keys import RandomBytes, custom_key, hash_of, new_key
from meshgate_edge.principal import principal_message
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient

LEDGER_TIMEOUT_S = 10.0
KEY_CHARACTERS_MAX = 512
NOT_ENFORCED_HEADER = "x-meshgate-not-enforced"

log = structlog.get_logger("meshgate.edge.keys")


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What the endpoints stand on. `random_bytes` must be fit for secrets."""

    ledger: LedgerServiceClient
    authenticator: Authenticator
    clock: Clock
    random_bytes: RandomBytes
    new_request_id: Callable[[], str]


class KeyEndpoints:
    """With a master key, only its holder manages; anyone may look at the key they call with."""

    def __init__(self, parts: KeyParts) -> None:
        self._parts = parts

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["keys"])
        router.add_api_route("/key/generate", self.generate, methods=["POST"])
        router.add_api_route("/key/info", self.info, methods=["GET"])
        router.add_api_route("/key/info", self.info_of_body, methods=["POST"])
        router.add_api_route("/key/delete", self.delete, methods=["POST"])
        return router

    async def generate(
        self, request: Request, response: Response, body: GenerateKeyRequest | None = None
    ) -> JsonObject:
        """Makes a key. Its secret is in this answer and nowhere else. Limits that were asked for and that
        nothing keeps yet are named in the header x-meshgate-not-enforced."""
        self._parts.authenticator.require_admin(headers_of(request.scope))
        asked = body or GenerateKeyRequest()
        key = new_key(self._parts.random_bytes) if asked.key is None else custom_key(asked.key)
        record = new_record(asked, key, self._parts.clock.now_ns())
        created = await self._parts.ledger.create_key(
            pb.CreateKeyRequest(request_id=self._parts.new_request_id(), key=record),
            timeout_s=LEDGER_TIMEOUT_S,
        )
        not_enforced = asked.not_enforced()
        if not_enforced:
            response.headers[NOT_ENFORCED_HEADER] = ", ".join(not_enforced)
            log.warning(
                "members of a key are not enforced yet", key_hash=record.key_hash, members=not_enforced
            )
        return generated_json(created.key, key)

    async def info(self, request: Request, key: str | None = Query(None)) -> JsonObject:
        """A key by itself or its hash; without one the caller's own. A JSON body with `key` works as well."""
        if key is None:
            key = _key_in(await request.body())
        return await self._info(request, key)

    async def info_of_body(self, request: Request) -> JsonObject:
        """As GET, with the key in a JSON body: {"key": "sk-..."}."""
        return await self._info(request, _key_in(await request.body()))

    async def delete(self, request: Request, body: DeleteKeysRequest) -> JsonObject:
        """Keys stop working at once; what they spent stays on the books."""
        self._parts.authenticator.require_admin(headers_of(request.scope))
        keys = [*(body.keys or ()), *((body.key,) if body.key is not None else ())]
        aliases = body.key_aliases or []
        if not keys and not aliases:
            raise invalid_field("keys", "keys, key or key_aliases is needed")
        by_hash = {hash_of(key): key for key in keys}
        try:
            answer = await self._parts.ledger.delete_keys(
                pb.DeleteKeysRequest(
                    request_id=self._parts.new_request_id(), key_hashes=by_hash, key_aliases=aliases
                ),
                timeout_s=LEDGER_TIMEOUT_S,
            )
        except MeshError as error:
            raise _not_found(error) from error
        deleted = [by_hash[key_hash] for key_hash in answer.deleted_key_hashes if key_hash in by_hash]
        return {"deleted_keys": [*deleted, *answer.deleted_key_aliases]}

    async def _info(self, request: Request, asked: str | None) -> JsonObject:
        principal = self._parts.authenticator.authenticate(headers_of(request.scope))
        account = await self._account(principal)
        now_ns = self._parts.clock.now_ns()
        wanted = principal.key_hash if asked is None else hash_of(asked)
        if wanted == principal.key_hash and principal.kind != "virtual_key":
            record = account_record(account, principal.key_hash)
            return info_json(record, asked or record.key_hash, now_ns)
        if principal.kind == "virtual_key" and wanted != principal.key_hash:
            raise MeshError(
                Code.PERMISSION_DENIED, "KEY_NOT_OWN", "a key may only be shown to itself and to the admin"
            )
        try:
            answer = await self._parts.ledger.get_key(
                pb.GetKeyRequest(key_hash=wanted), timeout_s=LEDGER_TIMEOUT_S
            )
        except MeshError as error:
            raise _not_found(error) from error
        return info_json(answer.key, asked or wanted, now_ns)

    async def _account(self, principal: Principal) -> pb.Account:
        answer = await self._parts.ledger.authenticate_key(
            pb.AuthenticateKeyRequest(principal=principal_message(principal)), timeout_s=LEDGER_TIMEOUT_S
        )
        if answer.decision != pb.DECISION_GRANTED:
            raise denied(answer.denial)
        return answer.account


def _not_found(error: MeshError) -> MeshError:
    """A key that was asked for is a 404; a key that was shown would be a 401."""
    if error.code is not Code.NOT_FOUND:
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
