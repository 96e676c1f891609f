-- `meshgate ledger verify` compares what a budget counts with what was posted since `starts_at`. So far that
-- stayed when a budget began anew by hand, and was new when a period took the place of another that had begun
-- before; of these nobody knows when they began. Each next period tells it again.

UPDATE ledger.limits SET starts_at = NULL WHERE metric = 'spend' AND starts_at IS NOT NULL;

COMMENT ON COLUMN ledger.limits.starts_at IS
    'spend: when base was the balance, NULL: not known; requests, tokens: NULL: not begun';
