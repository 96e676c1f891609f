-- Reports that do not get slower with the number of entries: sums by day, and entries in partitions by month.

-- What was spent on a day, by everything that a report may ask for. A trigger keeps it in the transaction that
-- posts, so it is never behind. The rows of one key are written only by who holds the lock of the account that
-- pays for it: nobody waits here who has not waited there, and nothing can deadlock.
CREATE TABLE ledger.daily_spend (
    day date NOT NULL,  -- UTC, of the posting
    key_hash text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    organization_id text NOT NULL,
    model text NOT NULL,  -- the provider's name of it; where none answered, what was asked for
    model_group text NOT NULL,
    provider text NOT NULL,
    imported boolean NOT NULL,  -- brought from another gateway: there are no entries of it
    spend_nanos bigint NOT NULL,
    saved_nanos bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_creation_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    requests bigint NOT NULL,
    failures bigint NOT NULL,  -- of requests; also those that no provider was called for, or nobody settled
    cancelled bigint NOT NULL,  -- of requests
    cache_hits bigint NOT NULL,  -- of requests
    duration_us bigint NOT NULL,  -- of timed_requests together
    timed_requests bigint NOT NULL,
    PRIMARY KEY (day, key_hash, model, model_group, provider, user_id, team_id, organization_id, imported)
) WITH (fillfactor = 70);

CREATE INDEX daily_spend_of_key ON ledger.daily_spend (key_hash, day);
CREATE INDEX daily_spend_of_user ON ledger.daily_spend (user_id, day) WHERE user_id <> '';
CREATE INDEX daily_spend_of_team ON ledger.daily_spend (team_id, day) WHERE team_id <> '';

-- The same once more for each tag and end user of a call. A call with two tags counts under both.
CREATE TABLE ledger.daily_label_spend (
    kind text NOT NULL CHECK (kind IN ('tag', 'end_user')),
    label text NOT NULL,
    LIKE ledger.daily_spend,
    PRIMARY KEY (kind, day, label, key_hash, model, model_group, provider, user_id, team_id, organization_id,
        imported)
) WITH (fillfactor = 70);

CREATE INDEX daily_label_spend_of_label ON ledger.daily_label_spend (kind, label, day);

-- The sums of past days once more by each dimension alone, so that a report over a year reads a few thousand
-- rows: dimension 'all' has the value ''. Days before `totals_state.before_day` are complete; `total_days` adds
-- days that are over, a posting that comes late takes its day back.
CREATE TABLE ledger.day_totals (
    dimension text NOT NULL,
    day date NOT NULL,
    value text NOT NULL,
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
    PRIMARY KEY (dimension, day, value, imported)
);

CREATE TABLE ledger.totals_state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    before_day date NOT NULL
);

INSERT INTO ledger.totals_state (before_day) VALUES ('-infinity');

-- Totals of every day before `p_today` that has none yet. Returns the first day without.
CREATE FUNCTION ledger.total_days(p_today date) RETURNS date LANGUAGE plpgsql
SET work_mem = '64MB'
AS $$
DECLARE
    first_day date;
BEGIN
    SELECT before_day INTO first_day FROM ledger.totals_state FOR UPDATE;
    IF first_day < p_today THEN
        DELETE FROM ledger.day_totals WHERE day >= first_day;
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
        UPDATE ledger.totals_state SET before_day = p_today;
        first_day := p_today;
    END IF;
    RETURN first_day;
END $$;

-- What the dropped partitions of entries had added to each account. `last_entry_id` is of its last one.
CREATE TABLE ledger.carried (
    account_id text PRIMARY KEY,
    amount_nanos bigint NOT NULL,
    entry_count bigint NOT NULL,
    last_entry_id bigint NOT NULL
);

CREATE TABLE ledger.dropped_partitions (
    name text PRIMARY KEY,
    ends_at timestamptz NOT NULL,  -- no entry before it is left
    entry_count bigint NOT NULL,
    dropped_at timestamptz NOT NULL
);

-- Entries, in partitions. Unique within a month only, which is why a hold remembers for longer that its request
-- was posted; `verify` looks for what is there twice.
ALTER TABLE ledger.entries RENAME TO entries_before_partitions;

CREATE TABLE ledger.entries (
    LIKE ledger.entries_before_partitions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY,
    PRIMARY KEY (created_at, entry_id)
) PARTITION BY RANGE (created_at);

CREATE INDEX ON ledger.entries (key_hash, created_at) WHERE key_hash <> '';
CREATE INDEX ON ledger.entries (user_id, created_at) WHERE user_id <> '';
CREATE INDEX ON ledger.entries (team_id, created_at) WHERE team_id <> '';
CREATE INDEX ON ledger.entries (end_user, created_at) WHERE end_user <> '';
CREATE INDEX ON ledger.entries (response_id) WHERE response_id <> '';

-- A table that can become a partition of entries. It is append-only by itself: triggers of the whole do not
-- fire for who names the part.
CREATE FUNCTION ledger.new_entries_table(p_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.entries INCLUDING DEFAULTS INCLUDING CONSTRAINTS '
        'INCLUDING INDEXES)', p_name);
    EXECUTE format('CREATE UNIQUE INDEX ON ledger.%I (request_id, kind, leg)', p_name);
    EXECUTE format('CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.%I '
        'FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', p_name);
END $$;

-- An insert never fails for want of a partition.
SELECT ledger.new_entries_table('entries_default');
ALTER TABLE ledger.entries ATTACH PARTITION ledger.entries_default DEFAULT;

-- Makes the partition of the month of `p_at` (UTC), unless it is there. What waits for it in the default
-- partition moves over.
CREATE FUNCTION ledger.add_entries_partition(p_at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    starts_at timestamptz := date_trunc('month', p_at, 'UTC');
    ends_at timestamptz := date_trunc('month', starts_at + interval '32 days', 'UTC');
    name text := to_char(starts_at AT TIME ZONE 'UTC', '"entries_"YYYY_MM');
BEGIN
    IF to_regclass('ledger.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM ledger.new_entries_table(name);
    LOCK TABLE ledger.entries_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM ledger.entries_default WHERE created_at >= starts_at AND created_at < ends_at) THEN
        ALTER TABLE ledger.entries_default DISABLE TRIGGER entries_append_only;
        EXECUTE format('WITH moved AS (DELETE FROM ledger.entries_default '
            'WHERE created_at >= %L AND created_at < %L RETURNING *) '
            'INSERT INTO ledger.%I SELECT * FROM moved', starts_at, ends_at, name);
        ALTER TABLE ledger.entries_default ENABLE TRIGGER entries_append_only;
    END IF;
    EXECUTE format('ALTER TABLE ledger.entries ATTACH PARTITION ledger.%I FOR VALUES FROM (%L) TO (%L)',
        name, starts_at, ends_at);
    RETURN true;
END $$;

-- Makes the partitions of this month and the next ones, and of whatever the default partition holds. Returns
-- how many it made.
CREATE FUNCTION ledger.add_entries_partitions(p_now timestamptz, p_months_ahead int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    wanted timestamptz[] := ARRAY(
        SELECT date_trunc('month', p_now, 'UTC') + i * interval '1 month 1 day'
        FROM generate_series(0, p_months_ahead) i
        UNION
        SELECT DISTINCT date_trunc('month', created_at, 'UTC') FROM ledger.entries_default
    );
BEGIN
    RETURN (SELECT count(*) FROM unnest(wanted) w (at) WHERE ledger.add_entries_partition(w.at));
END $$;

SELECT ledger.add_entries_partitions(now(), 3);

CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

CREATE FUNCTION ledger.expiries(p_request_ids text[]) RETURNS SETOF ledger.entries LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_request_ids <> '{}' THEN  -- seldom: do not open all partitions for nothing
        RETURN QUERY SELECT * FROM ledger.entries WHERE request_id = ANY (p_request_ids) AND kind = 'expiry';
    END IF;
END $$;

-- Adds what was posted to the day of its posting. A request that expired and was charged or voided later
-- counts as what it was in the end: its expiry is taken back, with its tokens, under its own model.
-- What opened an account at an import is not of a day: its history is.
CREATE FUNCTION ledger.add_to_days() RETURNS trigger LANGUAGE plpgsql
SET jit = off
AS $$
BEGIN
    WITH undone AS MATERIALIZED (
        SELECT n.created_at AS undone_at, x.*
        FROM ledger.expiries(ARRAY(
            SELECT a.request_id FROM added a WHERE a.kind IN ('correction', 'void') AND a.leg = 0
        )) x
        JOIN added n ON n.request_id = x.request_id AND n.kind IN ('correction', 'void') AND n.leg = 0
    ), parts AS (
        SELECT n.created_at, 1 AS sign, n.amount_nanos + coalesce(u.amount_nanos, 0) AS charged_nanos,
            n.key_hash, n.user_id, n.team_id, n.organization_id, n.upstream_model, n.model, n.model_group,
            n.provider, n.saved_nanos, n.prompt_tokens, n.completion_tokens, n.cached_tokens,
            n.cache_creation_tokens, n.reasoning_tokens, n.leg, n.kind, n.outcome, n.start_time, n.end_time,
            n.end_user, n.tags
        FROM added n
        LEFT JOIN undone u ON u.request_id = n.request_id AND n.kind IN ('correction', 'void') AND n.leg = 0
        WHERE n.outcome <> 'import'
        UNION ALL
        SELECT u.undone_at, -1, u.amount_nanos,
            u.key_hash, u.user_id, u.team_id, u.organization_id, u.upstream_model, u.model, u.model_group,
            u.provider, u.saved_nanos, u.prompt_tokens, u.completion_tokens, u.cached_tokens,
            u.cache_creation_tokens, u.reasoning_tokens, u.leg, u.kind, u.outcome, u.start_time, u.end_time,
            u.end_user, u.tags
        FROM undone u
    ), calls AS MATERIALIZED (
        SELECT (p.created_at AT TIME ZONE 'UTC')::date AS day, p.key_hash, p.user_id, p.team_id,
            p.organization_id, coalesce(nullif(p.upstream_model, ''), p.model) AS model, p.model_group,
            p.provider, p.sign * p.charged_nanos AS spend_nanos, p.sign * p.saved_nanos AS saved_nanos,
            p.sign * p.prompt_tokens AS prompt_tokens, p.sign * p.completion_tokens AS completion_tokens,
            p.sign * p.cached_tokens AS cached_tokens,
            p.sign * p.cache_creation_tokens AS cache_creation_tokens,
            p.sign * p.reasoning_tokens AS reasoning_tokens,
            CASE p.leg WHEN 0 THEN p.sign ELSE 0 END AS requests,
            p.outcome, p.kind, p.end_user, p.tags,
            CASE p.leg WHEN 0 THEN (1e6 * extract(epoch FROM p.end_time - p.start_time))::bigint END AS took_us
        FROM parts p
    ), counted AS (
        INSERT INTO ledger.daily_spend AS d
        SELECT c.day, c.key_hash, c.user_id, c.team_id, c.organization_id, c.model, c.model_group, c.provider,
            false, sum(c.spend_nanos), sum(c.saved_nanos), sum(c.prompt_tokens), sum(c.completion_tokens),
            sum(c.cached_tokens), sum(c.cache_creation_tokens), sum(c.reasoning_tokens),
            sum(c.requests),
            coalesce(sum(c.requests) FILTER (WHERE c.outcome = 'failure' OR c.kind IN ('void', 'expiry')), 0),
            coalesce(sum(c.requests) FILTER (WHERE c.outcome = 'cancelled'), 0),
            coalesce(sum(c.requests) FILTER (WHERE c.outcome = 'cache_hit'), 0),
            coalesce(sum(c.requests * c.took_us), 0),
            coalesce(sum(c.requests) FILTER (WHERE c.took_us IS NOT NULL), 0)
        FROM calls c
        GROUP BY c.day, c.key_hash, c.model, c.model_group, c.provider, c.user_id, c.team_id, c.organization_id
        ORDER BY c.day, c.key_hash, c.model, c.model_group, c.provider, c.user_id, c.team_id, c.organization_id
        ON CONFLICT (day, key_hash, model, model_group, provider, user_id, team_id, organization_id, imported)
        DO UPDATE SET spend_nanos = d.spend_nanos + excluded.spend_nanos,
            saved_nanos = d.saved_nanos + excluded.saved_nanos,
            prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = d.completion_tokens + excluded.completion_tokens,
            cached_tokens = d.cached_tokens + excluded.cached_tokens,
            cache_creation_tokens = d.cache_creation_tokens + excluded.cache_creation_tokens,
            reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens,
            requests = d.requests + excluded.requests,
            failures = d.failures + excluded.failures,
            cancelled = d.cancelled + excluded.cancelled,
            cache_hits = d.cache_hits + excluded.cache_hits,
            duration_us = d.duration_us + excluded.duration_us,
            timed_requests = d.timed_requests + excluded.timed_requests
    )
    INSERT INTO ledger.daily_label_spend AS d
    SELECT l.kind, l.label, c.day, c.key_hash, c.user_id, c.team_id, c.organization_id, c.model, c.model_group,
        c.provider, false, sum(c.spend_nanos), sum(c.saved_nanos), sum(c.prompt_tokens),
        sum(c.completion_tokens), sum(c.cached_tokens), sum(c.cache_creation_tokens), sum(c.reasoning_tokens),
        sum(c.requests),
        coalesce(sum(c.requests) FILTER (WHERE c.outcome = 'failure' OR c.kind IN ('void', 'expiry')), 0),
        coalesce(sum(c.requests) FILTER (WHERE c.outcome = 'cancelled'), 0),
        coalesce(sum(c.requests) FILTER (WHERE c.outcome = 'cache_hit'), 0),
        coalesce(sum(c.requests * c.took_us), 0),
        coalesce(sum(c.requests) FILTER (WHERE c.took_us IS NOT NULL), 0)
    FROM calls c
    CROSS JOIN LATERAL (
        SELECT DISTINCT 'tag' AS kind, t.label FROM unnest(c.tags) t (label) WHERE t.label <> ''
        UNION ALL
        SELECT 'end_user', c.end_user WHERE c.end_user <> ''
    ) l
    GROUP BY l.kind, c.day, l.label, c.key_hash, c.model, c.model_group, c.provider, c.user_id, c.team_id,
        c.organization_id
    ORDER BY l.kind, c.day, l.label, c.key_hash, c.model, c.model_group, c.provider, c.user_id, c.team_id,
        c.organization_id
    ON CONFLICT (kind, day, label, key_hash, model, model_group, provider, user_id, team_id, organization_id,
        imported)
    DO UPDATE SET spend_nanos = d.spend_nanos + excluded.spend_nanos,
        saved_nanos = d.saved_nanos + excluded.saved_nanos,
        prompt_tokens = d.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = d.completion_tokens + excluded.completion_tokens,
        cached_tokens = d.cached_tokens + excluded.cached_tokens,
        cache_creation_tokens = d.cache_creation_tokens + excluded.cache_creation_tokens,
        reasoning_tokens = d.reasoning_tokens + excluded.reasoning_tokens,
        requests = d.requests + excluded.requests,
        failures = d.failures + excluded.failures,
        cancelled = d.cancelled + excluded.cancelled,
        cache_hits = d.cache_hits + excluded.cache_hits,
        duration_us = d.duration_us + excluded.duration_us,
        timed_requests = d.timed_requests + excluded.timed_requests;

    UPDATE ledger.totals_state
    SET before_day = (SELECT min(created_at AT TIME ZONE 'UTC')::date FROM added)
    WHERE before_day > (SELECT min(created_at AT TIME ZONE 'UTC')::date FROM added);  -- hardly ever
    RETURN NULL;
END $$;

CREATE TRIGGER entries_add_to_days AFTER INSERT ON ledger.entries
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.add_to_days();

-- What was posted before there were partitions; the trigger counts it.
INSERT INTO ledger.entries OVERRIDING SYSTEM VALUE
SELECT * FROM ledger.entries_before_partitions ORDER BY entry_id;
SELECT setval(pg_get_serial_sequence('ledger.entries', 'entry_id'),
    (SELECT coalesce(max(entry_id), 0) + 1 FROM ledger.entries), false);
DROP TABLE ledger.entries_before_partitions;
SELECT ledger.add_entries_partitions(now(), 3);

-- Drops the partitions that ended before `p_before`, after their sums went to `carried`, in one transaction. One
-- stays for as long as a hold may refer to it. Returns the names of the dropped.
CREATE FUNCTION ledger.drop_entries(p_before timestamptz, p_now timestamptz) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    part record;
    dropped_count bigint;
BEGIN
    FOR part IN
        SELECT c.relname AS name,
            date_trunc('month', to_timestamp(substr(c.relname, 9), 'YYYY_MM') AT TIME ZONE 'UTC'
                + interval '32 days', 'UTC') AS ends_at
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.entries'::regclass AND c.relname ~ '^entries_\d{4}_\d\d$'
        ORDER BY c.relname
    LOOP
        EXIT WHEN part.ends_at > p_before
            OR EXISTS (SELECT FROM ledger.holds h WHERE h.created_at < part.ends_at);
        EXECUTE format('LOCK TABLE ledger.%I IN SHARE MODE', part.name);
        EXECUTE format('INSERT INTO ledger.carried AS c '
            'SELECT s.account_id, sum(e.amount_nanos), count(*), max(e.entry_id) '
            'FROM ledger.%I e, LATERAL (SELECT e.account_id UNION SELECT unnest(e.scopes)) s '
            'GROUP BY s.account_id '
            'ON CONFLICT (account_id) DO UPDATE SET amount_nanos = c.amount_nanos + excluded.amount_nanos, '
            'entry_count = c.entry_count + excluded.entry_count, '
            'last_entry_id = greatest(c.last_entry_id, excluded.last_entry_id)', part.name);
        EXECUTE format('INSERT INTO ledger.dropped_partitions SELECT %L, %L, count(*), %L FROM ledger.%I',
            part.name, part.ends_at, p_now, part.name);
        EXECUTE format('DROP TABLE ledger.%I', part.name);
        RETURN NEXT part.name;
    END LOOP;
END $$;

CREATE INDEX keys_of_account ON ledger.keys (account_id);

-- What was brought from other gateways: the spend of each account there, as it was posted here by entries with
-- the outcome 'import'.
CREATE TABLE ledger.imports (
    source text NOT NULL,
    account_id text NOT NULL,
    amount_nanos bigint NOT NULL,
    posting_count bigint NOT NULL,
    imported_at timestamptz NOT NULL,
    PRIMARY KEY (source, account_id)
);
