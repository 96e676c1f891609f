-- Reservations over every account that a call counts on.

-- How long a period is that runs from its first request: '60s', '1d', '2w', '1mo'.
CREATE FUNCTION ledger.period_length(period text) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN period = '' THEN NULL
        WHEN period LIKE '%mo' THEN make_interval(months => rtrim(period, 'mo')::int)
        WHEN period LIKE '%w' THEN make_interval(days => 7 * rtrim(period, 'w')::int)
        WHEN period LIKE '%d' THEN make_interval(days => rtrim(period, 'd')::int)
        WHEN period LIKE '%h' THEN make_interval(hours => rtrim(period, 'h')::int)
        WHEN period LIKE '%m' THEN make_interval(mins => rtrim(period, 'm')::int)
        ELSE make_interval(secs => rtrim(period, 's')::int)
    END
$$;

-- When a budget's period ends that is under way at `at`: days at midnight, weeks on Monday, months on the
-- first, hours on the hour and minutes on the minute, all in the time zone; others so long after `at`.
CREATE FUNCTION ledger.period_end(period text, at timestamptz, timezone text) RETURNS timestamptz
LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE
        WHEN period = '' THEN NULL
        WHEN period = '30d' THEN (date_trunc('month', at AT TIME ZONE timezone) + interval '1 month')
            AT TIME ZONE timezone
        WHEN period LIKE '%mo' THEN (date_trunc('month', at AT TIME ZONE timezone)
            + ledger.period_length(period)) AT TIME ZONE timezone
        WHEN period IN ('1d', '7d', '1w') OR period LIKE '%h' OR period ~ '^\d+m$' THEN
            (date_bin(ledger.period_length(period), at AT TIME ZONE timezone, timestamp '2001-01-01')
            + ledger.period_length(period)) AT TIME ZONE timezone  -- that was a Monday
        ELSE at + ledger.period_length(period)
    END
$$;

-- Budgets are rows of ledger.limits now, for keys as for everybody.
INSERT INTO ledger.limits (account_id, metric, period, maximum, starts_at)
SELECT a.account_id, 'spend', '', a.limit_nanos, now() FROM ledger.accounts a WHERE a.limit_nanos IS NOT NULL;

DROP FUNCTION ledger.reserve(timestamptz, boolean, ledger.reserve_item[]);
DROP TYPE ledger.reserve_item;

ALTER TABLE ledger.accounts
    DROP COLUMN limit_nanos,
    -- The models for which there is an account '<account_id>|model:<model>'; whoever knows this account's
    -- version knows that there are no others.
    ADD COLUMN limited_models text[] NOT NULL DEFAULT '{}';

ALTER TABLE ledger.holds ADD COLUMN denial_limit jsonb;  -- the limit that refused, as it was then
COMMENT ON COLUMN ledger.holds.scopes IS 'The accounts besides account_id that it counts on';

CREATE TYPE ledger.reserve_item AS (
    request_id text,
    scopes int[],  -- numbers of p_scopes, the payer's first; negative: its budgets do not apply
    key_hash text,
    key_version bigint,  -- of the record that the caller judged; -1: it knew none; NULL: not a virtual key
    model text,
    resolved_model text,
    prompt_tokens bigint,
    output_tokens bigint,
    input_nanos bigint,
    amount_nanos bigint,
    least_nanos bigint,  -- a smaller hold that is welcome when the budgets have no more; NULL: none is
    least_tokens bigint,  -- the same for limits of tokens
    expires_at timestamptz,
    end_user text,
    tags text[],
    user_id text,
    team_id text,
    organization_id text,
    edge_id text,
    denial_reason text,  -- the caller's rules refuse the call
    denial_message text
);

-- The hold of an item that nothing was decided for now: it was decided by an earlier transaction. `state` NULL:
-- there is none, because the key or an account is another than the caller judged.
CREATE TYPE ledger.earlier_decision AS (
    number int,  -- of the item
    state text,
    output_tokens bigint,
    amount_nanos bigint,
    spend_nanos bigint,
    denial_reason text,
    denial_limit jsonb,
    account_id text,
    model text,
    resolved_model text,
    denial_message text
);

-- A limit that took part.
CREATE TYPE ledger.limit_state AS (
    scope int,
    metric text,
    period text,
    maximum bigint,
    soft_maximum bigint,
    ends_at timestamptz
);

-- Begins every period anew that is over, of accounts whose locks are held.
CREATE FUNCTION ledger.roll_limits(p_now timestamptz, p_timezone text, p_accounts text[], p_metrics text[])
RETURNS void
LANGUAGE sql AS $$
    UPDATE ledger.limits l
    SET used = 0, starts_at = p_now, base = CASE l.metric WHEN 'spend' THEN a.posted_nanos ELSE l.base END,
        ends_at = CASE l.metric WHEN 'spend' THEN ledger.period_end(l.period, p_now, p_timezone)
            ELSE p_now + ledger.period_length(l.period) END
    FROM ledger.accounts a
    WHERE l.account_id = ANY (p_accounts) AND l.metric = ANY (p_metrics) AND l.period <> ''
        AND coalesce(l.ends_at <= p_now, true) AND a.account_id = l.account_id
$$;

-- Decides a batch of reservations in one round trip: in the order given, each against what the ones before
-- it left, on all of its scopes or none. An item that does not fit does not stand in the way of a smaller
-- one, and begins no period: a grant does. The request_ids of a batch differ, its scopes too; `p_versions` are
-- those that the callers judged, 0: known not to exist.
--
-- What was decided comes as arrays by number of the item, which cost a fraction of rows: states (NULL: see
-- `earlier`), what was granted where it is not what was asked, posted amounts, why it was refused and by which
-- limit. `used`: after a grant, of each limit of each of its scopes, in order, with what is held; an item's end
-- at `used_to`.
CREATE FUNCTION ledger.reserve(
    p_now timestamptz,
    p_durable boolean,
    p_timezone text,
    p_scopes text[],
    p_versions bigint[],
    p_items ledger.reserve_item[],
    OUT states text[],
    OUT amounts bigint[],
    OUT outputs bigint[],
    OUT spends bigint[],
    OUT reasons text[],
    OUT refusals jsonb[],
    OUT used_to int[],
    OUT used_after bigint[],
    OUT limits ledger.limit_state[],
    OUT earlier ledger.earlier_decision[]
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
    unlimited constant bigint := 1000000000000000000;  -- admission.UNLIMITED_NANOS
    item record;
    found record;
    number int;
    scope int;
    -- By scope.
    versions bigint[] := array_fill(0::bigint, ARRAY[cardinality(p_scopes)]);
    posted bigint[] := versions;
    total bigint[] := versions;  -- posted and held
    first_limit int[] := array_fill(1, ARRAY[cardinality(p_scopes)]);
    last_limit int[] := array_fill(0, ARRAY[cardinality(p_scopes)]);
    held_more bigint[] := array_fill(0::bigint, ARRAY[cardinality(p_scopes)]);
    called_more bigint[] := array_fill(0::bigint, ARRAY[cardinality(p_scopes)]);
    -- By limit.
    limit_count int := 0;
    metrics "char"[] := '{}';  -- 's', 'r', 't' or 'p'
    maxima bigint[] := '{}';
    used bigint[] := '{}';
    used_more bigint[] := '{}';
    ends timestamptz[] := '{}';
    owners text[] := '{}';
    names text[] := '{}';
    periods text[] := '{}';
    is_due boolean[] := '{}';  -- its period is over, or never began: it begins with the first grant
    is_begun boolean[] := '{}';
    bases bigint[] := '{}';
    -- By item, besides the answer.
    item_count constant int := cardinality(p_items);
    held_tokens bigint[] := array_fill(0::bigint, ARRAY[item_count]);
    slots boolean[] := array_fill(false, ARRAY[item_count]);
    -- Of the item.
    amount bigint;
    tokens bigint;
    needed bigint;
    refused_by int;
    has_slot boolean;
    decided int := 0;
    inserted int;
BEGIN
    IF NOT p_durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    states := array_fill(NULL::text, ARRAY[item_count]);
    amounts := array_fill(NULL::bigint, ARRAY[item_count]);
    outputs := amounts;
    spends := amounts;
    reasons := states;
    refusals := array_fill(NULL::jsonb, ARRAY[item_count]);
    used_to := array_fill(NULL::int, ARRAY[item_count]);
    used_after := ARRAY[]::bigint[];

    FOR found IN
        SELECT s.ordinality::int AS scope, a.version, a.posted_nanos, a.pending_nanos
        FROM unnest(p_scopes) WITH ORDINALITY s (account_id, ordinality)
        JOIN ledger.accounts a ON a.account_id = s.account_id
        ORDER BY a.account_id
        FOR NO KEY UPDATE OF a
    LOOP
        versions[found.scope] := found.version;
        posted[found.scope] := found.posted_nanos;
        total[found.scope] := found.posted_nanos + found.pending_nanos;
    END LOOP;

    limits := ARRAY[]::ledger.limit_state[];
    FOR found IN
        SELECT s.ordinality::int AS scope, l.account_id, l.metric, l.period, l.maximum, l.soft_maximum,
            d.is_due, a.posted_nanos,
            CASE WHEN l.metric = 'parallel' THEN a.open_calls
                WHEN l.metric = 'spend' THEN
                    a.pending_nanos + CASE WHEN d.is_due THEN 0 ELSE a.posted_nanos - l.base END
                WHEN d.is_due THEN 0 ELSE l.used END AS used,
            CASE WHEN NOT d.is_due THEN l.ends_at
                WHEN l.metric = 'spend' THEN ledger.period_end(l.period, p_now, p_timezone)
                ELSE p_now + ledger.period_length(l.period) END AS ends_at
        FROM unnest(p_scopes) WITH ORDINALITY s (account_id, ordinality)
        JOIN ledger.accounts a ON a.account_id = s.account_id
        JOIN ledger.limits l ON l.account_id = s.account_id
        CROSS JOIN LATERAL (
            SELECT l.metric <> 'parallel' AND l.period <> '' AND coalesce(l.ends_at <= p_now, true) AS is_due
        ) d
        ORDER BY s.ordinality, position(l.metric IN 'spend requests tokens parallel'), l.period
    LOOP
        limit_count := limit_count + 1;
        IF last_limit[found.scope] = 0 THEN
            first_limit[found.scope] := limit_count;
        END IF;
        last_limit[found.scope] := limit_count;
        metrics[limit_count] := found.metric::"char";
        maxima[limit_count] := coalesce(found.maximum, unlimited);
        used[limit_count] := found.used;
        used_more[limit_count] := 0;
        ends[limit_count] := found.ends_at;
        owners[limit_count] := found.account_id;
        names[limit_count] := found.metric;
        is_due[limit_count] := found.is_due;
        is_begun[limit_count] := false;
        bases[limit_count] := found.posted_nanos;
        periods[limit_count] := found.period;
        limits[limit_count] := ROW(found.scope, found.metric, found.period, found.maximum,
            found.soft_maximum, found.ends_at);
    END LOOP;

    FOR item IN
        SELECT i.ordinality::int AS number, i.scopes, i.key_version, i.denial_reason,
            i.amount_nanos, i.least_nanos, i.prompt_tokens, i.prompt_tokens + i.output_tokens AS tokens,
            i.least_tokens,
            h.request_id IS NOT NULL AS is_decided,
            k.key_hash IS NULL OR k.deleted_at IS NOT NULL AS is_unknown, k.version
        FROM unnest(p_items) WITH ORDINALITY i
        LEFT JOIN ledger.holds h ON h.request_id = i.request_id
        LEFT JOIN ledger.keys k ON k.key_hash = i.key_hash
        ORDER BY i.ordinality
    LOOP
        number := item.number;
        IF item.is_decided THEN
            CONTINUE;
        ELSIF item.key_version IS NOT NULL AND item.is_unknown THEN
            states[number] := 'denied';
            reasons[number] := 'KEY_UNKNOWN';
            spends[number] := 0;
            decided := decided + 1;
            CONTINUE;
        ELSIF item.key_version <> item.version THEN
            CONTINUE;
        END IF;
        refused_by := NULL;
        FOREACH scope IN ARRAY item.scopes LOOP
            IF versions[abs(scope)] <> p_versions[abs(scope)] THEN
                refused_by := -1;
            END IF;
        END LOOP;
        CONTINUE WHEN refused_by = -1;
        decided := decided + 1;
        spends[number] := posted[item.scopes[1]];
        IF item.denial_reason IS NOT NULL THEN
            states[number] := 'denied';
            reasons[number] := item.denial_reason;
            CONTINUE;
        END IF;

        amount := item.amount_nanos;
        tokens := item.tokens;
        has_slot := false;
        FOREACH scope IN ARRAY item.scopes LOOP
            -- Budget or not: sums have to stay inside 64 bits.
            IF total[abs(scope)] + amount > unlimited THEN
                refused_by := 0;
                EXIT;
            END IF;
            FOR each IN first_limit[abs(scope)] .. last_limit[abs(scope)] LOOP
                CASE metrics[each]
                WHEN 's' THEN
                    CONTINUE WHEN scope < 0 OR used[each] + amount <= maxima[each];
                    IF used[each] + item.least_nanos <= maxima[each] THEN
                        amount := item.least_nanos;
                        CONTINUE;
                    END IF;
                WHEN 't' THEN
                    CONTINUE WHEN used[each] + tokens <= maxima[each];
                    IF used[each] + item.least_tokens <= maxima[each] THEN
                        tokens := item.least_tokens;
                        CONTINUE;
                    END IF;
                WHEN 'p' THEN
                    has_slot := true;
                    CONTINUE WHEN used[each] + 1 <= maxima[each];
                ELSE
                    CONTINUE WHEN used[each] + 1 <= maxima[each];
                END CASE;
                refused_by := each;
                EXIT;
            END LOOP;
            EXIT WHEN refused_by IS NOT NULL;
        END LOOP;

        IF refused_by IS NOT NULL THEN
            states[number] := 'denied';
            reasons[number] := 'BUDGET_EXCEEDED';
            IF refused_by = 0 THEN
                refusals[number] := jsonb_build_object('account_id', p_scopes[abs(scope)], 'metric', 'spend',
                    'period', '', 'maximum', unlimited, 'used', total[abs(scope)], 'ends_at', NULL);
            ELSE
                reasons[number] := CASE metrics[refused_by] WHEN 's' THEN 'BUDGET_EXCEEDED'
                    WHEN 'p' THEN 'PARALLEL_LIMITED' ELSE 'RATE_LIMITED' END;
                refusals[number] := jsonb_build_object('account_id', owners[refused_by],
                    'metric', (limits[refused_by]).metric, 'period', periods[refused_by],
                    'maximum', maxima[refused_by], 'used', used[refused_by], 'ends_at', ends[refused_by]);
            END IF;
            CONTINUE;
        END IF;

        states[number] := 'open';
        IF amount < item.amount_nanos THEN
            amounts[number] := amount;
            outputs[number] := item.least_tokens - item.prompt_tokens;
        END IF;
        held_tokens[number] := tokens;
        slots[number] := has_slot;
        FOREACH scope IN ARRAY item.scopes LOOP
            scope := abs(scope);
            CONTINUE WHEN p_versions[scope] = 0;
            total[scope] := total[scope] + amount;
            held_more[scope] := held_more[scope] + amount;
            IF has_slot THEN
                called_more[scope] := called_more[scope] + 1;
            END IF;
            FOR each IN first_limit[scope] .. last_limit[scope] LOOP
                needed := CASE metrics[each] WHEN 's' THEN amount WHEN 't' THEN tokens ELSE 1 END;
                used[each] := used[each] + needed;
                used_more[each] := used_more[each] + needed;
                is_begun[each] := is_due[each];
                used_after := used_after || used[each];
            END LOOP;
        END LOOP;
        used_to[number] := cardinality(used_after);
    END LOOP;

    INSERT INTO ledger.holds (
        request_id, state, account_id, key_hash, model, resolved_model,
        prompt_tokens, output_tokens, input_nanos, amount_nanos, tokens, spend_nanos,
        denial_reason, denial_message, denial_limit,
        end_user, tags, created_at, expires_at, edge_id, has_slot, scopes, user_id, team_id, organization_id
    )
    SELECT i.request_id, states[i.ordinality], p_scopes[i.scopes[1]], i.key_hash, i.model, i.resolved_model,
        i.prompt_tokens, coalesce(outputs[i.ordinality], i.output_tokens),
        least(i.input_nanos, amounts[i.ordinality]),
        coalesce(amounts[i.ordinality], i.amount_nanos),
        held_tokens[i.ordinality], spends[i.ordinality],
        reasons[i.ordinality], i.denial_message, refusals[i.ordinality],
        i.end_user, i.tags, p_now, i.expires_at, i.edge_id, slots[i.ordinality],
        CASE WHEN cardinality(i.scopes) = 1 THEN '{}' ELSE ARRAY(
            SELECT p_scopes[abs(s.scope)] FROM unnest(i.scopes[2:]) s (scope)
            WHERE p_versions[abs(s.scope)] > 0
        ) END,
        i.user_id, i.team_id, i.organization_id
    FROM unnest(p_items) WITH ORDINALITY i
    WHERE states[i.ordinality] IS NOT NULL
    ORDER BY i.request_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted < decided THEN
        RAISE EXCEPTION 'a request was decided elsewhere' USING ERRCODE = 'serialization_failure';
    END IF;

    UPDATE ledger.accounts a
    SET pending_nanos = a.pending_nanos + more.nanos, open_calls = a.open_calls + more.calls
    FROM unnest(p_scopes, held_more, called_more) more (account_id, nanos, calls)
    WHERE a.account_id = more.account_id AND (more.nanos > 0 OR more.calls > 0);

    IF 'r' = ANY (metrics) OR 't' = ANY (metrics) OR true = ANY (is_begun) THEN
        UPDATE ledger.limits l
        SET used = CASE WHEN l.metric = 'spend' THEN 0 WHEN m.is_begun THEN m.used ELSE l.used + m.used END,
            base = CASE WHEN m.is_begun AND l.metric = 'spend' THEN m.base ELSE l.base END,
            starts_at = CASE WHEN m.is_begun THEN p_now ELSE l.starts_at END,
            ends_at = CASE WHEN m.is_begun THEN m.ends_at ELSE l.ends_at END
        FROM unnest(owners, names, periods, used_more, is_begun, bases, ends)
            m (account_id, metric, period, used, is_begun, base, ends_at)
        WHERE l.account_id = m.account_id AND l.metric = m.metric AND l.period = m.period
            AND (m.is_begun OR (m.used > 0 AND m.metric IN ('requests', 'tokens')));
    END IF;

    earlier := ARRAY[]::ledger.earlier_decision[];
    IF decided < item_count THEN
        earlier := ARRAY(
            SELECT ROW(i.ordinality, h.state, h.output_tokens, h.amount_nanos, h.spend_nanos, h.denial_reason,
                h.denial_limit, h.account_id, h.model, h.resolved_model, h.denial_message
                )::ledger.earlier_decision
            FROM unnest(p_items) WITH ORDINALITY i
            LEFT JOIN ledger.holds h ON h.request_id = i.request_id
            WHERE states[i.ordinality] IS NULL
        );
    END IF;
END $$;
