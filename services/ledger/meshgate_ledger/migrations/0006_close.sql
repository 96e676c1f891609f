-- Endings over every account that a call was counted on: entries with legs, release, balances, windows.

DROP FUNCTION ledger.close(timestamptz, ledger.close_item[]);
DROP TYPE ledger.close_item;

-- A void that comes before its reservation leaves a hold that was never open, without an account.
CREATE TYPE ledger.close_item AS (
    request_id text,
    kind text,  -- 'charge', 'void' or 'expiry'
    leg int,  -- 0: the call that answered; further ones have 1, 2, ... and come in the same batch
    leg_reason text,
    account_id text,  -- not NULL: a charge is posted there even when its hold was lost
    scopes text[],  -- the other accounts to count it on then, as far as they exist
    key_hash text,
    model text,
    input_nanos bigint,
    cached_input_nanos bigint,
    cache_creation_nanos bigint,
    output_nanos bigint,
    reasoning_nanos bigint,
    price jsonb,
    is_unpriced boolean,  -- a price was needed and none is known
    saved_nanos bigint,
    estimated boolean,
    offline boolean,
    prompt_tokens bigint,
    completion_tokens bigint,
    cached_tokens bigint,
    cache_creation_tokens bigint,
    reasoning_tokens bigint,
    uncompressed_prompt_tokens bigint,
    used_tokens bigint,  -- that count on limits
    outcome text,
    error_reason text,
    model_group text,
    deployment_id text,
    provider text,
    upstream_model text,
    cache_key text,
    call_type text,
    api_base text,
    response_id text,
    requester_ip_address text,
    end_user text,
    tags text[],
    start_time timestamptz,
    end_time timestamptz,
    first_token_time timestamptz
);

-- One row for each item, in any order: the state of the request's hold after the batch (NULL: there is
-- none), and its charge or correction when it has one. An item whose hold is already where the item wants
-- it changes nothing; so does one that comes too late or too early. The request_ids of a batch differ, but
-- for legs.
--
-- An expiry charges what was held. So does a call whose price is unknown on an account with a budget: the
-- hold had a price, and a budget must not be open to whatever nobody can price.
--
-- Commits without waiting for the disk, so that no lock is held meanwhile: the caller flushes before it
-- tells anybody.
CREATE FUNCTION ledger.close(p_now timestamptz, p_timezone text, p_items ledger.close_item[])
RETURNS TABLE (
    request_id text,
    leg int,
    state text,
    balance_nanos bigint,
    input_nanos bigint,
    cached_input_nanos bigint,
    cache_creation_nanos bigint,
    output_nanos bigint,
    reasoning_nanos bigint,
    is_repeat boolean
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

    RETURN QUERY
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
        FROM unnest(p_items) i
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
    SELECT c.request_id, c.leg,
        CASE c.kind WHEN 'charge' THEN 'settled' WHEN 'void' THEN 'voided' ELSE 'expired' END,
        CASE c.kind WHEN 'charge' THEN c.balance_nanos::bigint END,
        c.charged_input_nanos, c.cached_input_nanos, c.cache_creation_nanos, c.charged_output_nanos,
        c.reasoning_nanos, false
    FROM charge c;

    GET DIAGNOSTICS done = ROW_COUNT;
    IF done < cardinality(p_items) THEN
        -- Those that changed nothing: what is known of them. An expiry's estimate is no answer to a charge.
        RETURN QUERY
        SELECT i.request_id, coalesce(e.leg, 0), h.state, e.balance_nanos, e.input_nanos,
            e.cached_input_nanos, e.cache_creation_nanos, e.output_nanos, e.reasoning_nanos, true
        FROM unnest(p_items) i
        LEFT JOIN ledger.holds h ON h.request_id = i.request_id
        LEFT JOIN ledger.entries e ON e.request_id = i.request_id AND e.kind IN ('charge', 'correction')
        WHERE i.leg = 0;
    END IF;
END $$;

-- Holds may be lost with PostgreSQL (they commit asynchronously), or there never was one. Their charge makes
-- them, at zero, unless the request ended long ago and its hold is forgotten; so does their void, closed.
CREATE FUNCTION ledger.make_lost_holds(p_now timestamptz, p_items ledger.close_item[], p_locked text[])
RETURNS void
LANGUAGE sql
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
    INSERT INTO ledger.holds (
        request_id, state, account_id, key_hash, model, resolved_model,
        prompt_tokens, output_tokens, input_nanos, amount_nanos, spend_nanos,
        end_user, tags, created_at, expires_at, scopes, user_id, team_id, organization_id
    )
    SELECT i.request_id, CASE i.kind WHEN 'charge' THEN 'open' ELSE 'voided' END, coalesce(a.account_id, ''),
        i.key_hash, i.model, i.model_group,
        i.prompt_tokens, i.completion_tokens, 0, 0, 0,
        i.end_user, i.tags, p_now, p_now,
        ARRAY(SELECT x.account_id FROM unnest(i.scopes) x (account_id) WHERE x.account_id = ANY (p_locked)),
        coalesce(k.user_id, ''), coalesce(k.team_id, ''), coalesce(k.organization_id, '')
    FROM unnest(p_items) i
    LEFT JOIN ledger.accounts a ON a.account_id = i.account_id AND a.account_id = ANY (p_locked)
    LEFT JOIN ledger.holds h ON h.request_id = i.request_id
    LEFT JOIN ledger.keys k ON k.key_hash = i.key_hash
    WHERE i.leg = 0 AND h.request_id IS NULL
        AND (i.kind = 'void' OR (i.kind = 'charge' AND a.account_id IS NOT NULL))
        AND NOT EXISTS (SELECT FROM ledger.entries e WHERE e.request_id = i.request_id)
    ORDER BY i.request_id
    ON CONFLICT DO NOTHING
$$;

-- Raises holds while their calls stream.

CREATE TYPE ledger.top_up_item AS (
    request_id text,
    input_nanos bigint,  -- at the price of who answers
    amount_nanos bigint,  -- that the hold should have
    tokens bigint,  -- the same
    output_tokens bigint,
    hold_duration_s double precision  -- from now on: a stream that goes on does not expire
);

-- One row for each item: the hold as it is now, and the budget that allowed no more, if one did not. Budgets
-- decide; limits of tokens are counted, but no call is cut short because of them. The request_ids differ.
CREATE FUNCTION ledger.top_up(p_now timestamptz, p_timezone text, p_items ledger.top_up_item[])
RETURNS TABLE (request_id text, state text, amount_nanos bigint, denial_limit jsonb)
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
            h.amount_nanos AS held_nanos, h.tokens AS held_tokens, h.created_at,
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
        IF item.state = 'open' THEN
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
                output_tokens = greatest(h.output_tokens, CASE WHEN denial_limit IS NULL THEN item.output_tokens
                    WHEN item.amount_nanos > item.input_nanos AND total > item.input_nanos
                    THEN (item.output_tokens::numeric * (total - item.input_nanos)
                        / (item.amount_nanos - item.input_nanos))::bigint END),
                expires_at = greatest(h.expires_at, item.expires_at)
            WHERE h.request_id = item.request_id;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Gives back the slots of edges that did not renew their lease; returns how many. `p_since`: an edge that
-- never did had time until then.
CREATE FUNCTION ledger.free_slots(p_now timestamptz, p_since timestamptz, p_edge_id text) RETURNS bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    requests text[];
    locked text[];
    freed bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT array_agg(DISTINCT h.request_id), array_agg(DISTINCT x.account_id) INTO requests, locked
    FROM ledger.holds h
    LEFT JOIN ledger.edges e ON e.edge_id = h.edge_id
    CROSS JOIN LATERAL unnest(array_prepend(h.account_id, h.scopes)) x (account_id)
    WHERE h.has_slot AND h.edge_id <> '' AND CASE
        WHEN p_edge_id IS NOT NULL THEN h.edge_id = p_edge_id
        WHEN e.edge_id IS NULL THEN h.created_at <= p_since
        ELSE e.expires_at <= p_now END;
    IF requests IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM 1 FROM ledger.accounts a
    WHERE a.account_id = ANY (locked)
    ORDER BY a.account_id
    FOR NO KEY UPDATE;
    WITH freed AS (
        UPDATE ledger.holds h SET has_slot = false
        WHERE h.request_id = ANY (requests) AND h.has_slot
        RETURNING h.request_id, h.account_id, h.scopes
    ), moved AS (
        UPDATE ledger.accounts a SET open_calls = a.open_calls - sums.calls
        FROM (
            SELECT x.account_id, count(*) AS calls FROM freed f
            CROSS JOIN LATERAL unnest(array_prepend(f.account_id, f.scopes)) x (account_id)
            GROUP BY x.account_id
        ) sums
        WHERE a.account_id = sums.account_id
    )
    SELECT count(*) INTO freed FROM freed f;
    RETURN freed;
END $$;
