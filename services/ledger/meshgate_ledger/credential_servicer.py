"""CredentialService over the store: converts, and decides nothing."""

from typing import Final

from meshgate_chassis.errors import invalid_field
from meshgate_ledger import convert
from meshgate_ledger.credentials import Credential, CredentialBook, CredentialStore
from meshgate_protos.ledger.v1 import credential_service_pb2 as credential_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.credential_service_mesh import CredentialServiceServicer
from meshgate_protos.rpc import Call

OWNERS: Final = ("key:", "team:", "user:", "organization:")
SEALED_BYTES_MIN: Final = 29  # a nonce, one byte, a tag
SEALED_BYTES_MAX: Final = 16_384
ID_CHARACTERS_MAX: Final = 128
ACCOUNT_CHARACTERS_MAX: Final = 512
PROVIDER_CHARACTERS_MAX: Final = 64
DESCRIPTION_CHARACTERS_MAX: Final = 1_000
PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 1_000


class CredentialServicer(CredentialServiceServicer):
    """Errors and limits as in the contract."""

    def __init__(self, store: CredentialStore) -> None:
        self._store = store

    async def put_credential(
        self, request: credential_pb.PutCredentialRequest, call: Call
    ) -> credential_pb.PutCredentialResponse:
        request_id = convert.request_id_from(request.request_id)
        stored = await self._store.put(request_id, _credential_from(request.credential), call.remaining_s())
        return credential_pb.PutCredentialResponse(credential=_credential_to(stored))

    async def list_credentials(
        self, request: credential_pb.ListCredentialsRequest, call: Call
    ) -> credential_pb.ListCredentialsResponse:
        if not 0 <= request.page_size <= PAGE_SIZE_MAX:
            raise invalid_field("page_size", f"must be 0 to {PAGE_SIZE_MAX}")
        found = await self._store.list(
            _text("credential_id", request.credential_id, ID_CHARACTERS_MAX),
            _text("account_id", request.account_id, ACCOUNT_CHARACTERS_MAX),
            _text("after_credential_id", request.after_credential_id, ID_CHARACTERS_MAX),
            request.page_size or PAGE_SIZE,
            call.remaining_s(),
        )
        return credential_pb.ListCredentialsResponse(credentials=[_credential_to(each) for each in found])

    async def delete_credential(
        self, request: credential_pb.DeleteCredentialRequest, call: Call
    ) -> credential_pb.DeleteCredentialResponse:
        await self._store.delete(
            _text("credential_id", request.credential_id, ID_CHARACTERS_MAX), call.remaining_s()
        )
        return credential_pb.DeleteCredentialResponse()


def add_credentials(account: pb.Account, book: CredentialBook) -> None:
    """Puts into an admitted account what it may call providers with: the key's own, else its team's, else
    its user's, else its organization's."""
    owners = [f"key:{account.key_hash}"]
    for kind, name in (
        ("team", account.team_id),
        ("user", account.user_id),
        ("organization", account.organization_id),
    ):
        if name:
            owners.append(f"{kind}:{name}")
    for credential in book.of(owners):
        account.credentials.add(
            credential_id=credential.credential_id, provider=credential.provider, sealed=credential.sealed
        )


def _credential_from(credential: credential_pb.Credential) -> Credential:
    account_id = _text("credential.account_id", credential.account_id, ACCOUNT_CHARACTERS_MAX, required=True)
    if not account_id.startswith(OWNERS):
        raise invalid_field("credential.account_id", f"must begin with one of {', '.join(OWNERS)}")
    if not SEALED_BYTES_MIN <= len(credential.sealed) <= SEALED_BYTES_MAX:
        raise invalid_field("credential.sealed", f"must have {SEALED_BYTES_MIN} to {SEALED_BYTES_MAX} bytes")
    return Credential(
        _text("credential.credential_id", credential.credential_id, ID_CHARACTERS_MAX, required=True),
        account_id,
        _text("credential.provider", credential.provider, PROVIDER_CHARACTERS_MAX, required=True),
        credential.sealed,
        _text("credential.description", credential.description, DESCRIPTION_CHARACTERS_MAX),
    )


def _credential_to(credential: Credential) -> credential_pb.Credential:
    message = credential_pb.Credential(
        credential_id=credential.credential_id,
        account_id=credential.account_id,
        provider=credential.provider,
        description=credential.description,
    )
    if credential.created_at is not None and credential.updated_at is not None:
        message.create_time.FromDatetime(credential.created_at)
        message.update_time.FromDatetime(credential.updated_at)
    return message


def _text(field: str, text: str, characters_max: int, *, required: bool = False) -> str:
    if (required and not text) or len(text) > characters_max or "\0" in text:
        raise invalid_field(
            field, f"must have {int(required)} to {characters_max} characters, none of them NUL"
        )
    return text
