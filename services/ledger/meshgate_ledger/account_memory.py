"""The last known records of accounts, also that there is none; as key_memory.py of keys.

Only ever a proposal: PostgreSQL compares versions in the transaction that decides.
"""

from collections.abc import Iterable

from meshgate_ledger.records import AccountRecord


class AccountMemory:
    """At most `count_max` records; those that were learned first are forgotten."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._records: dict[str, AccountRecord] = {}

    def get(self, account_id: str) -> AccountRecord | None:
        return self._records.get(account_id)

    def remember(self, records: Iterable[AccountRecord]) -> None:
        """Replaces what was known of them."""
        for record in records:
            self._records.pop(record.account_id, None)
            self._records[record.account_id] = record
        while len(self._records) > self._count_max:
            del self._records[next(iter(self._records))]

    def forget(self, account_ids: Iterable[str]) -> None:
        for account_id in account_ids:
            self._records.pop(account_id, None)
