"""Opening entries: what an account spent elsewhere is posted here, so that the books balance with it.

Invariant: the sum of an account's entries with the outcome 'import' is what `ledger.imports` says, and that
is the account's spend in the other gateway as it was last seen. A later import posts the difference.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from meshgate_ledger.account_ids import account_kind
from meshgate_ledger.imports.records import Balance

CHUNK = 500

BROUGHT = "SELECT account_id, amount_nanos FROM ledger.imports WHERE source = $1"

MAKE = """
    INSERT INTO ledger.accounts (account_id, kind) SELECT * FROM unnest($1::text[], $2::text[])
    ORDER BY 1 ON CONFLICT DO NOTHING
"""

LOCK = "SELECT FROM ledger.accounts WHERE account_id = ANY ($1) ORDER BY account_id FOR NO KEY UPDATE"

POST = """
    WITH wanted AS (
        SELECT w.account_id, w.spend_nanos, w.spend_nanos - coalesce(i.amount_nanos, 0) AS amount_nanos,
            coalesce(i.posting_count, 0) + 1 AS number
        FROM unnest($2::text[], $3::bigint[]) w (account_id, spend_nanos)
        LEFT JOIN ledger.imports i ON i.source = $1 AND i.account_id = w.account_id
        WHERE w.spend_nanos <> coalesce(i.amount_nanos, 0)
    ), posted AS (
        INSERT INTO ledger.entries (
            request_id, kind, account_id, amount_nanos, balance_nanos, input_nanos, cached_input_nanos,
            cache_creation_nanos, output_nanos, reasoning_nanos, corrected_nanos, held_nanos, saved_nanos,
            estimated, prompt_tokens, completion_tokens, cached_tokens, cache_creation_tokens,
            reasoning_tokens, outcome, error_reason, key_hash, user_id, team_id, end_user, tags, model,
            model_group, deployment_id, provider, upstream_model, cache_key, created_at)
        SELECT 'import:' || $1 || ':' || w.number || ':' || w.account_id, 'charge', w.account_id,
            w.amount_nanos, a.posted_nanos + w.amount_nanos, w.amount_nanos, 0, 0, 0, 0, 0, 0, 0, false,
            0, 0, 0, 0, 0, 'import', '', CASE a.kind WHEN 'key' THEN substr(w.account_id, 5) ELSE '' END,
            '', '', '', '{}', '', '', '', '', '', '', $4
        FROM wanted w
        JOIN ledger.accounts a USING (account_id)
        ORDER BY w.account_id
    ), moved AS (
        UPDATE ledger.accounts a SET posted_nanos = a.posted_nanos + w.amount_nanos
        FROM wanted w WHERE a.account_id = w.account_id
    ), rebased AS (
        -- A budget began anew there, after one began anew here: what is used of ours is as it was.
        UPDATE ledger.limits l SET base = l.base + w.amount_nanos, starts_at = NULL
        FROM wanted w
        WHERE l.account_id = w.account_id AND l.metric = 'spend' AND w.amount_nanos < 0
            AND l.base >= -w.amount_nanos
    )
    INSERT INTO ledger.imports AS i SELECT $1, account_id, spend_nanos, number, $4 FROM wanted
    ON CONFLICT (source, account_id) DO UPDATE SET amount_nanos = excluded.amount_nanos,
        posting_count = excluded.posting_count, imported_at = excluded.imported_at
    RETURNING account_id
"""

RESETS = """
    UPDATE ledger.limits l SET ends_at = r.resets_at
    FROM unnest($1::text[], $2::timestamptz[]) r (account_id, resets_at)
    WHERE l.account_id = r.account_id AND l.metric = 'spend' AND l.period <> '' AND r.resets_at > $3
"""


async def brought(connection: asyncpg.Connection, source: str) -> Mapping[str, int]:
    """What was posted by earlier imports, by account."""
    return {row["account_id"]: row["amount_nanos"] for row in await connection.fetch(BROUGHT, source)}


async def post_balances(
    connection: asyncpg.Connection, source: str, balances: Sequence[Balance], now: datetime
) -> int:
    """Posts what differs from earlier imports, a chunk in one transaction; returns how many postings."""
    posted = 0
    for start in range(0, len(balances), CHUNK):
        chunk = balances[start : start + CHUNK]
        ids = [each.account_id for each in chunk]
        async with connection.transaction():
            await connection.execute(MAKE, ids, [account_kind(each) for each in ids])
            await connection.execute(LOCK, ids)
            rows = await connection.fetch(POST, source, ids, [each.spend_nanos for each in chunk], now)
            new = {row["account_id"] for row in rows}
            resets = [each for each in chunk if each.resets_at is not None and each.account_id in new]
            await connection.execute(
                RESETS, [each.account_id for each in resets], [each.resets_at for each in resets], now
            )
        posted += len(rows)
    return posted
