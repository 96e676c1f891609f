"""What verify proves of limits: that what they count is what was posted, admitted and is under way.

Only what is provable is looked at. A budget's `starts_at` is the moment at which its `base` was taken from
the account's balance, NULL where nobody knows it (periods that were under way before this was so, imports
that take back). Entries that were dropped with their month prove nothing any more. Clocks of replicas may
differ by 5 seconds.
"""

from typing import Final

# There has to be a place in the account's entries, in their order, after which they add up to what is used;
# before it nothing that came clearly later than the period's beginning, after it nothing clearly earlier.
SPENT_CHECK = """
    WITH budgets AS (
        SELECT l.account_id, l.period, l.starts_at, a.posted_nanos - l.base AS used_nanos
        FROM ledger.limits l
        JOIN ledger.accounts a ON a.account_id = l.account_id
        WHERE l.metric = 'spend' AND l.starts_at >= coalesce(
            (SELECT max(ends_at) FROM ledger.dropped_partitions), '-infinity')
            AND NOT (l.period = '' AND l.base = 0)
    ), posted AS (
        SELECT x.account_id, e.entry_id, e.created_at, e.amount_nanos
        FROM ledger.entries e
        CROSS JOIN LATERAL unnest(array_prepend(e.account_id, e.scopes)) x (account_id)
        WHERE e.created_at >= (SELECT min(starts_at) - interval '5 seconds' FROM budgets)
    ), recent AS (
        SELECT b.account_id, b.period, p.entry_id, p.created_at, p.amount_nanos
        FROM budgets b
        JOIN posted p ON p.account_id = b.account_id AND p.created_at >= b.starts_at - interval '5 seconds'
    ), cuts AS (
        SELECT account_id, period,
            sum(amount_nanos) OVER (PARTITION BY account_id, period ORDER BY entry_id DESC) AS after_nanos,
            lag(created_at) OVER (PARTITION BY account_id, period ORDER BY entry_id) AS before_at
        FROM recent
        UNION ALL
        SELECT b.account_id, b.period, 0, max(r.created_at)
        FROM budgets b
        LEFT JOIN recent r ON (r.account_id, r.period) = (b.account_id, b.period)
        GROUP BY b.account_id, b.period
    )
    SELECT 'what a budget counts is not what was posted in its period',
        u.account_id || ' ' || coalesce(nullif(u.period, ''), 'total'),
        coalesce((SELECT sum(r.amount_nanos) FROM recent r
            WHERE (r.account_id, r.period) = (u.account_id, u.period) AND r.created_at >= u.starts_at), 0),
        u.used_nanos
    FROM budgets u
    WHERE NOT EXISTS (
        SELECT FROM cuts c
        WHERE (c.account_id, c.period) = (u.account_id, u.period) AND c.after_nanos = u.used_nanos
            AND coalesce(c.before_at <= u.starts_at + interval '5 seconds', true)
    )
"""

# Holds that somebody lost and whose charge made them anew were admitted by nobody: they expire as they begin.
REQUESTS_CHECK = """
    WITH rates AS (
        SELECT account_id, period, starts_at, used FROM ledger.limits
        WHERE metric = 'requests' AND starts_at IS NOT NULL
    ), admitted AS (
        SELECT r.account_id, r.period, r.starts_at, r.used,
            count(h.request_id) FILTER (WHERE h.created_at >= r.starts_at) AS expected,
            count(h.request_id) FILTER (WHERE h.created_at > r.starts_at + interval '5 seconds') AS least,
            count(h.request_id) AS most
        FROM rates r
        LEFT JOIN (
            SELECT h.request_id, h.created_at, x.account_id
            FROM ledger.holds h
            CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id)
            WHERE h.state <> 'denied' AND h.expires_at > h.created_at
        ) h ON h.account_id = r.account_id AND h.created_at >= r.starts_at - interval '5 seconds'
        GROUP BY r.account_id, r.period, r.starts_at, r.used
    )
    SELECT 'what a rate counts is not what was admitted in its period', a.account_id || ' ' || a.period,
        a.expected, a.used
    FROM admitted a
    WHERE a.used NOT BETWEEN a.least AND a.most
        AND NOT EXISTS (  -- of a hold that is forgotten
            SELECT FROM ledger.entries e
            WHERE e.created_at >= a.starts_at AND e.leg = 0 AND e.outcome <> 'import'
                AND NOT EXISTS (SELECT FROM ledger.holds h WHERE h.request_id = e.request_id)
        )
"""

# A call counts what it holds until it ends, then what it used; what comes after the end of a period changes
# nothing in it, and of top-ups nobody knows when they came: periods that are over prove nothing.
TOKENS_CHECK = """
    WITH rates AS (
        SELECT account_id, period, starts_at, used FROM ledger.limits
        WHERE metric = 'tokens' AND starts_at IS NOT NULL AND ends_at > now() + interval '5 seconds'
    ), calls AS (
        SELECT x.account_id, h.created_at, h.tokens AS held,
            CASE WHEN h.state IN ('open', 'expired') THEN h.tokens ELSE u.tokens END AS tokens
        FROM ledger.holds h
        CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.prompt_tokens + e.completion_tokens), 0) AS tokens
            FROM ledger.entries e
            WHERE e.request_id = h.request_id AND e.kind <> 'expiry' AND e.outcome <> 'cache_hit'
        ) u
        WHERE h.state <> 'denied' AND x.account_id IN (SELECT account_id FROM rates)
            AND h.created_at >= (SELECT min(starts_at) - interval '5 seconds' FROM rates)
    ), counted AS (
        SELECT r.account_id, r.period, r.starts_at, r.used,
            coalesce(sum(c.tokens) FILTER (WHERE c.created_at >= r.starts_at), 0) AS expected,
            coalesce(sum(c.tokens) FILTER (WHERE c.created_at > r.starts_at + interval '5 seconds'), 0)
                AS least,
            coalesce(sum(CASE WHEN c.created_at > r.starts_at + interval '5 seconds' THEN c.tokens
                ELSE greatest(c.tokens, c.held) END), 0) AS most
        FROM rates r
        LEFT JOIN calls c ON c.account_id = r.account_id
            AND c.created_at >= r.starts_at - interval '5 seconds'
        GROUP BY r.account_id, r.period, r.starts_at, r.used
    )
    SELECT 'what a rate counts is not what its calls hold and have used', c.account_id || ' ' || c.period,
        c.expected, c.used
    FROM counted c
    WHERE c.used NOT BETWEEN c.least AND c.most
        AND NOT EXISTS (  -- of a hold that is forgotten
            SELECT FROM ledger.entries e
            WHERE e.created_at >= c.starts_at AND e.leg = 0 AND e.outcome <> 'import'
                AND NOT EXISTS (SELECT FROM ledger.holds h WHERE h.request_id = e.request_id)
        )
"""

PARALLEL_CHECK = """
    SELECT 'calls under way are not those that have a slot', a.account_id, coalesce(h.slots, 0), a.open_calls
    FROM ledger.accounts a
    LEFT JOIN (
        SELECT x.account_id, count(*) AS slots
        FROM ledger.holds h
        CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id)
        WHERE h.has_slot GROUP BY x.account_id
    ) h ON h.account_id = a.account_id
    WHERE coalesce(h.slots, 0) <> a.open_calls
"""

LIMIT_CHECKS: Final = (SPENT_CHECK, REQUESTS_CHECK, TOKENS_CHECK, PARALLEL_CHECK)
