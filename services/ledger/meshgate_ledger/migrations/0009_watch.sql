-- Who remembers a key or an account hears of its changes: channel meshgate_accounts, payload the account's id.
-- And the tenants' own provider credentials, sealed by whoever brought them: the ledger can not read them.

CREATE FUNCTION ledger.notify_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('meshgate_accounts', 'key:' || NEW.key_hash);
    RETURN NULL;
END $$;

-- Not of new keys: nobody remembers them. `version` moves with every update, so every update tells.
CREATE TRIGGER keys_notify AFTER UPDATE ON ledger.keys
    FOR EACH ROW EXECUTE FUNCTION ledger.notify_key();

CREATE FUNCTION ledger.notify_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('meshgate_accounts', NEW.account_id);
    RETURN NULL;
END $$;

-- Only rules; money moves too often, and is never remembered.
CREATE TRIGGER accounts_notify AFTER UPDATE OF blocked, models, version ON ledger.accounts
    FOR EACH ROW EXECUTE FUNCTION ledger.notify_account();
CREATE TRIGGER accounts_notify_new AFTER INSERT ON ledger.accounts
    FOR EACH ROW WHEN (NEW.blocked OR NEW.models <> '{}') EXECUTE FUNCTION ledger.notify_account();

CREATE TABLE ledger.credentials (
    credential_id text PRIMARY KEY,
    account_id text NOT NULL,  -- the owner: 'key:<hash>', 'team:<id>', 'user:<id>' or 'organization:<id>'
    provider text NOT NULL,
    sealed bytea NOT NULL CHECK (octet_length(sealed) BETWEEN 29 AND 16384),
    description text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by_request text NOT NULL,
    UNIQUE (account_id, provider)
);

-- 'credentials' for whoever keeps a copy of the table, the owner's id for whoever remembers accounts.
CREATE FUNCTION ledger.notify_credential() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('meshgate_accounts', 'credentials');
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('meshgate_accounts', OLD.account_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('meshgate_accounts', NEW.account_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER credentials_notify AFTER INSERT OR UPDATE OR DELETE ON ledger.credentials
    FOR EACH ROW EXECUTE FUNCTION ledger.notify_credential();
