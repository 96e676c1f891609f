-- Which paths a key may call. So far that was only kept among its settings, as it was given.

ALTER TABLE ledger.keys ADD COLUMN allowed_routes text[] NOT NULL DEFAULT '{}';

UPDATE ledger.keys k SET
    allowed_routes = CASE s.given ->> 'key_type'
        WHEN 'llm_api' THEN ARRAY['llm_api_routes']
        WHEN 'management' THEN ARRAY['management_routes']
        WHEN 'read_only' THEN ARRAY['info_routes']
        ELSE ARRAY(SELECT jsonb_array_elements_text(
            CASE jsonb_typeof(s.given -> 'allowed_routes') WHEN 'array' THEN s.given -> 'allowed_routes'
                ELSE '[]' END)) END,
    settings = coalesce(nullif((s.given - 'allowed_routes' - 'key_type')::text, '{}'), '')
FROM (
    SELECT key_hash, settings::jsonb AS given FROM ledger.keys
    WHERE settings ~ '"(allowed_routes|key_type)"' AND strpos(settings, '\u0000') = 0
) s
WHERE k.key_hash = s.key_hash;
