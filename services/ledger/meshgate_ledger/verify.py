"""Proves that the ledger's books balance, or names every difference.

Reads one snapshot, in a transaction that changes nothing; it may run at any time, beside any load.
"""

from dataclasses import dataclass

import asyncpg

DIFFERENCES_MAX = 1_000  # named; more are cut off

# Each query names what should be equal and is not: what, of which account or request, expected, actual.
CHECKS = (
    """
    SELECT 'posted is not the sum of the entries', coalesce(a.account_id, e.account_id),
        coalesce(e.amount_nanos, 0), coalesce(a.posted_nanos, 0)
    FROM ledger.accounts a
    FULL JOIN (
        SELECT account_id, sum(amount_nanos) AS amount_nanos FROM ledger.entries GROUP BY account_id
    ) e ON e.account_id = a.account_id
    WHERE coalesce(e.amount_nanos, 0) <> coalesce(a.posted_nanos, 0) OR a.account_id IS NULL
    """,
    """
    SELECT 'pending is not the sum of the open holds', coalesce(a.account_id, h.account_id),
        coalesce(h.amount_nanos, 0), coalesce(a.pending_nanos, 0)
    FROM ledger.accounts a
    FULL JOIN (
        SELECT account_id, sum(amount_nanos) AS amount_nanos FROM ledger.holds
        WHERE state = 'open' GROUP BY account_id
    ) h ON h.account_id = a.account_id
    WHERE coalesce(h.amount_nanos, 0) <> coalesce(a.pending_nanos, 0) OR a.account_id IS NULL
    """,
    """
    SELECT 'the balance on an entry is not the sum up to it', e.request_id, e.expected_nanos, e.balance_nanos
    FROM (
        SELECT request_id, balance_nanos,
            sum(amount_nanos) OVER (PARTITION BY account_id ORDER BY entry_id) AS expected_nanos
        FROM ledger.entries
    ) e
    WHERE e.balance_nanos <> e.expected_nanos
    """,
    """
    SELECT 'a hold that ended has no entry that says so', h.request_id, 1, count(e.entry_id)
    FROM ledger.holds h
    LEFT JOIN ledger.entries e ON e.request_id = h.request_id AND e.account_id = h.account_id AND (
        (h.state = 'settled' AND e.kind IN ('charge', 'correction'))
        OR (h.state = 'voided' AND e.kind = 'void')
        OR (h.state = 'expired' AND e.kind = 'expiry'))
    WHERE h.state IN ('settled', 'voided', 'expired')
    GROUP BY h.request_id
    HAVING count(e.entry_id) <> 1
    """,
    """
    SELECT 'a hold that did not end has entries', h.request_id, 0, count(*)
    FROM ledger.holds h
    JOIN ledger.entries e ON e.request_id = h.request_id
    WHERE h.state IN ('open', 'denied')
    GROUP BY h.request_id
    """,
    """
    SELECT 'a correction does not take back what expired', c.request_id,
        coalesce(x.amount_nanos, 0), c.corrected_nanos
    FROM ledger.entries c
    LEFT JOIN ledger.entries x ON x.request_id = c.request_id AND x.kind = 'expiry'
    WHERE c.kind <> 'expiry' AND c.corrected_nanos <> coalesce(x.amount_nanos, 0)
    """,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that does not balance. `subject`: an account or a request."""

    what: str
    subject: str
    expected: int
    actual: int


@dataclass(frozen=True, slots=True)
class Verification:
    """The books at one moment."""

    account_count: int
    entry_count: int
    open_hold_count: int
    posted_nanos: int
    pending_nanos: int
    differences: tuple[Difference, ...]

    @property
    def balanced(self) -> bool:
        return not self.differences


async def verify(connection: asyncpg.Connection) -> Verification:
    """Checks everything; takes as long as reading the entries takes."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        totals = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM ledger.accounts) AS account_count, "
            "(SELECT count(*) FROM ledger.entries) AS entry_count, "
            "(SELECT count(*) FROM ledger.holds WHERE state = 'open') AS open_hold_count, "
            "(SELECT sum(posted_nanos)::bigint FROM ledger.accounts) AS posted_nanos, "
            "(SELECT sum(pending_nanos)::bigint FROM ledger.accounts) AS pending_nanos"
        )
        differences: list[Difference] = []
        for check in CHECKS:
            rows = await connection.fetch(f"{check} LIMIT {DIFFERENCES_MAX}")
            differences.extend(
                Difference(row[0], row[1], expected=int(row[2]), actual=int(row[3])) for row in rows
            )
    return Verification(**dict(totals), differences=tuple(differences[:DIFFERENCES_MAX]))
