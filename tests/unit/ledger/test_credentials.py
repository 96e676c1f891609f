"""Tenants' own provider credentials: kept sealed, shown without secret, sent along with admitted calls."""

from pathlib import Path

import pytest

from meshgate_chassis.errors import MeshError
from meshgate_protos.ledger.v1 import credential_service_pb2 as credential_pb
from meshgate_protos.ledger.v1 import ledger_service_pb2 as pb
from meshgate_protos.ledger.v1.credential_service_mesh import CredentialServiceClient
from meshgate_protos.ledger.v1.ledger_service_mesh import LedgerServiceClient
from tests.support.eventually import eventually
from tests.support.ledger_service import running_ledger
from tests.unit.ledger.subject import key_hash

TIMEOUT_S = 20.0
SECRET = b"s" * 40
OF_KEY, OF_TEAM = f"key:{key_hash(1)}", "team:t"


async def put(
    client: CredentialServiceClient,
    name: str,
    owner: str,
    provider: str = "openai",
    secret: bytes = b"s" * 40,
) -> credential_pb.Credential:
    credential = credential_pb.Credential(
        credential_id=name, account_id=owner, provider=provider, sealed=secret, description="ours"
    )
    request = credential_pb.PutCredentialRequest(request_id=f"{name}-{secret[0]}", credential=credential)
    return (await client.put_credential(request, timeout_s=TIMEOUT_S)).credential


async def admitted(client: LedgerServiceClient, request_id: str) -> dict[str, bytes]:
    """Provider -> sealed credential of a call with key 1."""
    caller = pb.Principal(kind=pb.Principal.KIND_VIRTUAL_KEY, key_hash=key_hash(1))
    request = pb.ReserveSpendRequest(request_id=request_id, principal=caller, model="paid", prompt_tokens=1)
    answer = await client.reserve_spend(request, timeout_s=TIMEOUT_S)
    assert answer.decision == pb.DECISION_GRANTED
    return {each.provider: each.sealed for each in answer.account.credentials}


async def test_an_admitted_call_carries_the_nearest_credential(postgres_dsn: str, tmp_path: Path) -> None:
    """The key's own goes before its team's, provider by provider, on every replica, within moments."""
    async with (
        running_ledger(postgres_dsn, tmp_path) as one,
        running_ledger(postgres_dsn, tmp_path) as other,
    ):
        ledger, store = LedgerServiceClient(other), CredentialServiceClient(one)
        key = pb.Key(key_hash=key_hash(1), team_id="t")
        await ledger.create_key(pb.CreateKeyRequest(request_id="k", key=key), timeout_s=TIMEOUT_S)
        assert {} == await admitted(ledger, "r0")
        await put(store, "a", OF_TEAM, "openai", b"t" * 40)
        await put(store, "b", OF_TEAM, "anthropic", b"u" * 40)
        await put(store, "c", OF_KEY, "openai", b"k" * 40)
        numbers = iter(range(10_000))
        wanted = {"openai": b"k" * 40, "anthropic": b"u" * 40}

        async def as_wanted() -> bool:
            return await admitted(ledger, f"r{next(numbers)}-1") == wanted

        await eventually(as_wanted, "the other replica has them")
        delete = credential_pb.DeleteCredentialRequest(request_id="d", credential_id="c")
        await store.delete_credential(delete, timeout_s=TIMEOUT_S)
        wanted = {"openai": b"t" * 40, "anthropic": b"u" * 40}
        await eventually(as_wanted, "the team's again")


async def test_listing_shows_no_secret_and_pages(postgres_dsn: str, tmp_path: Path) -> None:
    """Sealed or not, nobody who lists needs it."""
    async with running_ledger(postgres_dsn, tmp_path) as channel:
        store = CredentialServiceClient(channel)
        for name in ("a", "b", "c"):
            await put(store, name, f"team:{name}")
        first = await store.list_credentials(
            credential_pb.ListCredentialsRequest(page_size=2), timeout_s=TIMEOUT_S
        )
        rest = await store.list_credentials(
            credential_pb.ListCredentialsRequest(page_size=2, after_credential_id="b"), timeout_s=TIMEOUT_S
        )
        shown = [*first.credentials, *rest.credentials]
        assert ["a", "b", "c"] == [each.credential_id for each in shown]
        assert {b""} == {each.sealed for each in shown}
        assert all(each.create_time.seconds for each in shown)


@pytest.mark.parametrize(
    ("name", "owner", "provider"), [("a", "team:other", "openai"), ("second", OF_TEAM, "openai")]
)
async def test_nobody_takes_anothers_place(
    postgres_dsn: str, tmp_path: Path, name: str, owner: str, provider: str
) -> None:
    """An id of somebody else, and a second credential for the same provider, are refused; what was, stays."""
    async with running_ledger(postgres_dsn, tmp_path) as channel:
        store = CredentialServiceClient(channel)
        await put(store, "a", OF_TEAM)
        with pytest.raises(MeshError, match="CREDENTIAL_EXISTS"):
            await put(store, name, owner, provider, b"x" * 40)
        answer = await store.list_credentials(credential_pb.ListCredentialsRequest(), timeout_s=TIMEOUT_S)
        assert [("a", OF_TEAM)] == [(each.credential_id, each.account_id) for each in answer.credentials]


async def test_replacing_and_deleting(postgres_dsn: str, tmp_path: Path) -> None:
    """A replaced credential keeps its age; one that is gone can not be deleted again."""
    async with running_ledger(postgres_dsn, tmp_path) as channel:
        store = CredentialServiceClient(channel)
        first = await put(store, "a", OF_TEAM)
        second = await put(store, "a", OF_TEAM, "anthropic", b"n" * 40)
        assert first.create_time == second.create_time
        assert "anthropic" == second.provider
        delete = credential_pb.DeleteCredentialRequest(request_id="d", credential_id="a")
        await store.delete_credential(delete, timeout_s=TIMEOUT_S)
        with pytest.raises(MeshError, match="CREDENTIAL_UNKNOWN"):
            await store.delete_credential(delete, timeout_s=TIMEOUT_S)
