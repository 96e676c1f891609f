-- The ledger's tables.
--
-- Amounts are integers of nano-USD. Two equations hold at every commit and are proved by `verify`:
--   accounts.posted_nanos  = sum(entries.amount_nanos) of the account
--   accounts.pending_nanos = sum(holds.amount_nanos) of the account's open holds
--
-- Locks, in this order everywhere, so that nothing can deadlock: accounts by account_id, then holds by
-- request_id. Whoever changes a hold or posts an entry holds the lock of its account. That, and accounts
-- never being deleted, is why the hot tables need no foreign keys.

CREATE TABLE ledger.accounts (
    account_id text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('master', 'open', 'key')),
    posted_nanos bigint NOT NULL DEFAULT 0 CHECK (posted_nanos >= 0),
    pending_nanos bigint NOT NULL DEFAULT 0 CHECK (pending_nanos >= 0),
    limit_nanos bigint CHECK (limit_nanos >= 0)  -- NULL: none
) WITH (fillfactor = 50);  -- room for updates in place

INSERT INTO ledger.accounts (account_id, kind) VALUES ('master', 'master'), ('open', 'open');

-- The rules of virtual keys; their money is in accounts, as 'key:' || key_hash. Empty text means none.
-- Rows stay when a key is deleted, because its entries do. `version` grows with every change, which is how
-- a decision made from a remembered row is known to be out of date; a change of the account's limit has to
-- touch the key as well.
CREATE TABLE ledger.keys (
    key_hash text PRIMARY KEY CHECK (key_hash ~ '^[0-9a-f]{64}$'),
    key_name text NOT NULL,
    key_alias text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    models text[] NOT NULL,
    aliases jsonb NOT NULL,
    blocked boolean NOT NULL,
    metadata text NOT NULL,  -- JSON as given, so that it is given back as it was
    settings text NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    created_by_request text NOT NULL,
    deleted_by_request text,
    version bigint NOT NULL DEFAULT 1
);

CREATE UNIQUE INDEX keys_live_alias ON ledger.keys (key_alias) WHERE key_alias <> '' AND deleted_at IS NULL;

CREATE FUNCTION ledger.next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$;

CREATE TRIGGER keys_version BEFORE UPDATE ON ledger.keys
    FOR EACH ROW EXECUTE FUNCTION ledger.next_version();

-- One row for each request that was decided: the decision itself, and what became of it.
--
--   denied
--   open -> settled | voided | expired
--           expired -> settled | voided        (the estimate that was charged is corrected)
--
-- The primary key makes reserve idempotent, the state makes settle, void and expiry idempotent.
CREATE TABLE ledger.holds (
    request_id text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('denied', 'open', 'settled', 'voided', 'expired')),
    account_id text NOT NULL,
    key_hash text NOT NULL,
    model text NOT NULL,
    resolved_model text NOT NULL,
    prompt_tokens bigint NOT NULL,  -- as estimated
    output_tokens bigint NOT NULL,
    input_nanos bigint NOT NULL,  -- of amount_nanos
    amount_nanos bigint NOT NULL CHECK (amount_nanos >= input_nanos AND input_nanos >= 0),
    spend_nanos bigint NOT NULL,  -- posted at the decision; of a refused budget: posted plus held
    limit_nanos bigint,  -- of a refused budget
    denial_reason text,
    denial_message text,
    end_user text NOT NULL,
    tags text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CHECK ((state = 'denied') = (denial_reason IS NOT NULL))
);

CREATE INDEX holds_due ON ledger.holds (expires_at) WHERE state = 'open';
CREATE INDEX holds_closed ON ledger.holds (expires_at) WHERE state <> 'open';  -- to forget them in time

-- What happened to money, for good. A request has at most one entry of each kind:
--   charge      what a call cost
--   void        no provider was called; takes back an expiry
--   expiry      nobody said how the call ended: charged as it was estimated
--   correction  somebody said it later
CREATE TABLE ledger.entries (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('charge', 'void', 'expiry', 'correction')),
    account_id text NOT NULL,
    amount_nanos bigint NOT NULL,  -- what this entry adds to the account
    balance_nanos bigint NOT NULL,  -- the account's posted amount after it
    -- The whole charge by its components, and what an earlier entry had charged for the same request.
    input_nanos bigint NOT NULL,
    cached_input_nanos bigint NOT NULL,
    cache_creation_nanos bigint NOT NULL,
    output_nanos bigint NOT NULL,
    reasoning_nanos bigint NOT NULL,
    corrected_nanos bigint NOT NULL,
    held_nanos bigint NOT NULL,
    saved_nanos bigint NOT NULL,
    estimated boolean NOT NULL,  -- not what a provider reported
    price jsonb,  -- as it was used; NULL: none was known, nothing was to be priced, or charged as held
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_creation_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    uncompressed_prompt_tokens bigint,
    outcome text NOT NULL,
    error_reason text NOT NULL,
    key_hash text NOT NULL,
    user_id text NOT NULL,
    team_id text NOT NULL,
    end_user text NOT NULL,
    tags text[] NOT NULL,
    model text NOT NULL,  -- as requested
    model_group text NOT NULL,  -- that served it
    deployment_id text NOT NULL,
    provider text NOT NULL,
    upstream_model text NOT NULL,
    cache_key text NOT NULL,
    start_time timestamptz,
    end_time timestamptz,
    first_token_time timestamptz,
    created_at timestamptz NOT NULL,
    UNIQUE (request_id, kind),
    CHECK (amount_nanos = input_nanos + cached_input_nanos + cache_creation_nanos + output_nanos
        + reasoning_nanos - corrected_nanos)
);

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger.% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
