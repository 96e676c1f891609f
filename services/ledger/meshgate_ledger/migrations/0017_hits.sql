-- The completion tokens of answers from the cache, by day. In the sums by day they are among all others, and
-- whoever wants to know what the providers generated has to take them away again.
CREATE TABLE ledger.daily_hits (
    day date NOT NULL,  -- UTC, of the posting
    key_hash text NOT NULL,
    model_group text NOT NULL,
    completion_tokens bigint NOT NULL,
    PRIMARY KEY (day, key_hash, model_group)
) WITH (fillfactor = 70);

-- The rows of a key are written, in this order, only by who holds the lock of the account that pays for it,
-- as those of ledger.daily_spend.
CREATE FUNCTION ledger.add_to_hits() RETURNS trigger LANGUAGE plpgsql
SET jit = off
SET enable_hashagg = off
AS $$
BEGIN
    INSERT INTO ledger.daily_hits AS d
    SELECT (n.created_at AT TIME ZONE 'UTC')::date, n.key_hash, n.model_group, sum(n.completion_tokens)
    FROM added n
    WHERE n.outcome = 'cache_hit' AND n.leg = 0
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3
    ON CONFLICT (day, key_hash, model_group)
    DO UPDATE SET completion_tokens = d.completion_tokens + excluded.completion_tokens;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_add_to_hits AFTER INSERT ON ledger.entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger.add_to_hits();

INSERT INTO ledger.daily_hits
SELECT (created_at AT TIME ZONE 'UTC')::date, key_hash, model_group, sum(completion_tokens)
FROM ledger.entries WHERE outcome = 'cache_hit' AND leg = 0
GROUP BY 1, 2, 3;
