-- Accounts for everybody who may have a budget, a limit or a rule, and their limits.
--
-- account_id is '<kind>:<id>', of a part of it that is for one model '<kind>:<id>|model:<model>':
--   key:<hash>  user:<user_id>  team:<team_id>  member:<team_id>/<user_id>  organization:<id>
--   customer:<end user>  tag:<tag>  gateway  and  master, open (who pays without a key)
-- A call is charged to its payer (key, master or open) and counted on every other account of its scopes that
-- exists: a sum over all accounts counts a call several times, a sum over payers once.

ALTER TABLE ledger.accounts
    DROP CONSTRAINT accounts_kind_check,
    ADD CONSTRAINT accounts_kind_check CHECK (kind IN ('master', 'open', 'key', 'user', 'team', 'member',
        'organization', 'customer', 'tag', 'gateway', 'model')),  -- model: '...|model:...'
    -- Rules that hold for every key of the account, judged by the caller at `version` as a key's are.
    ADD COLUMN blocked boolean NOT NULL DEFAULT false,
    ADD COLUMN models text[] NOT NULL DEFAULT '{}',  -- empty: all
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN open_calls bigint NOT NULL DEFAULT 0 CHECK (open_calls >= 0);  -- holds that have a slot

-- Only statements that name a rule's column pay for this: money does not touch the version.
CREATE TRIGGER accounts_version BEFORE UPDATE OF blocked, models, version ON ledger.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.next_version();

-- What an account may use. One row for each metric and period; several budgets at once are several rows.
--   spend     nano-USD; used = accounts.posted_nanos - base, and pending_nanos counts as well
--   requests  admitted in the period
--   tokens    held or used in the period
--   parallel  accounts.open_calls; period ''
-- Rows are locked by their account's row. A period that is over begins anew with whoever comes next, before
-- anything is decided or posted.
CREATE TABLE ledger.limits (
    account_id text NOT NULL,
    metric text NOT NULL CHECK (metric IN ('spend', 'requests', 'tokens', 'parallel')),
    period text NOT NULL,  -- '': the account's whole life; else '60s', '1h', '1d', '30d', '1mo', as configured
    maximum bigint CHECK (maximum >= 0),  -- NULL: only soft
    soft_maximum bigint CHECK (soft_maximum >= 0),  -- spend: tell somebody, refuse nothing
    base bigint NOT NULL DEFAULT 0,  -- spend: the account's posted_nanos when the period began
    used bigint NOT NULL DEFAULT 0,  -- requests, tokens
    starts_at timestamptz,  -- NULL: not begun
    ends_at timestamptz,  -- NULL: not begun, or without end
    PRIMARY KEY (account_id, metric, period)
) WITH (fillfactor = 50);

CREATE INDEX limits_due ON ledger.limits (ends_at) WHERE ends_at IS NOT NULL;

-- Edges that hold slots. One that does not renew its lease in time loses them.
CREATE TABLE ledger.edges (
    edge_id text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

ALTER TABLE ledger.keys
    ADD COLUMN organization_id text NOT NULL DEFAULT '',
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN budget_id text NOT NULL DEFAULT '',
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD COLUMN updated_by text NOT NULL DEFAULT '',
    ADD COLUMN updated_at timestamptz;

ALTER TABLE ledger.holds
    ADD COLUMN edge_id text NOT NULL DEFAULT '',
    ADD COLUMN has_slot boolean NOT NULL DEFAULT false,
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',  -- every account it counts on, sorted; '{}': account_id alone
    ADD COLUMN tokens bigint NOT NULL DEFAULT 0,  -- held on token limits
    ADD COLUMN user_id text NOT NULL DEFAULT '',
    ADD COLUMN team_id text NOT NULL DEFAULT '',
    ADD COLUMN organization_id text NOT NULL DEFAULT '';

CREATE INDEX holds_slots ON ledger.holds (edge_id) WHERE has_slot;

ALTER TABLE ledger.entries
    ADD COLUMN leg int NOT NULL DEFAULT 0,  -- further provider calls of one request count from 1
    ADD COLUMN leg_reason text NOT NULL DEFAULT '',
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',  -- besides account_id: the other accounts it was counted on
    ADD COLUMN organization_id text NOT NULL DEFAULT '',
    ADD COLUMN call_type text NOT NULL DEFAULT 'acompletion',
    ADD COLUMN api_base text NOT NULL DEFAULT '',
    ADD COLUMN response_id text NOT NULL DEFAULT '',
    ADD COLUMN requester_ip_address text NOT NULL DEFAULT '',
    ADD COLUMN offline boolean NOT NULL DEFAULT false,  -- admitted while the ledger was away
    DROP CONSTRAINT entries_request_id_kind_key,
    ADD CONSTRAINT entries_request_id_kind_leg_key UNIQUE (request_id, kind, leg);
