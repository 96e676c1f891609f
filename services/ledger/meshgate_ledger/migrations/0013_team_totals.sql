-- The sums of past days without keys and users: what a report about teams, organisations, models or providers
-- together reads. A team with a hundred keys is one row for each model and day, not a hundred. Kept as
-- ledger.day_totals are, with them.
CREATE TABLE ledger.day_team_totals (
    team_id text NOT NULL,
    day date NOT NULL,
    model text NOT NULL,
    model_group text NOT NULL,
    provider text NOT NULL,
    organization_id text NOT NULL,
    imported boolean NOT NULL,
    spend_nanos bigint NOT NULL,
    saved_nanos bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_creation_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    requests bigint NOT NULL,
    failures bigint NOT NULL,
    cancelled bigint NOT NULL,
    cache_hits bigint NOT NULL,
    duration_us bigint NOT NULL,
    timed_requests bigint NOT NULL,
    PRIMARY KEY (team_id, day, model, model_group, provider, organization_id, imported)
);

CREATE INDEX day_team_totals_of_day ON ledger.day_team_totals (day);

INSERT INTO ledger.day_team_totals
SELECT team_id, day, model, model_group, provider, organization_id, imported,
    sum(spend_nanos), sum(saved_nanos), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens),
    sum(cache_creation_tokens), sum(reasoning_tokens), sum(requests), sum(failures), sum(cancelled),
    sum(cache_hits), sum(duration_us), sum(timed_requests)
FROM ledger.daily_spend
WHERE day < (SELECT before_day FROM ledger.totals_state)
GROUP BY team_id, day, model, model_group, provider, organization_id, imported
ORDER BY day, team_id;

-- Totals of every day before `p_today` that has none yet. Returns the first day without.
CREATE OR REPLACE FUNCTION ledger.total_days(p_today date) RETURNS date LANGUAGE plpgsql
SET work_mem = '64MB'
AS $$
DECLARE
    first_day date;
BEGIN
    SELECT before_day INTO first_day FROM ledger.totals_state FOR UPDATE;
    IF first_day < p_today THEN
        DELETE FROM ledger.day_totals WHERE day >= first_day;
        DELETE FROM ledger.day_team_totals WHERE day >= first_day;
        INSERT INTO ledger.day_totals
        SELECT CASE
                WHEN grouping(key_hash) = 0 THEN 'key_hash'
                WHEN grouping(user_id) = 0 THEN 'user_id'
                WHEN grouping(team_id) = 0 THEN 'team_id'
                WHEN grouping(organization_id) = 0 THEN 'organization_id'
                WHEN grouping(model) = 0 THEN 'model'
                WHEN grouping(model_group) = 0 THEN 'model_group'
                WHEN grouping(provider) = 0 THEN 'provider'
                ELSE 'all' END,
            day, coalesce(key_hash, user_id, team_id, organization_id, model, model_group, provider, ''),
            imported, sum(spend_nanos), sum(saved_nanos), sum(prompt_tokens), sum(completion_tokens),
            sum(cached_tokens), sum(cache_creation_tokens), sum(reasoning_tokens), sum(requests),
            sum(failures), sum(cancelled), sum(cache_hits), sum(duration_us), sum(timed_requests)
        FROM ledger.daily_spend
        WHERE day >= first_day AND day < p_today
        GROUP BY GROUPING SETS ((day, imported), (day, imported, key_hash), (day, imported, user_id),
            (day, imported, team_id), (day, imported, organization_id), (day, imported, model),
            (day, imported, model_group), (day, imported, provider));
        INSERT INTO ledger.day_totals
        SELECT kind, day, label, imported, sum(spend_nanos), sum(saved_nanos), sum(prompt_tokens),
            sum(completion_tokens), sum(cached_tokens), sum(cache_creation_tokens), sum(reasoning_tokens),
            sum(requests), sum(failures), sum(cancelled), sum(cache_hits), sum(duration_us),
            sum(timed_requests)
        FROM ledger.daily_label_spend
        WHERE day >= first_day AND day < p_today
        GROUP BY kind, day, label, imported;
        INSERT INTO ledger.day_team_totals
        SELECT team_id, day, model, model_group, provider, organization_id, imported,
            sum(spend_nanos), sum(saved_nanos), sum(prompt_tokens), sum(completion_tokens),
            sum(cached_tokens), sum(cache_creation_tokens), sum(reasoning_tokens), sum(requests),
            sum(failures), sum(cancelled), sum(cache_hits), sum(duration_us), sum(timed_requests)
        FROM ledger.daily_spend
        WHERE day >= first_day AND day < p_today
        GROUP BY team_id, day, model, model_group, provider, organization_id, imported
        ORDER BY day, team_id;
        UPDATE ledger.totals_state SET before_day = p_today;
        first_day := p_today;
    END IF;
    RETURN first_day;
END $$;

-- Whoever shows a day shows who spent most on it.
CREATE INDEX day_totals_by_spend ON ledger.day_totals (dimension, day, spend_nanos DESC, requests DESC);
