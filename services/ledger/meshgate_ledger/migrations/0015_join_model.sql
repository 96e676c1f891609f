-- A call that another model is to answer counts on that model's own limits as well.

-- Lets an open hold count on the parts of its accounts that are for `p_model`, where it does not yet: with
-- all that it holds. One limit that has no room for it: nothing changes, and `denial_limit` is that limit as
-- it is. Rates count in the period in which the call was admitted, not in one that began later or is over.
CREATE FUNCTION ledger.join_model(
    p_now timestamptz, p_timezone text, p_request_id text, p_model text, OUT denial_limit jsonb
)
LANGUAGE plpgsql
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    hold ledger.holds;
    parts text[];
    refused record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT h.* INTO hold FROM ledger.holds h WHERE h.request_id = p_request_id;
    parts := ARRAY(
        SELECT x.account_id || '|model:' || p_model
        FROM unnest(array_prepend(hold.account_id, hold.scopes)) x (account_id)
        WHERE x.account_id NOT LIKE '%|model:%'
    );
    PERFORM 1 FROM ledger.accounts a
    WHERE a.account_id = ANY (parts || hold.account_id || hold.scopes)
    ORDER BY a.account_id
    FOR NO KEY UPDATE;
    SELECT h.* INTO hold FROM ledger.holds h WHERE h.request_id = p_request_id AND h.state = 'open';
    parts := ARRAY(
        SELECT a.account_id FROM ledger.accounts a
        WHERE a.account_id = ANY (parts) AND NOT a.account_id = ANY (hold.scopes)
    );
    IF hold.request_id IS NULL OR parts = '{}' THEN
        RETURN;
    END IF;

    PERFORM ledger.roll_limits(p_now, p_timezone, parts, '{spend}');
    UPDATE ledger.limits l
    SET used = 0, starts_at = hold.created_at, ends_at = hold.created_at + ledger.period_length(l.period)
    WHERE l.account_id = ANY (parts) AND l.metric IN ('requests', 'tokens')
        AND coalesce(l.ends_at <= hold.created_at, true)
        AND hold.created_at + ledger.period_length(l.period) > p_now;

    SELECT l.account_id, l.metric, l.period, l.maximum, l.ends_at, n.used INTO refused
    FROM ledger.limits l
    JOIN ledger.accounts a ON a.account_id = l.account_id
    CROSS JOIN LATERAL (
        SELECT
            CASE l.metric WHEN 'spend' THEN a.posted_nanos - l.base + a.pending_nanos ELSE l.used END AS used,
            CASE l.metric WHEN 'spend' THEN hold.amount_nanos WHEN 'tokens' THEN hold.tokens ELSE 1 END
                AS more,
            CASE l.metric
                WHEN 'spend' THEN hold.team_id = ''  -- a team's calls are not paid by the user: see scopes
                    OR split_part(l.account_id, '|model:', 1) <> 'user:' || hold.user_id
                ELSE l.starts_at <= hold.created_at AND l.ends_at > p_now END AS applies
    ) n
    WHERE l.account_id = ANY (parts) AND l.metric IN ('spend', 'requests', 'tokens')
        AND n.applies AND n.used + n.more > l.maximum
    ORDER BY l.account_id, l.metric, l.period
    LIMIT 1;
    IF FOUND THEN
        denial_limit := jsonb_build_object('account_id', refused.account_id, 'metric', refused.metric,
            'period', refused.period, 'maximum', refused.maximum, 'used', refused.used,
            'ends_at', refused.ends_at);
        RETURN;
    END IF;

    UPDATE ledger.accounts a
    SET pending_nanos = a.pending_nanos + hold.amount_nanos,
        open_calls = a.open_calls + CASE WHEN hold.has_slot THEN 1 ELSE 0 END
    WHERE a.account_id = ANY (parts);
    UPDATE ledger.limits l
    SET used = l.used + CASE l.metric WHEN 'requests' THEN 1 ELSE hold.tokens END
    WHERE l.account_id = ANY (parts) AND l.metric IN ('requests', 'tokens')
        AND l.starts_at <= hold.created_at AND l.ends_at > p_now;
    UPDATE ledger.holds h SET scopes = h.scopes || parts WHERE h.request_id = p_request_id;
END $$;
