-- The usage log as notebooks may see it: one row per request, no prompt, no answer, no whole key hash, no error message.
-- Run once in the hub's database by its owner, after the schema `lab` and the role `lab_reader` have been made.

-- The reader gets at LiteLLM's data through `lab` alone. PostgreSQL gives everybody these rights by default.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;

-- The view reads with its owner's rights; the barrier keeps a reader's own conditions from running before the view's.
CREATE VIEW lab.usage_log WITH (security_barrier = true, security_invoker = false) AS
SELECT
    log.request_id,
    log.call_type,

    log."startTime" AT TIME ZONE 'UTC' AS started_at,
    log."endTime" AT TIME ZONE 'UTC' AS completed_at,
    -- LiteLLM fills the column for every request; where nothing was streamed it is the end, give or take one millisecond.
    CASE
        WHEN log.status IS DISTINCT FROM 'failure'
            AND log."completionStartTime" > log."startTime"
            AND log."completionStartTime" < log."endTime" - interval '1 millisecond'
        THEN log."completionStartTime" AT TIME ZONE 'UTC'
    END AS first_token_at,
    log."startTime" AS started_at_utc,

    -- The placeholder is the one that LiteLLM itself writes for names outside its catalogue.
    coalesce(nullif(log.model_group, ''), nullif(log.model, ''), 'unknown-model') AS model,
    nullif(log.custom_llm_provider, '') AS provider,

    nullif(log."user", '') AS user_id,
    nullif(log.team_id, '') AS team_id,
    team.team_alias,
    coalesce(key.key_alias, deleted_key.key_alias) AS key_alias,
    -- Anything but a SHA-256 in this column is hashed first, so that no secret in clear can pass.
    CASE
        WHEN log.api_key = '' THEN NULL
        WHEN log.api_key ~ '^[0-9a-f]{64}$' THEN left(log.api_key, 12)
        ELSE left(encode(sha256(convert_to(log.api_key, 'UTF8')), 'hex'), 12)
    END AS key_id,
    nullif(log.end_user, '') AS end_user,
    nullif(log.session_id, '') AS session_id,

    CASE WHEN log.status = 'failure' THEN 'failure' ELSE 'success' END AS status,
    -- Only failures pay for reading the JSON, and only words that look like a name or a number come through.
    CASE WHEN log.status = 'failure' THEN
        substring(log.metadata #>> '{error_information,error_class}' FROM '^[A-Za-z0-9_.]{1,80}$')
    END AS error_class,
    CASE WHEN log.status = 'failure' THEN
        substring(log.metadata #>> '{error_information,error_code}' FROM '^[A-Za-z0-9_.]{1,80}$')
    END AS error_code,

    log.prompt_tokens,
    log.completion_tokens,
    log.total_tokens,
    log.spend,
    log.cache_hit IS NOT DISTINCT FROM 'True' AS cache_hit,

    -- LiteLLM adds the caller's user agent to the caller's tags.
    ARRAY(
        SELECT tag.name
        FROM jsonb_array_elements_text(
            CASE WHEN jsonb_typeof(log.request_tags) = 'array' THEN log.request_tags ELSE '[]' END
        ) WITH ORDINALITY AS tag (name, place)
        WHERE tag.name NOT LIKE 'User-Agent:%'
        ORDER BY tag.place
    ) AS tags,
    -- A refused key never gets as far as its tags: the self-test's wrong key is known by its value.
    coalesce(log.request_tags @> '["lab-smoke"]', false)
        OR log.api_key = encode(sha256('sk-not-a-key-of-this-lab'), 'hex') AS is_smoke
FROM public."LiteLLM_SpendLogs" AS log
LEFT JOIN public."LiteLLM_TeamTable" AS team ON team.team_id = log.team_id
LEFT JOIN public."LiteLLM_VerificationToken" AS key ON key.token = log.api_key
LEFT JOIN (
    -- A key can be deleted more than once (re-created with the same value): its last name counts.
    SELECT DISTINCT ON (token) token, key_alias
    FROM public."LiteLLM_DeletedVerificationToken"
    ORDER BY token, deleted_at DESC
) AS deleted_key ON deleted_key.token = log.api_key;

COMMENT ON VIEW lab.usage_log IS
    'One row per request that reached the hub, failed and refused ones included. Rows appear some seconds after the answer.';
COMMENT ON COLUMN lab.usage_log.request_id IS 'Unique id of the row; the gateway''s id of the answer or of the call.';
COMMENT ON COLUMN lab.usage_log.call_type IS 'Kind of request in LiteLLM''s words: acompletion, aembedding, aresponses, ...';
COMMENT ON COLUMN lab.usage_log.started_at IS 'When the gateway began with the request.';
COMMENT ON COLUMN lab.usage_log.completed_at IS 'When the answer was complete, or the failure certain.';
COMMENT ON COLUMN lab.usage_log.first_token_at IS
    'When the first piece of a streamed answer came; NULL for failures and for answers that were not streamed.';
COMMENT ON COLUMN lab.usage_log.started_at_utc IS
    'started_at as UTC without a zone. Filter and sort on this one: it is the column that the log has an index on.';
COMMENT ON COLUMN lab.usage_log.model IS
    'Model name as the caller wrote it; unknown-model where the request names none that the hub has.';
COMMENT ON COLUMN lab.usage_log.provider IS 'LiteLLM''s name of the kind of runtime: openai, ollama_chat, ...';
COMMENT ON COLUMN lab.usage_log.user_id IS 'Owner of the key; NULL where the key has none or is wrong.';
COMMENT ON COLUMN lab.usage_log.team_id IS 'Team of the key.';
COMMENT ON COLUMN lab.usage_log.team_alias IS 'Name of the team as it is now.';
COMMENT ON COLUMN lab.usage_log.key_alias IS
    'Name of the key, as it is now or was when the key was deleted; NULL for wrong keys and the master key.';
COMMENT ON COLUMN lab.usage_log.key_id IS 'First 12 hex digits of the hash of the key: tells keys apart, opens nothing.';
COMMENT ON COLUMN lab.usage_log.end_user IS 'The `user` field of the request, where the caller set it.';
COMMENT ON COLUMN lab.usage_log.session_id IS 'Session of the request; LiteLLM makes one up where the caller names none.';
COMMENT ON COLUMN lab.usage_log.status IS 'success or failure.';
COMMENT ON COLUMN lab.usage_log.error_class IS 'Failures only: name of LiteLLM''s exception.';
COMMENT ON COLUMN lab.usage_log.error_code IS 'Failures only: HTTP status or the provider''s code, as text.';
COMMENT ON COLUMN lab.usage_log.prompt_tokens IS 'Tokens of the prompt.';
COMMENT ON COLUMN lab.usage_log.completion_tokens IS 'Tokens of the answer.';
COMMENT ON COLUMN lab.usage_log.total_tokens IS 'Tokens of both.';
COMMENT ON COLUMN lab.usage_log.spend IS 'Price of the request in US dollars.';
COMMENT ON COLUMN lab.usage_log.cache_hit IS 'Whether the gateway''s cache gave the answer.';
COMMENT ON COLUMN lab.usage_log.tags IS 'Tags that the caller gave the request, in order.';
COMMENT ON COLUMN lab.usage_log.is_smoke IS 'Whether the lab''s self-test sent the request (tag lab-smoke, or its wrong key).';

GRANT USAGE ON SCHEMA lab TO lab_reader;
GRANT SELECT ON lab.usage_log TO lab_reader;
