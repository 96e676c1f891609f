-- Endings in one round trip: what is on the disk is told as it is, without a second question for it, and as
-- arrays, which cost a fraction of rows.
--
-- ledger.close stays: replicas of the version before call it until they are replaced. A later migration may
-- drop it.

-- What an item came to that was not simply charged as it was sent. `balance_nanos` NULL: it has no charge.
CREATE TYPE ledger.closed_item AS (
    number int,  -- of the item
    state text,  -- of the request's hold after the batch; NULL: there is none
    balance_nanos bigint,
    input_nanos bigint,
    cached_input_nanos bigint,
    cache_creation_nanos bigint,
    output_nanos bigint,
    reasoning_nanos bigint,
    is_repeat boolean
);

-- Ends the holds of a batch. Items that were charged now, as they were sent, come by `numbers` with their
-- account's posted amount after each in `balances` (both NULL: none was); all others in `others`. An item
-- whose hold is already where the item wants it changes nothing; so does one that comes too late or too
-- early. The request_ids of a batch differ, but for legs.
--
-- An expiry charges what was held. So does a call whose price is unknown on an account with a budget: the
-- hold had a price, and a budget must not be open to whatever nobody can price.
--
-- Commits without waiting for the disk: see close_durably.
CREATE FUNCTION ledger.close_items(
    p_now timestamptz,
    p_timezone text,
    p_items ledger.close_item[],
    OUT numbers int[],
    OUT balances bigint[],
    OUT others ledger.closed_item[]
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
    locked text[];
    has_lost boolean;
    has_due boolean;
    has_tokens boolean;
    done int;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    others := ARRAY[]::ledger.closed_item[];

    SELECT array_agg(DISTINCT x.account_id), bool_or(h.request_id IS NULL) INTO locked, has_lost
    FROM unnest(p_items) i
    LEFT JOIN ledger.holds h ON h.request_id = i.request_id
    CROSS JOIN LATERAL unnest(CASE WHEN h.request_id IS NULL THEN array_prepend(i.account_id, i.scopes)
        ELSE array_prepend(h.account_id, h.scopes) END) x (account_id)
    WHERE i.leg = 0;

    locked := ARRAY(
        SELECT a.account_id FROM ledger.accounts a
        WHERE a.account_id = ANY (locked)
        ORDER BY a.account_id
        FOR NO KEY UPDATE
    );

    IF has_lost THEN
        PERFORM ledger.make_lost_holds(p_now, p_items, locked);
        -- Somebody may have made the hold since it was looked for.
        IF EXISTS (
            SELECT FROM unnest(p_items) i JOIN ledger.holds h ON h.request_id = i.request_id
            WHERE h.state IN ('open', 'expired') AND NOT array_prepend(h.account_id, h.scopes) <@ locked
        ) THEN
            RAISE EXCEPTION 'a hold came in between' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    SELECT coalesce(bool_or(l.metric = 'spend' AND l.ends_at <= p_now), false),
        coalesce(bool_or(l.metric = 'tokens'), false)
    INTO has_due, has_tokens
    FROM ledger.limits l WHERE l.account_id = ANY (locked);
    IF has_due THEN
        PERFORM ledger.roll_limits(p_now, p_timezone, locked, '{spend}');
    END IF;
    IF has_tokens THEN
        UPDATE ledger.limits l SET used = greatest(l.used + more.tokens, 0)
        FROM (
            SELECT l.account_id, l.period,
                sum(i.used_tokens - CASE i.leg WHEN 0 THEN h.tokens ELSE 0 END)::bigint AS tokens
            FROM unnest(p_items) i
            JOIN ledger.holds h ON h.request_id = i.request_id
            CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id)
            JOIN ledger.limits l ON l.account_id = x.account_id AND l.metric = 'tokens'
                AND l.starts_at <= h.created_at AND l.ends_at > p_now  -- the period that it was held in
            WHERE i.kind <> 'expiry' AND h.state IN ('open', 'expired')
            GROUP BY l.account_id, l.period
        ) more
        WHERE l.account_id = more.account_id AND l.metric = 'tokens' AND l.period = more.period;
    END IF;

    WITH work AS MATERIALIZED (
        SELECT i.*, h.state, h.account_id AS payer, h.scopes AS other_scopes, h.key_hash AS payer_key_hash,
            h.model AS asked_model, h.end_user AS payer_end_user, h.tags AS payer_tags,
            h.user_id, h.team_id, h.organization_id, h.has_slot AND i.leg = 0 AS frees_slot,
            CASE i.leg WHEN 0 THEN h.amount_nanos ELSE 0 END AS held_nanos, h.input_nanos AS held_input_nanos,
            i.leg = 0 AND (i.kind = 'expiry' OR (i.is_unpriced AND EXISTS (
                SELECT FROM ledger.limits l WHERE l.account_id = ANY (array_prepend(h.account_id, h.scopes))
                    AND l.metric = 'spend' AND l.maximum IS NOT NULL))) AS is_as_held,
            CASE WHEN h.state = 'expired' AND i.leg = 0 THEN h.amount_nanos ELSE 0 END AS corrected_nanos,
            a.posted_nanos
        FROM unnest(p_items) WITH ORDINALITY i
        JOIN ledger.holds h ON h.request_id = i.request_id
        JOIN ledger.accounts a ON a.account_id = h.account_id
        WHERE (h.state = 'open' AND (i.kind <> 'expiry' OR h.expires_at <= p_now))
            OR (h.state = 'expired' AND i.kind <> 'expiry')
    ), priced AS (
        SELECT w.*,
            CASE WHEN is_as_held THEN held_input_nanos ELSE input_nanos END AS charged_input_nanos,
            CASE WHEN is_as_held THEN held_nanos - held_input_nanos ELSE output_nanos END
                AS charged_output_nanos,
            CASE WHEN is_as_held THEN held_nanos ELSE input_nanos + cached_input_nanos
                + cache_creation_nanos + output_nanos + reasoning_nanos END - corrected_nanos AS amount_nanos
        FROM work w
    ), charge AS MATERIALIZED (
        SELECT p.*, p.posted_nanos + sum(p.amount_nanos)
            OVER (PARTITION BY p.payer ORDER BY p.request_id, p.leg) AS balance_nanos
        FROM priced p
    ), posted AS (
        INSERT INTO ledger.entries (
            request_id, kind, leg, leg_reason, account_id, scopes, amount_nanos, balance_nanos,
            input_nanos, cached_input_nanos, cache_creation_nanos, output_nanos, reasoning_nanos,
            corrected_nanos, held_nanos, saved_nanos, estimated, offline, price,
            prompt_tokens, completion_tokens, cached_tokens, cache_creation_tokens, reasoning_tokens,
            uncompressed_prompt_tokens, outcome, error_reason,
            key_hash, user_id, team_id, organization_id, end_user, tags,
            model, model_group, deployment_id, provider, upstream_model, cache_key,
            call_type, api_base, response_id, requester_ip_address,
            start_time, end_time, first_token_time, created_at
        )
        SELECT
            c.request_id,
            CASE WHEN c.kind = 'charge' AND c.state = 'expired' THEN 'correction' ELSE c.kind END,
            c.leg, c.leg_reason, c.payer, c.other_scopes, c.amount_nanos, c.balance_nanos,
            c.charged_input_nanos, c.cached_input_nanos, c.cache_creation_nanos, c.charged_output_nanos,
            c.reasoning_nanos, c.corrected_nanos, c.held_nanos, c.saved_nanos,
            c.estimated OR c.is_as_held, c.offline, c.price,
            c.prompt_tokens, c.completion_tokens, c.cached_tokens, c.cache_creation_tokens,
            c.reasoning_tokens, c.uncompressed_prompt_tokens, c.outcome, c.error_reason,
            c.payer_key_hash, c.user_id, c.team_id, c.organization_id, c.payer_end_user, c.payer_tags,
            c.asked_model, c.model_group, c.deployment_id, c.provider, c.upstream_model, c.cache_key,
            c.call_type, c.api_base, c.response_id, c.requester_ip_address,
            c.start_time, c.end_time, c.first_token_time, p_now
        FROM charge c
        ORDER BY c.payer, c.request_id, c.leg
    ), closed AS (
        UPDATE ledger.holds h
        SET state = CASE c.kind WHEN 'charge' THEN 'settled' WHEN 'void' THEN 'voided' ELSE 'expired' END,
            has_slot = false
        FROM charge c
        WHERE h.request_id = c.request_id AND c.leg = 0
    ), moved AS (
        UPDATE ledger.accounts a
        SET posted_nanos = a.posted_nanos + sums.amount_nanos,
            pending_nanos = a.pending_nanos - sums.released_nanos,
            open_calls = a.open_calls - sums.freed
        FROM (
            SELECT x.account_id, sum(c.amount_nanos)::bigint AS amount_nanos,
                sum(CASE c.state WHEN 'open' THEN c.held_nanos ELSE 0 END)::bigint AS released_nanos,
                count(*) FILTER (WHERE c.frees_slot) AS freed
            FROM charge c
            CROSS JOIN LATERAL unnest(array_prepend(c.payer, c.other_scopes)) x (account_id)
            GROUP BY x.account_id
        ) sums
        WHERE a.account_id = sums.account_id
            AND (sums.amount_nanos <> 0 OR sums.released_nanos <> 0 OR sums.freed <> 0)
    )
    SELECT count(*),
        array_agg(c.ordinality::int) FILTER (WHERE c.kind = 'charge' AND NOT c.is_as_held),
        array_agg(c.balance_nanos::bigint) FILTER (WHERE c.kind = 'charge' AND NOT c.is_as_held),
        coalesce(array_agg(ROW(c.ordinality::int,
            CASE c.kind WHEN 'charge' THEN 'settled' WHEN 'void' THEN 'voided' ELSE 'expired' END,
            CASE c.kind WHEN 'charge' THEN c.balance_nanos::bigint END,
            c.charged_input_nanos, c.cached_input_nanos, c.cache_creation_nanos, c.charged_output_nanos,
            c.reasoning_nanos, false)::ledger.closed_item)
            FILTER (WHERE c.kind <> 'charge' OR c.is_as_held), '{}')
    INTO done, numbers, balances, others
    FROM charge c;

    IF done < cardinality(p_items) THEN
        -- Those that changed nothing: what is known of them. An expiry's estimate is no answer to a charge.
        others := others || ARRAY(
            SELECT ROW(i.ordinality::int, h.state, e.balance_nanos, e.input_nanos, e.cached_input_nanos,
                e.cache_creation_nanos, e.output_nanos, e.reasoning_nanos, true)::ledger.closed_item
            FROM unnest(p_items) WITH ORDINALITY i
            LEFT JOIN ledger.holds h ON h.request_id = i.request_id
            LEFT JOIN ledger.entries e ON e.request_id = i.request_id AND e.kind IN ('charge', 'correction')
            WHERE i.leg = 0
        );
    END IF;
END $$;

-- The same, and waits for the disk after the commit, when its locks are gone: a budget that everybody uses
-- is not held up. The record that is waited for lies behind the commit in PostgreSQL's log, and behind every
-- ending that this one could see: a repeat is as durable as what it repeats.
CREATE PROCEDURE ledger.close_durably(
    p_now timestamptz,
    p_timezone text,
    p_items ledger.close_item[],
    OUT numbers int[],
    OUT balances bigint[],
    OUT others ledger.closed_item[]
)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT c.numbers, c.balances, c.others INTO numbers, balances, others
    FROM ledger.close_items(p_now, p_timezone, p_items) c;
    COMMIT;  -- and with it ends what close_items set
    PERFORM pg_logical_emit_message(true, 'meshgate', '');
END $$;
