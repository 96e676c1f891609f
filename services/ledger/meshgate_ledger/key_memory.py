"""The last known records of keys, so that a reservation usually takes one round trip.

A record is only ever a proposal: PostgreSQL compares its version in the transaction that decides, and hands
back the current one when it differs. A stale record costs a round trip, never a wrong decision.
"""

from collections import OrderedDict

from meshgate_ledger.records import KeyRecord


class KeyMemory:
    """At most `count_max` records, the least recently used are forgotten."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._records: OrderedDict[str, KeyRecord] = OrderedDict()

    def get(self, key_hash: str) -> KeyRecord | None:
        """The record as it was known last."""
        record = self._records.get(key_hash)
        if record is not None:
            self._records.move_to_end(key_hash)
        return record

    def remember(self, record: KeyRecord) -> None:
        """Replaces what was known of the key."""
        self._records[record.key_hash] = record
        self._records.move_to_end(record.key_hash)
        if len(self._records) > self._count_max:
            self._records.popitem(last=False)

    def forget(self, key_hash: str) -> None:
        self._records.pop(key_hash, None)
