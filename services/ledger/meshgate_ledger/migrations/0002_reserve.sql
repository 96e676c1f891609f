-- Decides a batch of reservations in one round trip.

CREATE TYPE ledger.reserve_item AS (
    request_id text,
    account_id text,
    key_hash text,
    key_version bigint,  -- of the record that the caller judged; -1: it knew none; NULL: not a virtual key
    model text,
    resolved_model text,
    prompt_tokens bigint,
    output_tokens bigint,
    input_nanos bigint,
    amount_nanos bigint,
    expires_at timestamptz,
    end_user text,
    tags text[],
    denial_reason text,  -- the caller's rules refuse the call
    denial_message text
);

-- One row for each item, in any order. `state` is that of the request's hold; 'stale': nothing was decided,
-- because the key's record is another than the caller judged. `key` is then the record, and also when
-- a decision that was made earlier is returned.
--
-- Items of one account are decided in the order given, each against what the ones before it left: an item
-- that does not fit does not stand in the way of a smaller one.
CREATE FUNCTION ledger.reserve(p_now timestamptz, p_durable boolean, p_items ledger.reserve_item[])
RETURNS TABLE (
    request_id text,
    state text,
    account_id text,
    model text,
    resolved_model text,
    amount_nanos bigint,
    spend_nanos bigint,
    limit_nanos bigint,
    denial_reason text,
    denial_message text,
    is_repeat boolean,  -- decided by an earlier transaction
    key jsonb
)
LANGUAGE plpgsql
-- A batch looks a few rows up by primary key. Statistics from when the tables were empty must not say else.
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_material = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    item record;
    current_account text;
    spend bigint;  -- posted plus held of the current account, with the holds granted so far
    ceiling bigint;
    states text[] := '{}';
    reasons text[] := '{}';
    spends bigint[] := '{}';
    limits bigint[] := '{}';
BEGIN
    IF NOT p_durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;

    PERFORM 1 FROM ledger.accounts a
    WHERE a.account_id = ANY (ARRAY(SELECT DISTINCT i.account_id FROM unnest(p_items) i))
    ORDER BY a.account_id
    FOR NO KEY UPDATE;

    FOR item IN
        SELECT i.ordinality, i.account_id, i.key_version, i.amount_nanos, i.denial_reason,
            h.request_id IS NOT NULL AS is_decided,
            k.key_hash IS NULL OR k.deleted_at IS NOT NULL AS is_unknown,
            k.version, a.posted_nanos, a.pending_nanos, a.limit_nanos
        FROM unnest(p_items) WITH ORDINALITY i
        LEFT JOIN ledger.holds h ON h.request_id = i.request_id
        LEFT JOIN ledger.keys k ON k.key_hash = i.key_hash
        LEFT JOIN ledger.accounts a ON a.account_id = i.account_id
        ORDER BY i.account_id, i.ordinality
    LOOP
        IF item.account_id IS DISTINCT FROM current_account THEN
            current_account := item.account_id;
            spend := item.posted_nanos + item.pending_nanos;
            ceiling := coalesce(item.limit_nanos, 1000000000000000000);  -- admission.UNLIMITED_NANOS
        END IF;
        IF item.is_decided THEN
            CONTINUE;
        ELSIF item.key_version IS NOT NULL AND item.is_unknown THEN
            states[item.ordinality] := 'denied';
            reasons[item.ordinality] := 'KEY_UNKNOWN';
            spends[item.ordinality] := 0;
        ELSIF item.key_version <> item.version THEN
            CONTINUE;
        ELSIF item.denial_reason IS NOT NULL THEN
            states[item.ordinality] := 'denied';
            reasons[item.ordinality] := item.denial_reason;
            spends[item.ordinality] := item.posted_nanos;
        ELSIF spend + item.amount_nanos > ceiling THEN  -- admission.would_exceed
            states[item.ordinality] := 'denied';
            reasons[item.ordinality] := 'BUDGET_EXCEEDED';
            spends[item.ordinality] := spend;
            limits[item.ordinality] := ceiling;
        ELSE
            states[item.ordinality] := 'open';
            spends[item.ordinality] := item.posted_nanos;
            spend := spend + item.amount_nanos;
        END IF;
    END LOOP;

    -- What is added to the account is what was inserted: a request that another transaction inserts at the
    -- same time, or that is in the batch twice, is held once.
    WITH inserted AS (
        INSERT INTO ledger.holds
        SELECT i.request_id, states[i.ordinality], i.account_id, i.key_hash, i.model, i.resolved_model,
            i.prompt_tokens, i.output_tokens, i.input_nanos, i.amount_nanos,
            spends[i.ordinality], limits[i.ordinality], reasons[i.ordinality], i.denial_message,
            i.end_user, i.tags, p_now, i.expires_at
        FROM unnest(p_items) WITH ORDINALITY i
        WHERE states[i.ordinality] IS NOT NULL
        ORDER BY i.request_id, i.ordinality
        ON CONFLICT DO NOTHING
        RETURNING account_id, state, amount_nanos
    )
    UPDATE ledger.accounts a
    SET pending_nanos = a.pending_nanos + held.amount_nanos
    FROM (
        SELECT n.account_id, sum(n.amount_nanos)::bigint AS amount_nanos
        FROM inserted n
        WHERE n.state = 'open' AND n.amount_nanos > 0
        GROUP BY n.account_id
    ) held
    WHERE a.account_id = held.account_id;

    RETURN QUERY
    SELECT i.request_id, coalesce(h.state, 'stale'), h.account_id, h.model, h.resolved_model,
        h.amount_nanos, h.spend_nanos, h.limit_nanos, h.denial_reason, h.denial_message,
        h.xmin IS DISTINCT FROM pg_current_xact_id()::xid,
        CASE WHEN i.key_version <> k.version
            THEN to_jsonb(k) || jsonb_build_object('limit_nanos', a.limit_nanos) END
    FROM unnest(p_items) i
    LEFT JOIN ledger.holds h ON h.request_id = i.request_id
    LEFT JOIN ledger.keys k ON k.key_hash = i.key_hash
    LEFT JOIN ledger.accounts a ON a.account_id = i.account_id;
END $$;
