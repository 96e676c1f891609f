"""Tenants' own provider credentials over HTTP: /credentials, in LiteLLM's words, for the admin.

Invariant: a secret comes in once and is sealed before it goes on (chassis/sealing.py). No answer and no log
has it, the ledger keeps what it cannot read, and the router opens it for the call that needs it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, SecretStr

from meshgate_chassis.chat.json import JsonObject, dumps
from meshgate_chassis.config.providers import KNOWN_PREFIXES
from meshgate_chassis.errors import Code, MeshError, invalid_field
from meshgate_chassis.sealing import KEY_SETTING, Sealer, credential_context
from meshgate_edge.management.key_values import hash_of
from meshgate_protos.ledger.v1 import credential_service_pb2 as pb
from meshgate_protos.ledger.v1.credential_service_mesh import CredentialServiceClient

LEDGER_TIMEOUT_S: Final = 10.0
NAME_CHARACTERS_MAX: Final = 128
SECRET_CHARACTERS_MAX: Final = 8_192
VALUES: Final = frozenset({"api_key", "api_base"})
PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 1_000


class CredentialInfo(BaseModel):
    """LiteLLM's `credential_info`."""

    custom_llm_provider: str = Field("", max_length=64)
    description: str = Field("", max_length=1_000)


class CredentialRequest(BaseModel):
    """One of key, team_id, user_id and organization_id owns it; `provider` may stand in `credential_info`.
    `credential_values`: api_key, and api_base if it is not the deployment's."""

    credential_name: str = Field(min_length=1, max_length=NAME_CHARACTERS_MAX)
    credential_values: dict[str, SecretStr] = Field(max_length=10)
    credential_info: CredentialInfo = CredentialInfo()
    provider: str = Field("", max_length=64)
    key: SecretStr | None = None
    team_id: str | None = Field(None, min_length=1, max_length=256)
    user_id: str | None = Field(None, min_length=1, max_length=256)
    organization_id: str | None = Field(None, min_length=1, max_length=256)

    def provider_name(self) -> str:
        """Raises `invalid_field`."""
        name = self.provider or self.credential_info.custom_llm_provider
        if name not in KNOWN_PREFIXES:
            raise invalid_field("provider", "provider must be one of the configuration's, for example openai")
        return name

    def account_id(self) -> str:
        """The owner. Raises `invalid_field`."""
        owners = [
            f"{kind}:{name}"
            for kind, name in (
                ("team", self.team_id),
                ("user", self.user_id),
                ("organization", self.organization_id),
            )
            if name
        ]
        if self.key is not None:
            owners.append(f"key:{hash_of(self.key.get_secret_value())}")
        if len(owners) != 1:
            raise invalid_field("team_id", "one of key, team_id, user_id and organization_id is needed")
        return owners[0]

    def secret(self) -> bytes:
        """What is sealed. Raises `invalid_field`; never repeats a value."""
        values = {name: value.get_secret_value() for name, value in self.credential_values.items()}
        if not values.get("api_key"):
            raise invalid_field("credential_values", "credential_values.api_key is needed")
        if not VALUES.issuperset(values):
            raise invalid_field("credential_values", f"only {' and '.join(sorted(VALUES))} can be used")
        if any(len(value) > SECRET_CHARACTERS_MAX for value in values.values()):
            raise invalid_field(
                "credential_values", f"a value has more than {SECRET_CHARACTERS_MAX} characters"
            )
        base = values.get("api_base")
        if base and urlsplit(base).scheme not in ("http", "https"):
            raise invalid_field(
                "credential_values", "credential_values.api_base must be an http or https URL"
            )
        return dumps(values)


@dataclass(frozen=True, slots=True)
class CredentialParts:
    """What the endpoints stand on. `sealer` None: nothing can be sealed here."""

    ledger: CredentialServiceClient
    admin: Callable[[Request], Awaitable[str]]  # as Management.admin
    sealer: Sealer | None
    new_request_id: Callable[[], str]


class CredentialEndpoints:
    """Only who may manage keys."""

    def __init__(self, parts: CredentialParts) -> None:
        self._parts = parts

    def router(self) -> APIRouter:
        """For a FastAPI application."""
        router = APIRouter(tags=["credentials"])
        router.add_api_route("/credentials", self.put, methods=["POST"])
        router.add_api_route("/credentials", self.list, methods=["GET"])
        router.add_api_route("/credentials/by_name/{name}", self.show, methods=["GET"])
        router.add_api_route("/credentials/{name}", self.delete, methods=["DELETE"])
        return router

    async def put(self, request: Request, body: CredentialRequest) -> JsonObject:
        """Stores a credential, or replaces the owner's of this name. Calls use it within a second."""
        await self._parts.admin(request)
        if self._parts.sealer is None:
            message = f"no credential can be kept: set {KEY_SETTING} for the edge and the router"
            raise MeshError(Code.FAILED_PRECONDITION, "CREDENTIALS_KEY_MISSING", message)
        provider = body.provider_name()
        context = credential_context(body.credential_name, provider)
        credential = pb.Credential(
            credential_id=body.credential_name,
            account_id=body.account_id(),
            provider=provider,
            sealed=self._parts.sealer.seal(body.secret(), context),
            description=body.credential_info.description,
        )
        await self._parts.ledger.put_credential(
            pb.PutCredentialRequest(request_id=self._parts.new_request_id(), credential=credential),
            timeout_s=LEDGER_TIMEOUT_S,
        )
        return {"success": True, "message": "Credential created successfully"}

    async def list(
        self,
        request: Request,
        after: str = Query("", max_length=NAME_CHARACTERS_MAX),
        size: int = Query(PAGE_SIZE, ge=1, le=PAGE_SIZE_MAX),
    ) -> JsonObject:
        """In the order of their names, without their secrets; `after`: the last name of the page before."""
        await self._parts.admin(request)
        answer = await self._parts.ledger.list_credentials(
            pb.ListCredentialsRequest(after_credential_id=after, page_size=size), timeout_s=LEDGER_TIMEOUT_S
        )
        return {"success": True, "credentials": [_shown(each) for each in answer.credentials]}

    async def show(self, request: Request, name: str) -> JsonObject:
        """One of them."""
        await self._parts.admin(request)
        answer = await self._parts.ledger.list_credentials(
            pb.ListCredentialsRequest(credential_id=name[:NAME_CHARACTERS_MAX]), timeout_s=LEDGER_TIMEOUT_S
        )
        if not answer.credentials:
            raise MeshError(Code.NOT_FOUND, "CREDENTIAL_UNKNOWN", "there is no such credential")
        return _shown(answer.credentials[0])

    async def delete(self, request: Request, name: str) -> JsonObject:
        """The owner's calls go with the gateway's own credential again, within a second."""
        await self._parts.admin(request)
        await self._parts.ledger.delete_credential(
            pb.DeleteCredentialRequest(request_id=self._parts.new_request_id(), credential_id=name),
            timeout_s=LEDGER_TIMEOUT_S,
        )
        return {"success": True, "message": "Credential deleted successfully"}


def _shown(credential: pb.Credential) -> dict[str, Any]:
    kind, _, name = credential.account_id.partition(":")
    owner = {"key": "key", "team": "team_id", "user": "user_id"}.get(kind, "organization_id")
    return {
        "credential_name": credential.credential_id,
        "credential_values": {},
        "credential_info": {
            "custom_llm_provider": credential.provider,
            "description": credential.description,
        },
        owner: name,
        "created_at": credential.create_time.ToJsonString(),
        "updated_at": credential.update_time.ToJsonString(),
    }
