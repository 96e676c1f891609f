-- Who calls and who pays, as people manage them. What of it counts in decisions is in accounts and limits, and is
-- written there in the same transaction.

-- Money and rules are the account's: '<kind>:<entity_id>'; a budget has none, it is a template for others.
-- `limits` are an entity's own, as somebody gave them; in ledger.limits are those that result with the budget's.
CREATE TABLE ledger.entities (
    kind text NOT NULL CHECK (kind IN ('user', 'team', 'organization', 'customer', 'tag', 'budget')),
    entity_id text NOT NULL CHECK (entity_id <> ''),
    alias text NOT NULL DEFAULT '',
    email text NOT NULL DEFAULT '',
    role text NOT NULL DEFAULT '',
    organization_id text NOT NULL DEFAULT '',
    budget_id text NOT NULL DEFAULT '',
    limits jsonb NOT NULL DEFAULT '{}',
    member_limits jsonb NOT NULL DEFAULT '{}',
    metadata text NOT NULL DEFAULT '',  -- JSON as given
    settings text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    created_by text NOT NULL DEFAULT '',
    updated_by text NOT NULL DEFAULT '',
    PRIMARY KEY (kind, entity_id)
);

CREATE INDEX entities_created ON ledger.entities (kind, created_at);
CREATE INDEX entities_budget ON ledger.entities (budget_id) WHERE budget_id <> '';

-- Their account is 'member:<team_id>/<user_id>'.
CREATE TABLE ledger.team_members (
    team_id text NOT NULL CHECK (team_id <> '' AND team_id NOT LIKE '%/%'),
    user_id text NOT NULL CHECK (user_id <> ''),
    role text NOT NULL DEFAULT 'user',
    budget_id text NOT NULL DEFAULT '',
    limits jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (team_id, user_id)
);

CREATE INDEX team_members_user ON ledger.team_members (user_id);
CREATE INDEX team_members_budget ON ledger.team_members (budget_id) WHERE budget_id <> '';

-- What was changed by whom, so that a repeated request changes nothing.
CREATE TABLE ledger.changes (
    request_id text PRIMARY KEY,
    action text NOT NULL,
    subjects text[] NOT NULL,  -- what it was done to, for the answer of a repeat
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL
);

-- A key that gets another secret is a new row with the account of the old one: hashes are in holds and entries,
-- which never change, and calls under way settle where they were held.
ALTER TABLE ledger.keys
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN account_id text;

UPDATE ledger.keys SET account_id = 'key:' || key_hash;

CREATE FUNCTION ledger.own_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.account_id := coalesce(NEW.account_id, 'key:' || NEW.key_hash);
    RETURN NEW;
END $$;

CREATE TRIGGER keys_account BEFORE INSERT ON ledger.keys
    FOR EACH ROW EXECUTE FUNCTION ledger.own_account();

ALTER TABLE ledger.keys ALTER COLUMN account_id SET NOT NULL;

CREATE INDEX keys_created ON ledger.keys (created_at) WHERE deleted_at IS NULL;
CREATE INDEX keys_user ON ledger.keys (user_id) WHERE user_id <> '' AND deleted_at IS NULL;
CREATE INDEX keys_team ON ledger.keys (team_id) WHERE team_id <> '' AND deleted_at IS NULL;
CREATE INDEX keys_organization ON ledger.keys (organization_id) WHERE organization_id <> '' AND deleted_at IS NULL;
CREATE INDEX keys_budget ON ledger.keys (budget_id) WHERE budget_id <> '' AND deleted_at IS NULL;

-- Budgets that keys had before limits could be managed.
UPDATE ledger.keys k SET limits = jsonb_build_object('max_budget_nanos', l.maximum)
FROM ledger.limits l
WHERE l.account_id = k.account_id AND l.metric = 'spend' AND l.period = '' AND l.maximum IS NOT NULL;
