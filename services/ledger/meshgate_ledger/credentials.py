"""Tenants' own provider credentials: sealed bytes that the ledger keeps and cannot read.

Two parts: the store, where PostgreSQL decides, and the book, a copy in memory that goes along with every
admitted call. A change is in every replica's book within moments (watch.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from meshgate_chassis.clock import Clock
from meshgate_chassis.errors import Code, MeshError
from meshgate_ledger.database import Database
from meshgate_ledger.records import utc

BOOK_CREDENTIALS_MAX: Final = 100_000  # about 30 MB
LOAD_TIMEOUT_S: Final = 5.0

PUT = """
    INSERT INTO ledger.credentials AS c (credential_id, account_id, provider, sealed, description,
        created_at, updated_at, updated_by_request)
    VALUES ($1, $2, $3, $4, $5, $6, $6, $7)
    ON CONFLICT (credential_id) DO UPDATE
    SET provider = excluded.provider, sealed = excluded.sealed, description = excluded.description,
        updated_at = excluded.updated_at, updated_by_request = excluded.updated_by_request
    WHERE c.account_id = excluded.account_id AND c.updated_by_request <> excluded.updated_by_request
"""
COLUMNS = "credential_id, account_id, provider, description, created_at, updated_at"
LIST = f"""
    SELECT {COLUMNS} FROM ledger.credentials
    WHERE ($1 = '' OR credential_id = $1) AND ($2 = '' OR account_id = $2) AND credential_id > $3
    ORDER BY credential_id LIMIT $4
"""  # noqa: S608 - only constants are put in


@dataclass(frozen=True, slots=True)
class Credential:
    """Of one owner for one provider. `sealed` is empty where nobody needs it."""

    credential_id: str
    account_id: str
    provider: str
    sealed: bytes = b""
    description: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None


class CredentialStore:
    """In PostgreSQL. Raises UNAVAILABLE/STORE_UNAVAILABLE without it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, request_id: str, credential: Credential, timeout_s: float) -> Credential:
        """Stores or replaces; a repeat changes nothing. Raises ALREADY_EXISTS/CREDENTIAL_EXISTS."""
        row = (
            credential.credential_id,
            credential.account_id,
            credential.provider,
            credential.sealed,
            credential.description,
            utc(self._clock.now_ns()),
            request_id,
        )
        try:
            await self._database.use(lambda connection: connection.execute(PUT, *row), timeout_s)
        except asyncpg.UniqueViolationError:
            raise _exists("the owner has another credential for this provider") from None
        stored = await self.list(credential.credential_id, "", "", 1, timeout_s)
        if not stored or stored[0].account_id != credential.account_id:
            raise _exists("a credential of this name belongs to somebody else")
        return stored[0]

    async def list(
        self, credential_id: str, account_id: str, after_id: str, count_max: int, timeout_s: float
    ) -> Sequence[Credential]:
        """Without the sealed bytes. Empty texts: any."""
        rows = await self._database.use(
            lambda connection: connection.fetch(LIST, credential_id, account_id, after_id, count_max),
            timeout_s,
        )
        return [Credential(**dict(row)) for row in rows]

    async def delete(self, credential_id: str, timeout_s: float) -> None:
        """Raises NOT_FOUND/CREDENTIAL_UNKNOWN."""
        told: str = await self._database.use(
            lambda connection: connection.execute(
                "DELETE FROM ledger.credentials WHERE credential_id = $1", credential_id
            ),
            timeout_s,
        )
        if told == "DELETE 0":
            raise MeshError(Code.NOT_FOUND, "CREDENTIAL_UNKNOWN", "there is no such credential")

    async def all(self) -> Sequence[Credential]:
        """Everything, with the sealed bytes."""
        rows = await self._database.use(
            lambda connection: connection.fetch(
                "SELECT credential_id, account_id, provider, sealed FROM ledger.credentials LIMIT $1",
                BOOK_CREDENTIALS_MAX,
            ),
            LOAD_TIMEOUT_S,
        )
        return [Credential(**dict(row)) for row in rows]


class CredentialBook:
    """The last known credentials by owner."""

    def __init__(self, store: CredentialStore) -> None:
        self._store = store
        self._by_owner: dict[str, list[Credential]] = {}

    async def load(self) -> None:
        """Reads all again. Raises as the store; what was known stays then."""
        found: dict[str, list[Credential]] = {}
        for credential in await self._store.all():
            found.setdefault(credential.account_id, []).append(credential)
        self._by_owner = found

    def of(self, owners: Sequence[str]) -> Sequence[Credential]:
        """One for each provider: the first owner's that has one."""
        if not self._by_owner:
            return ()
        chosen: dict[str, Credential] = {}
        for owner in owners:
            for credential in self._by_owner.get(owner, ()):
                chosen.setdefault(credential.provider, credential)
        return tuple(chosen.values())


def _exists(message: str) -> MeshError:
    return MeshError(Code.ALREADY_EXISTS, "CREDENTIAL_EXISTS", message)
