-- A call whose key, user, team, ... was blocked or deleted since it was admitted gets no more.

DROP FUNCTION ledger.top_up(timestamptz, text, ledger.top_up_item[]);

-- One row for each item: the hold as it is now, and the budget that allowed no more, if one did not, or the
-- account that is blocked (a key also when it was deleted): then the hold stays as it was. Budgets decide;
-- limits of tokens are counted, but no call is cut short because of them. The request_ids differ.
CREATE FUNCTION ledger.top_up(p_now timestamptz, p_timezone text, p_items ledger.top_up_item[])
RETURNS TABLE (request_id text, state text, amount_nanos bigint, denial_limit jsonb, blocked_account text)
LANGUAGE plpgsql
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    item record;
    tightest record;
    more bigint;
    total bigint;
    locked text[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);

    SELECT array_agg(DISTINCT x.account_id) INTO locked
    FROM unnest(p_items) i
    JOIN ledger.holds h ON h.request_id = i.request_id
    CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id);
    PERFORM 1 FROM ledger.accounts a
    WHERE a.account_id = ANY (locked)
    ORDER BY a.account_id
    FOR NO KEY UPDATE;
    PERFORM ledger.roll_limits(p_now, p_timezone, locked, '{spend}');

    FOR item IN
        SELECT i.request_id, i.input_nanos, i.amount_nanos, i.tokens, i.output_tokens,
            p_now + make_interval(secs => i.hold_duration_s) AS expires_at, h.state,
            h.amount_nanos AS held_nanos, h.tokens AS held_tokens, h.created_at, h.account_id, h.key_hash,
            CASE WHEN h.team_id <> '' THEN 'user:' || h.user_id END AS exempt,  -- see account scopes
            array_prepend(h.account_id, h.scopes) AS scopes
        FROM unnest(p_items) WITH ORDINALITY i
        LEFT JOIN ledger.holds h ON h.request_id = i.request_id
        ORDER BY i.ordinality
    LOOP
        request_id := item.request_id;
        state := item.state;
        amount_nanos := item.held_nanos;
        denial_limit := NULL;
        blocked_account := NULL;
        IF item.state = 'open' THEN
            IF item.account_id LIKE 'key:%' AND NOT EXISTS (
                SELECT FROM ledger.keys k
                WHERE k.key_hash = item.key_hash AND k.deleted_at IS NULL AND NOT k.blocked
            ) THEN
                blocked_account := item.account_id;
            ELSE
                SELECT a.account_id INTO blocked_account FROM ledger.accounts a
                WHERE a.account_id = ANY (item.scopes) AND a.blocked
                ORDER BY a.account_id LIMIT 1;
            END IF;
        END IF;
        IF item.state = 'open' AND blocked_account IS NULL THEN
            total := item.held_nanos;
            more := greatest(item.amount_nanos - item.held_nanos, 0);
            IF more > 0 THEN
                SELECT l.*, a.posted_nanos - l.base + a.pending_nanos AS spent INTO tightest
                FROM ledger.limits l
                JOIN ledger.accounts a ON a.account_id = l.account_id
                WHERE l.account_id = ANY (item.scopes) AND l.metric = 'spend' AND l.maximum IS NOT NULL
                    AND split_part(l.account_id, '|model:', 1) IS DISTINCT FROM item.exempt
                ORDER BY l.maximum - (a.posted_nanos - l.base + a.pending_nanos) LIMIT 1;
                IF tightest.maximum - tightest.spent < more THEN
                    more := greatest(tightest.maximum - tightest.spent, 0);
                    denial_limit := jsonb_build_object('account_id', tightest.account_id, 'metric', 'spend',
                        'period', tightest.period, 'maximum', tightest.maximum, 'used', tightest.spent,
                        'ends_at', tightest.ends_at);
                END IF;
                total := item.held_nanos + more;
                amount_nanos := total;
                UPDATE ledger.accounts a SET pending_nanos = a.pending_nanos + more
                WHERE a.account_id = ANY (item.scopes) AND more > 0;
            END IF;
            IF item.tokens > item.held_tokens THEN
                UPDATE ledger.limits l SET used = l.used + item.tokens - item.held_tokens
                WHERE l.account_id = ANY (item.scopes) AND l.metric = 'tokens'
                    AND l.starts_at <= item.created_at AND l.ends_at > p_now;
            END IF;
            UPDATE ledger.holds h
            SET amount_nanos = total, input_nanos = least(item.input_nanos, total),
                tokens = greatest(h.tokens, item.tokens),
                output_tokens = greatest(h.output_tokens, CASE
                    WHEN denial_limit IS NULL THEN item.output_tokens
                    WHEN item.amount_nanos > item.input_nanos AND total > item.input_nanos
                    THEN (item.output_tokens::numeric * (total - item.input_nanos)
                        / (item.amount_nanos - item.input_nanos))::bigint END),
                expires_at = greatest(h.expires_at, item.expires_at)
            WHERE h.request_id = item.request_id;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
