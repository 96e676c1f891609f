-- The completion tokens of answers from the cache, by day. In the sums by day they are among all others, and
-- whoever wants to know what the providers generated has to take them away again.
CREATE TABLE ledger.daily_hits (
    day date NOT NULL,  -- UTC, of the posting
    key_hash text NOT NULL,
    model_group text NOT NULL,
    completion_tokens bigint NOT NULL,
    PRIMARY KEY (day, key_hash, model_group)
) WITH (fillfactor = 70);

-- By row, so that a posting that is no hit pays nothing for it. The rows of a key are written only by who
-- holds the lock of the account that pays for it, as those of ledger.daily_spend.
CREATE FUNCTION ledger.add_to_hits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger.daily_hits AS d
    VALUES ((NEW.created_at AT TIME ZONE 'UTC')::date, NEW.key_hash, NEW.model_group, NEW.completion_tokens)
    ON CONFLICT (day, key_hash, model_group)
    DO UPDATE SET completion_tokens = d.completion_tokens + excluded.completion_tokens;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_add_to_hits AFTER INSERT ON ledger.entries
    FOR EACH ROW WHEN (NEW.outcome = 'cache_hit' AND NEW.leg = 0) EXECUTE FUNCTION ledger.add_to_hits();

INSERT INTO ledger.daily_hits
SELECT (created_at AT TIME ZONE 'UTC')::date, key_hash, model_group, sum(completion_tokens)
FROM ledger.entries WHERE outcome = 'cache_hit' AND leg = 0
GROUP BY 1, 2, 3;
