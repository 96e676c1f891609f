"""Proves that the ledger's books balance, or names every difference.

Reads one snapshot, in a transaction that changes nothing; it may run at any time, beside any load.
"""

from dataclasses import dataclass

import asyncpg

from meshgate_ledger.verify_limits import LIMIT_CHECKS

DIFFERENCES_MAX = 1_000  # named; more are cut off

# Of who is charged: other accounts are counted on, and a sum over them would count calls several times.
TOTALS = """
    WITH payers AS (SELECT * FROM ledger.accounts WHERE kind IN ('master', 'open', 'key'))
    SELECT (SELECT count(*) FROM ledger.accounts) AS account_count,
        (SELECT count(*) FROM ledger.entries) AS entry_count,
        (SELECT count(*) FROM ledger.holds WHERE state = 'open') AS open_hold_count,
        (SELECT coalesce(sum(amount_nanos), 0)::bigint FROM ledger.entries JOIN payers USING (account_id))
            AS entries_nanos,
        (SELECT coalesce(sum(amount_nanos), 0)::bigint FROM ledger.carried JOIN payers USING (account_id))
            AS carried_nanos,
        (SELECT coalesce(sum(posted_nanos), 0)::bigint FROM payers) AS posted_nanos,
        (SELECT coalesce(sum(pending_nanos), 0)::bigint FROM payers) AS pending_nanos
"""

# Each query names what should be equal and is not: what, of which account or request, expected, actual.
CHECKS = (
    """
    SELECT 'posted is not the sum of the entries', coalesce(a.account_id, e.account_id),
        coalesce(e.amount_nanos, 0), coalesce(a.posted_nanos, 0)
    FROM ledger.accounts a
    FULL JOIN (
        SELECT account_id, sum(amount_nanos) AS amount_nanos
        FROM (
            SELECT account_id, amount_nanos FROM ledger.entries
            UNION ALL
            SELECT s.account_id, e.amount_nanos FROM ledger.entries e, unnest(e.scopes) s (account_id)
            UNION ALL
            SELECT account_id, amount_nanos FROM ledger.carried
        ) every
        GROUP BY account_id
    ) e ON e.account_id = a.account_id
    WHERE coalesce(e.amount_nanos, 0) <> coalesce(a.posted_nanos, 0) OR a.account_id IS NULL
    """,
    """
    SELECT 'pending is not the sum of the open holds', coalesce(a.account_id, h.account_id),
        coalesce(h.amount_nanos, 0), coalesce(a.pending_nanos, 0)
    FROM ledger.accounts a
    FULL JOIN (
        SELECT s.account_id, sum(h.amount_nanos) AS amount_nanos
        FROM ledger.holds h, LATERAL (SELECT h.account_id UNION SELECT unnest(h.scopes)) s
        WHERE h.state = 'open' GROUP BY s.account_id
    ) h ON h.account_id = a.account_id
    WHERE coalesce(h.amount_nanos, 0) <> coalesce(a.pending_nanos, 0) OR a.account_id IS NULL
    """,
    """
    SELECT 'the balance on an entry is not the sum up to it', e.request_id, e.expected_nanos, e.balance_nanos
    FROM (
        SELECT e.request_id, e.balance_nanos, e.entry_id, c.last_entry_id,
            coalesce(c.amount_nanos, 0)
                + sum(e.amount_nanos) OVER (PARTITION BY e.account_id ORDER BY e.entry_id) AS expected_nanos
        FROM ledger.entries e
        LEFT JOIN ledger.carried c ON c.account_id = e.account_id
        WHERE e.account_id IN ('master', 'open') OR e.account_id LIKE 'key:%'
    ) e
    WHERE e.balance_nanos <> e.expected_nanos AND e.entry_id > coalesce(e.last_entry_id, 0)
    """,
    """
    SELECT 'a hold that ended has no entry that says so', h.request_id, 1, count(e.entry_id)
    FROM ledger.holds h
    LEFT JOIN ledger.entries e ON e.request_id = h.request_id AND e.account_id = h.account_id AND e.leg = 0
        AND ((h.state = 'settled' AND e.kind IN ('charge', 'correction'))
        OR (h.state = 'voided' AND e.kind = 'void')
        OR (h.state = 'expired' AND e.kind = 'expiry'))
    WHERE h.state IN ('settled', 'voided', 'expired') AND h.account_id <> ''
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
    # An expiry may be gone with its month; its correction came while its hold was remembered.
    """
    SELECT 'a correction does not take back what expired', c.request_id,
        coalesce(x.amount_nanos, 0), c.corrected_nanos
    FROM ledger.entries c
    LEFT JOIN ledger.entries x ON x.request_id = c.request_id AND x.kind = 'expiry' AND c.leg = 0
    WHERE c.kind <> 'expiry' AND c.corrected_nanos <> coalesce(x.amount_nanos, 0)
        AND NOT (x.entry_id IS NULL
            AND c.created_at < coalesce(
                (SELECT max(ends_at) + interval '31 days' FROM ledger.dropped_partitions), '-infinity'))
    """,
    """
    SELECT 'an entry is there twice', request_id, 1, count(*) FROM ledger.entries
    GROUP BY request_id, kind, leg
    HAVING count(*) > 1
    """,
    """
    SELECT 'the sum of a day is not that of its entries', day::text,
        coalesce(e.amount_nanos, 0), coalesce(d.amount_nanos, 0)
    FROM (
        SELECT (created_at AT TIME ZONE 'UTC')::date AS day, sum(amount_nanos) AS amount_nanos
        FROM ledger.entries WHERE outcome <> 'import' GROUP BY day
    ) e
    FULL JOIN (
        SELECT day, sum(spend_nanos) AS amount_nanos FROM ledger.daily_spend
        WHERE NOT imported AND day >= coalesce(
            (SELECT max(ends_at AT TIME ZONE 'UTC') FROM ledger.dropped_partitions)::date, '-infinity')
        GROUP BY day
    ) d USING (day)
    WHERE coalesce(e.amount_nanos, 0) <> coalesce(d.amount_nanos, 0)
    """,
    """
    SELECT 'the tokens of hits of a day are not those of its entries', day::text,
        coalesce(e.tokens, 0), coalesce(d.tokens, 0)
    FROM (
        SELECT (created_at AT TIME ZONE 'UTC')::date AS day, sum(completion_tokens) AS tokens
        FROM ledger.entries WHERE outcome = 'cache_hit' AND leg = 0 GROUP BY day
    ) e
    FULL JOIN (
        SELECT day, sum(completion_tokens) AS tokens FROM ledger.daily_hits
        WHERE day >= coalesce(
            (SELECT max(ends_at AT TIME ZONE 'UTC') FROM ledger.dropped_partitions)::date, '-infinity')
        GROUP BY day
    ) d USING (day)
    WHERE coalesce(e.tokens, 0) <> coalesce(d.tokens, 0)
    """,
    """
    SELECT 'the totals of a day are not its sums', day::text,
        coalesce(d.amount_nanos, 0), coalesce(t.amount_nanos, 0)
    FROM (
        SELECT day, sum(spend_nanos) AS amount_nanos FROM ledger.daily_spend
        WHERE day < (SELECT before_day FROM ledger.totals_state) GROUP BY day
    ) d
    FULL JOIN (
        SELECT day, sum(spend_nanos) AS amount_nanos FROM ledger.day_totals
        WHERE dimension = 'all' AND day < (SELECT before_day FROM ledger.totals_state) GROUP BY day
    ) t USING (day)
    WHERE coalesce(d.amount_nanos, 0) <> coalesce(t.amount_nanos, 0)
    """,
    """
    SELECT 'the totals of teams of a day are not its sums', day::text,
        coalesce(d.amount_nanos, 0), coalesce(t.amount_nanos, 0)
    FROM (
        SELECT day, sum(spend_nanos) AS amount_nanos FROM ledger.daily_spend
        WHERE day < (SELECT before_day FROM ledger.totals_state) GROUP BY day
    ) d
    FULL JOIN (
        SELECT day, sum(spend_nanos) AS amount_nanos FROM ledger.day_team_totals
        WHERE day < (SELECT before_day FROM ledger.totals_state) GROUP BY day
    ) t USING (day)
    WHERE coalesce(d.amount_nanos, 0) <> coalesce(t.amount_nanos, 0)
    """,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that does not balance. `subject`: an account, a limit of one, or a request."""

    what: str
    subject: str
    expected: int
    actual: int


@dataclass(frozen=True, slots=True)
class Verification:
    """The books at one moment. Amounts are of those who pay; entries + carried = posted."""

    account_count: int
    entry_count: int
    open_hold_count: int
    entries_nanos: int
    carried_nanos: int  # of entries that were dropped
    posted_nanos: int
    pending_nanos: int
    differences: tuple[Difference, ...]

    @property
    def balanced(self) -> bool:
        return not self.differences


async def verify(connection: asyncpg.Connection) -> Verification:
    """Checks everything; takes as long as reading the entries takes."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        totals = await connection.fetchrow(TOTALS)
        differences: list[Difference] = []
        for check in (*CHECKS, *LIMIT_CHECKS):
            rows = await connection.fetch(f"{check} LIMIT {DIFFERENCES_MAX}")
            differences.extend(
                Difference(row[0], row[1], expected=int(row[2]), actual=int(row[3])) for row in rows
            )
    return Verification(**dict(totals), differences=tuple(differences[:DIFFERENCES_MAX]))
