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
