-- Ends a batch of holds in one round trip and one transaction: entry, release, balance.

CREATE TYPE ledger.close_item AS (
    request_id text,
    kind text,  -- 'charge', 'void' or 'expiry'
    account_id text,  -- not NULL: a charge is posted there even when its hold was lost
    key_hash text,
    input_nanos bigint,
    cached_input_nanos bigint,
    cache_creation_nanos bigint,
    output_nanos bigint,
    reasoning_nanos bigint,
    price jsonb,
    is_unpriced boolean,  -- a price was needed and none is known
    saved_nanos bigint,
    estimated boolean,
    prompt_tokens bigint,
    completion_tokens bigint,
    cached_tokens bigint,
    cache_creation_tokens bigint,
    reasoning_tokens bigint,
    uncompressed_prompt_tokens bigint,
    outcome text,
    error_reason text,
    model_group text,
    deployment_id text,
    provider text,
    upstream_model text,
    cache_key text,
    start_time timestamptz,
    end_time timestamptz,
    first_token_time timestamptz
);

-- One row for each item, in any order: the state of the request's hold after the batch (NULL: there is
-- none), and its charge or correction when it has one. An item whose hold is already where the item wants
-- it changes nothing; so does one that comes too late or too early. Of two items for one request the first
-- counts.
--
-- An expiry charges what was held. So does a call whose price is unknown on an account with a limit: the
-- hold had a price, and a budget must not be open to whatever nobody can price.
CREATE FUNCTION ledger.close(p_now timestamptz, p_items ledger.close_item[])
RETURNS TABLE (
    request_id text,
    kind text,
    state text,
    balance_nanos bigint,
    input_nanos bigint,
    cached_input_nanos bigint,
    cache_creation_nanos bigint,
    output_nanos bigint,
    reasoning_nanos bigint
)
LANGUAGE plpgsql
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
    locked text[] := ARRAY(
        SELECT DISTINCT coalesce(h.account_id, i.account_id)
        FROM unnest(p_items) i
        LEFT JOIN ledger.holds h ON h.request_id = i.request_id
    );
BEGIN
    PERFORM 1 FROM ledger.accounts a
    WHERE a.account_id = ANY (locked)
    ORDER BY a.account_id
    FOR NO KEY UPDATE;

    -- Holds may be lost with PostgreSQL (they commit asynchronously). Their charge makes them again, at zero,
    -- unless the request ended long ago and its hold is forgotten.
    INSERT INTO ledger.holds
    SELECT i.request_id, 'open', i.account_id, i.key_hash, i.model_group, i.model_group,
        i.prompt_tokens, i.completion_tokens, 0, 0, 0, NULL, NULL, NULL, '', '{}', p_now, p_now
    FROM unnest(p_items) i
    JOIN ledger.accounts a ON a.account_id = i.account_id
    LEFT JOIN ledger.holds h ON h.request_id = i.request_id
    WHERE i.kind = 'charge' AND h.request_id IS NULL
        AND NOT EXISTS (SELECT FROM ledger.entries e WHERE e.request_id = i.request_id)
    ORDER BY i.request_id
    ON CONFLICT DO NOTHING;

    WITH asked AS (
        SELECT DISTINCT ON (i.request_id) i.* FROM unnest(p_items) WITH ORDINALITY i
        ORDER BY i.request_id, i.ordinality
    ), work AS MATERIALIZED (
        SELECT i.*, h.state, h.account_id AS payer, h.key_hash AS payer_key_hash, h.model,
            h.end_user, h.tags, h.amount_nanos AS held_nanos, h.input_nanos AS held_input_nanos,
            i.kind = 'expiry' OR (i.is_unpriced AND a.limit_nanos IS NOT NULL) AS is_as_held,
            CASE h.state WHEN 'expired' THEN h.amount_nanos ELSE 0 END AS corrected_nanos,
            coalesce(k.user_id, '') AS user_id, coalesce(k.team_id, '') AS team_id, a.posted_nanos
        FROM asked i
        JOIN ledger.holds h ON h.request_id = i.request_id
        JOIN ledger.accounts a ON a.account_id = h.account_id
        LEFT JOIN ledger.keys k ON k.key_hash = h.key_hash
        WHERE h.account_id = ANY (locked) AND (
            (h.state = 'open' AND (i.kind <> 'expiry' OR h.expires_at <= p_now))
            OR (h.state = 'expired' AND i.kind <> 'expiry')
        )
    ), charge AS MATERIALIZED (
        SELECT w.*, w.charged_nanos - w.corrected_nanos AS amount_nanos
        FROM (
            SELECT w.*,
                CASE WHEN is_as_held THEN held_input_nanos ELSE input_nanos END AS charged_input_nanos,
                CASE WHEN is_as_held THEN held_nanos - held_input_nanos ELSE output_nanos END
                    AS charged_output_nanos,
                CASE WHEN is_as_held THEN held_nanos ELSE input_nanos + cached_input_nanos
                    + cache_creation_nanos + output_nanos + reasoning_nanos END AS charged_nanos
            FROM work w
        ) w
    ), posted AS (
        INSERT INTO ledger.entries (
            request_id, kind, account_id, amount_nanos, balance_nanos,
            input_nanos, cached_input_nanos, cache_creation_nanos, output_nanos, reasoning_nanos,
            corrected_nanos, held_nanos, saved_nanos, estimated, price,
            prompt_tokens, completion_tokens, cached_tokens, cache_creation_tokens, reasoning_tokens,
            uncompressed_prompt_tokens, outcome, error_reason,
            key_hash, user_id, team_id, end_user, tags,
            model, model_group, deployment_id, provider, upstream_model, cache_key,
            start_time, end_time, first_token_time, created_at
        )
        SELECT
            c.request_id,
            CASE WHEN c.kind = 'charge' AND c.state = 'expired' THEN 'correction' ELSE c.kind END,
            c.payer, c.amount_nanos,
            c.posted_nanos + sum(c.amount_nanos) OVER (PARTITION BY c.payer ORDER BY c.request_id),
            c.charged_input_nanos, c.cached_input_nanos, c.cache_creation_nanos, c.charged_output_nanos,
            c.reasoning_nanos, c.corrected_nanos, c.held_nanos, c.saved_nanos,
            c.estimated OR c.is_as_held, c.price,
            c.prompt_tokens, c.completion_tokens, c.cached_tokens, c.cache_creation_tokens,
            c.reasoning_tokens, c.uncompressed_prompt_tokens, c.outcome, c.error_reason,
            c.payer_key_hash, c.user_id, c.team_id, c.end_user, c.tags,
            c.model, c.model_group, c.deployment_id, c.provider, c.upstream_model, c.cache_key,
            c.start_time, c.end_time, c.first_token_time, p_now
        FROM charge c
        ORDER BY c.payer, c.request_id
    ), closed AS (
        UPDATE ledger.holds h
        SET state = CASE c.kind WHEN 'charge' THEN 'settled' WHEN 'void' THEN 'voided' ELSE 'expired' END
        FROM charge c
        WHERE h.request_id = c.request_id
    )
    UPDATE ledger.accounts a
    SET posted_nanos = a.posted_nanos + sums.amount_nanos,
        pending_nanos = a.pending_nanos - sums.released_nanos
    FROM (
        SELECT c.payer, sum(c.amount_nanos)::bigint AS amount_nanos,
            sum(CASE c.state WHEN 'open' THEN c.held_nanos ELSE 0 END)::bigint AS released_nanos
        FROM charge c
        GROUP BY c.payer
    ) sums
    WHERE a.account_id = sums.payer AND (sums.amount_nanos <> 0 OR sums.released_nanos <> 0);

    RETURN QUERY
    SELECT i.request_id, i.kind, h.state, e.balance_nanos, e.input_nanos, e.cached_input_nanos,
        e.cache_creation_nanos, e.output_nanos, e.reasoning_nanos
    FROM unnest(p_items) i
    LEFT JOIN ledger.holds h ON h.request_id = i.request_id
    LEFT JOIN ledger.entries e ON e.request_id = i.request_id AND e.kind IN ('charge', 'correction');
END $$;
