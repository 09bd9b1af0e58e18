-- The usage roll-up: what the log says, added up in quarter hours, days and months, so that an answer costs what the
-- hours cost and not what the requests do. LiteLLM's own tables are only read, through lab.usage_log, which alone says
-- what a row of the log means. `bucket` is the beginning of a quarter hour, day or month in UTC.
CREATE SCHEMA lab_usage;

CREATE TABLE lab_usage.state (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    refreshed_at  timestamptz,
    covered_from  timestamp,
    covered_until timestamp,
    retention     interval,
    frozen_before timestamp NOT NULL DEFAULT '-infinity',
    checked_at    timestamptz,
    repaired      integer NOT NULL DEFAULT 0
);
INSERT INTO lab_usage.state DEFAULT VALUES;
COMMENT ON TABLE lab_usage.state IS 'What the roll-up covers; one row.';
COMMENT ON COLUMN lab_usage.state.covered_from IS 'The roll-up holds all from here (UTC) ...';
COMMENT ON COLUMN lab_usage.state.covered_until IS '... to here; what is younger has to be read from the log.';
COMMENT ON COLUMN lab_usage.state.retention IS 'Age at which the gateway removes rows from the log; NULL for never.';
COMMENT ON COLUMN lab_usage.state.frozen_before IS 'Rows before this were removed for their age: never recomputed.';
COMMENT ON COLUMN lab_usage.state.repaired IS 'Quarter hours that the last comparison with the log had to repair.';

-- What the log held of a quarter hour when it was added up; the nightly comparison looks at this.
CREATE TABLE lab_usage.quarter (
    bucket      timestamp PRIMARY KEY,
    requests    integer NOT NULL,
    fingerprint bigint NOT NULL
);

-- Volume: small enough to be read whole.
CREATE TABLE lab_usage.volume (
    bucket            timestamp NOT NULL,
    model             text NOT NULL,
    status            text NOT NULL,
    cache_hit         boolean NOT NULL,
    is_smoke          boolean NOT NULL,
    requests          bigint NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    total_tokens      bigint NOT NULL,
    spend             double precision NOT NULL,
    duration_s        double precision NOT NULL,
    generation_tokens bigint NOT NULL,
    generation_s      double precision NOT NULL,
    PRIMARY KEY (bucket, model, status, cache_hit, is_smoke)
);
CREATE TABLE lab_usage.volume_day (LIKE lab_usage.volume INCLUDING INDEXES);
COMMENT ON COLUMN lab_usage.volume.generation_s IS
    'Seconds from the first piece of streamed answers to their ends, during which generation_tokens came.';

-- Distribution: how often a measure fell into each logarithmic bin, of successful answers that no cache gave.
CREATE TABLE lab_usage.distribution (
    bucket   timestamp NOT NULL,
    model    text NOT NULL,
    measure  text NOT NULL,
    is_smoke boolean NOT NULL,
    requests bigint NOT NULL,
    total    double precision NOT NULL,
    largest  double precision NOT NULL,
    bins     smallint[] NOT NULL,
    counts   integer[] NOT NULL,
    PRIMARY KEY (bucket, model, measure, is_smoke)
);
CREATE TABLE lab_usage.distribution_day (LIKE lab_usage.distribution INCLUDING INDEXES);
CREATE TABLE lab_usage.distribution_month (LIKE lab_usage.distribution INCLUDING INDEXES);
COMMENT ON COLUMN lab_usage.distribution.measure IS
    'duration (s), first_token (s, streamed answers) or speed (tokens of the answer per second of its duration).';
COMMENT ON COLUMN lab_usage.distribution.bins IS 'As lab_usage.bin_of; counts has one number for each.';

-- People and tags: a combination of attributes is a series, so that a cell is a few numbers.
CREATE TABLE lab_usage.people_series (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id   text NOT NULL,
    user_id  text NOT NULL,
    team_id  text NOT NULL,
    model    text NOT NULL,
    status   text NOT NULL,
    is_smoke boolean NOT NULL,
    UNIQUE (key_id, user_id, team_id, model, status, is_smoke)
);
COMMENT ON TABLE lab_usage.people_series IS 'key_id, user_id and team_id are empty where a request has none.';
CREATE TABLE lab_usage.people (
    bucket            timestamp NOT NULL,
    series            integer NOT NULL,
    requests          integer NOT NULL,
    cache_hits        integer NOT NULL,
    prompt_tokens     bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    total_tokens      bigint NOT NULL,
    spend             double precision NOT NULL,
    duration_s        double precision NOT NULL,
    PRIMARY KEY (series, bucket)
);
CREATE INDEX people_bucket ON lab_usage.people (bucket);
CREATE TABLE lab_usage.people_day (LIKE lab_usage.people INCLUDING INDEXES);

CREATE TABLE lab_usage.tag_series (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tag      text NOT NULL,
    model    text NOT NULL,
    status   text NOT NULL,
    is_smoke boolean NOT NULL,
    UNIQUE (tag, model, status, is_smoke)
);
CREATE TABLE lab_usage.tags (LIKE lab_usage.people INCLUDING INDEXES);
CREATE TABLE lab_usage.tags_day (LIKE lab_usage.people INCLUDING INDEXES);
COMMENT ON TABLE lab_usage.tags IS 'As people; a request counts once for each of its tags.';

CREATE TABLE lab_usage.failures (
    bucket      timestamp NOT NULL,
    series      integer NOT NULL,
    error_class text NOT NULL,
    error_code  text NOT NULL,
    requests    integer NOT NULL,
    last_at     timestamp NOT NULL,
    PRIMARY KEY (bucket, series, error_class, error_code)
);
COMMENT ON TABLE lab_usage.failures IS 'series is one of people_series; class and code are empty where the log has none.';

-- Names as they are now; a deleted key keeps its last one.
CREATE VIEW lab_usage.key_names WITH (security_barrier = true, security_invoker = false) AS
SELECT DISTINCT ON (key_id) key_id, key_alias
FROM (
    SELECT left(token, 12) AS key_id, key_alias, 'infinity'::timestamp AS until FROM public."LiteLLM_VerificationToken"
    UNION ALL
    SELECT left(token, 12), key_alias, deleted_at FROM public."LiteLLM_DeletedVerificationToken"
) AS named
WHERE key_alias IS NOT NULL
ORDER BY key_id, until DESC;

CREATE VIEW lab_usage.team_names WITH (security_barrier = true, security_invoker = false) AS
SELECT team_id, team_alias FROM public."LiteLLM_TeamTable" WHERE team_alias IS NOT NULL;

CREATE VIEW lab_usage.budgets WITH (security_barrier = true, security_invoker = false) AS
SELECT 'key' AS kind, left(key.token, 12) AS key_id, key.key_alias, key.user_id, team.team_alias AS team, key.spend,
    coalesce(key.max_budget, budget.max_budget) AS max_budget,
    coalesce(key.budget_duration, budget.budget_duration) AS budget_duration,
    coalesce(key.budget_reset_at, budget.budget_reset_at) AT TIME ZONE 'UTC' AS reset_at
FROM public."LiteLLM_VerificationToken" AS key
LEFT JOIN public."LiteLLM_BudgetTable" AS budget ON budget.budget_id = key.budget_id
LEFT JOIN public."LiteLLM_TeamTable" AS team ON team.team_id = key.team_id
UNION ALL
SELECT 'user', NULL, NULL, user_id, NULL, spend, max_budget, budget_duration, budget_reset_at AT TIME ZONE 'UTC'
FROM public."LiteLLM_UserTable"
UNION ALL
SELECT 'team', NULL, NULL, NULL, coalesce(team_alias, team_id), spend, max_budget, budget_duration,
    budget_reset_at AT TIME ZONE 'UTC'
FROM public."LiteLLM_TeamTable";
-- What people said and were told, where the gateway stores it. Nobody may read this until the playbook permits it.
CREATE VIEW lab_usage.prompts WITH (security_barrier = true, security_invoker = false) AS
SELECT request_id, proxy_server_request -> 'messages' AS messages, response
FROM public."LiteLLM_SpendLogs" WHERE proxy_server_request ? 'messages';

COMMENT ON VIEW lab_usage.budgets IS 'Keys, users and teams with what they spent since their last reset; no key is shown.';

-- A relative accuracy of (1.02 - 1) / (1.02 + 1) < 1 %: a bin's value is 2 * 1.02^bin / (1.02 + 1).
-- C. Masson, J. E. Rim, H. K. Lee: DDSketch, PVLDB 12 (2019) 2195, https://doi.org/10.14778/3352063.3352135.
CREATE FUNCTION lab_usage.bin_of(value double precision) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value > 1e-9 THEN ceil(ln(value) / ln(1.02::double precision))::smallint ELSE '-32768'::smallint END;
COMMENT ON FUNCTION lab_usage.bin_of IS 'Bin of a measure; the lowest smallint is the bin of 0 and less.';

CREATE FUNCTION lab_usage.quarter_of(instant timestamp) RETURNS timestamp
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('15 minutes', instant, '2000-01-01'::timestamp);

-- The view of the log as it was, but that a hash is mostly known by being one of the hub's keys: to look at it with a
-- regular expression took a third of the time that adding up took.
CREATE OR REPLACE VIEW lab.usage_log WITH (security_barrier = true, security_invoker = false) AS
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
        WHEN key.token IS NOT NULL OR (length(log.api_key) = 64 AND ltrim(log.api_key, '0123456789abcdef') = '')
        THEN left(log.api_key, 12)
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

-- What is added up of each row of the log. Two rows are the same if all of this is.
CREATE VIEW lab_usage.source AS
SELECT
    lab_usage.quarter_of(started_at_utc) AS bucket, started_at_utc, model, status, cache_hit, is_smoke,
    coalesce(key_id, '') AS key_id, coalesce(user_id, '') AS user_id, coalesce(team_id, '') AS team_id,
    coalesce(error_class, '') AS error_class, coalesce(error_code, '') AS error_code, tags,
    prompt_tokens, completion_tokens, total_tokens, spend,
    -- A clock that was set back during a request leaves a negative duration: it counts as none.
    greatest(date_part('epoch', completed_at - started_at), 0) AS duration_s,
    date_part('epoch', first_token_at - started_at) AS first_token_s,
    date_part('epoch', completed_at - first_token_at) AS generation_s,
    request_id
FROM lab.usage_log;

-- Add the cells of a finer table up into those of a coarser one, from the beginning of a `unit` to another's.
CREATE FUNCTION lab_usage.merge_people(source text, target text, lower_end timestamp, upper_end timestamp) RETURNS void
LANGUAGE plpgsql SET search_path = lab_usage, pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %I WHERE bucket >= $1 AND bucket < $2', target) USING lower_end, upper_end;
    EXECUTE format(
        'INSERT INTO %I SELECT date_trunc(''day'', bucket) AS day, series, sum(requests), sum(cache_hits),'
        ' sum(prompt_tokens), sum(completion_tokens), sum(total_tokens), sum(spend), sum(duration_s)'
        ' FROM %I WHERE bucket >= $1 AND bucket < $2 GROUP BY day, series ORDER BY series, day', target, source
    ) USING lower_end, upper_end;
END $$;

CREATE FUNCTION lab_usage.merge_distribution(
    source text, target text, unit text, lower_end timestamp, upper_end timestamp
) RETURNS void
LANGUAGE plpgsql SET search_path = lab_usage, pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %I WHERE bucket >= $1 AND bucket < $2', target) USING lower_end, upper_end;
    EXECUTE format(
        'WITH part AS (SELECT date_trunc(%L, bucket) AS unit, * FROM %I WHERE bucket >= $1 AND bucket < $2),'
        ' binned AS (SELECT unit, model, measure, is_smoke, bin, sum(n)::integer AS n'
        '     FROM part, unnest(bins, counts) AS pair (bin, n) GROUP BY unit, model, measure, is_smoke, bin)'
        ' INSERT INTO %I SELECT unit, model, measure, is_smoke, requests, total, largest, bins, counts'
        ' FROM (SELECT unit, model, measure, is_smoke, sum(requests) AS requests, sum(total) AS total,'
        '     max(largest) AS largest FROM part GROUP BY unit, model, measure, is_smoke) AS sums'
        ' JOIN (SELECT unit, model, measure, is_smoke, array_agg(bin) AS bins, array_agg(n) AS counts'
        '     FROM binned GROUP BY unit, model, measure, is_smoke) AS arrays USING (unit, model, measure, is_smoke)',
        unit, source, target
    ) USING lower_end, upper_end;
END $$;

-- Add up the log between two beginnings of quarter hours anew, whatever is there; return the rows of the log.
CREATE FUNCTION lab_usage.rebuild(lower_end timestamp, upper_end timestamp) RETURNS bigint
LANGUAGE plpgsql SET search_path = lab_usage, pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
    last_instant timestamp := upper_end - interval '1 microsecond';
    first_day timestamp := date_trunc('day', lower_end);
    next_day timestamp := date_trunc('day', last_instant) + interval '1 day';
    measure text;
    value text;
    row_count bigint;
BEGIN
    IF lower_end >= upper_end THEN
        RETURN 0;
    END IF;
    CREATE TEMP TABLE usage_piece ON COMMIT DROP AS
    SELECT * FROM source WHERE started_at_utc >= lower_end AND started_at_utc < upper_end;
    GET DIAGNOSTICS row_count = ROW_COUNT;

    DELETE FROM quarter WHERE bucket >= lower_end AND bucket < upper_end;
    INSERT INTO quarter
    SELECT bucket, count(*), bit_xor(hash_record_extended(piece, 0)) FROM pg_temp.usage_piece AS piece GROUP BY bucket;

    DELETE FROM volume WHERE bucket >= lower_end AND bucket < upper_end;
    INSERT INTO volume
    SELECT bucket, model, status, cache_hit, is_smoke, count(*), sum(prompt_tokens), sum(completion_tokens),
        sum(total_tokens), sum(spend), sum(duration_s),
        coalesce(sum(completion_tokens) FILTER (WHERE generation_s IS NOT NULL), 0), coalesce(sum(generation_s), 0)
    FROM pg_temp.usage_piece GROUP BY bucket, model, status, cache_hit, is_smoke;
    DELETE FROM volume_day WHERE bucket >= first_day AND bucket < next_day;
    INSERT INTO volume_day
    SELECT date_trunc('day', bucket) AS day, model, status, cache_hit, is_smoke, sum(requests), sum(prompt_tokens),
        sum(completion_tokens), sum(total_tokens), sum(spend), sum(duration_s), sum(generation_tokens), sum(generation_s)
    FROM volume WHERE bucket >= first_day AND bucket < next_day GROUP BY day, model, status, cache_hit, is_smoke;

    DELETE FROM distribution WHERE bucket >= lower_end AND bucket < upper_end;
    FOR measure, value IN VALUES
        ('duration', 'duration_s'),
        ('first_token', 'first_token_s'),
        ('speed', 'nullif(completion_tokens, 0) / nullif(duration_s, 0)')
    LOOP
        EXECUTE format(
            'INSERT INTO distribution'
            ' SELECT bucket, model, %L, is_smoke, sum(n), sum(total), max(largest), array_agg(bin), array_agg(n)'
            ' FROM (SELECT bucket, model, is_smoke, bin_of(value) AS bin, count(*)::integer AS n, sum(value) AS total,'
            '     max(value) AS largest FROM pg_temp.usage_piece, LATERAL (SELECT %s) AS measured (value)'
            '     WHERE status = ''success'' AND NOT cache_hit AND value IS NOT NULL'
            '     GROUP BY bucket, model, is_smoke, bin) AS binned'
            ' GROUP BY bucket, model, is_smoke', measure, value
        );
    END LOOP;
    PERFORM merge_distribution('distribution', 'distribution_day', 'day', first_day, next_day);

    INSERT INTO people_series (key_id, user_id, team_id, model, status, is_smoke)
    SELECT DISTINCT key_id, user_id, team_id, model, status, is_smoke FROM pg_temp.usage_piece
    EXCEPT SELECT key_id, user_id, team_id, model, status, is_smoke FROM people_series;
    DELETE FROM people WHERE bucket >= lower_end AND bucket < upper_end;
    INSERT INTO people
    SELECT bucket, id, count(*), count(*) FILTER (WHERE cache_hit), sum(prompt_tokens), sum(completion_tokens),
        sum(total_tokens), sum(spend), sum(duration_s)
    FROM pg_temp.usage_piece JOIN people_series USING (key_id, user_id, team_id, model, status, is_smoke)
    -- A person's cells of a piece lie side by side on the disk.
    GROUP BY bucket, id ORDER BY id, bucket;
    PERFORM merge_people('people', 'people_day', first_day, next_day);

    DELETE FROM failures WHERE bucket >= lower_end AND bucket < upper_end;
    INSERT INTO failures
    SELECT bucket, id, error_class, error_code, count(*), max(started_at_utc)
    FROM pg_temp.usage_piece JOIN people_series USING (key_id, user_id, team_id, model, status, is_smoke)
    WHERE status = 'failure' GROUP BY bucket, id, error_class, error_code;

    CREATE TEMP TABLE usage_tagged ON COMMIT DROP AS
    SELECT bucket, tag, model, status, is_smoke, cache_hit, prompt_tokens, completion_tokens, total_tokens, spend, duration_s
    FROM pg_temp.usage_piece,
        unnest(CASE WHEN cardinality(tags) > 1 THEN ARRAY(SELECT DISTINCT unnest(tags)) ELSE tags END) AS own (tag);
    INSERT INTO tag_series (tag, model, status, is_smoke)
    SELECT DISTINCT tag, model, status, is_smoke FROM pg_temp.usage_tagged
    EXCEPT SELECT tag, model, status, is_smoke FROM tag_series;
    DELETE FROM tags WHERE bucket >= lower_end AND bucket < upper_end;
    INSERT INTO tags
    SELECT bucket, id, count(*), count(*) FILTER (WHERE cache_hit), sum(prompt_tokens), sum(completion_tokens),
        sum(total_tokens), sum(spend), sum(duration_s)
    FROM pg_temp.usage_tagged JOIN tag_series USING (tag, model, status, is_smoke)
    GROUP BY bucket, id ORDER BY id, bucket;
    PERFORM merge_people('tags', 'tags_day', first_day, next_day);

    -- A transaction may rebuild more than one piece.
    DROP TABLE pg_temp.usage_piece, pg_temp.usage_tagged;
    RETURN row_count;
END $$;

-- Add up the days of the months that a time between two instants touches; a month comes after its end.
CREATE FUNCTION lab_usage.merge_months(lower_end timestamp, upper_end timestamp, now_utc timestamp) RETURNS void
LANGUAGE sql SET search_path = lab_usage, pg_catalog, pg_temp
RETURN lab_usage.merge_distribution(
    'distribution_day', 'distribution_month', 'month', date_trunc('month', lower_end),
    least(
        date_trunc('month', upper_end - interval '1 microsecond') + interval '1 month', date_trunc('month', now_utc)
    )
);

-- One process at a time changes the roll-up; a second one waits and then finds the work done.
CREATE FUNCTION lab_usage.lock_state() RETURNS lab_usage.state
LANGUAGE sql
BEGIN ATOMIC
    SELECT * FROM lab_usage.state FOR UPDATE;
END;

-- Where the rows that age removes end: quarter hours that begin before are left as they are.
CREATE FUNCTION lab_usage.frozen_until(state lab_usage.state, now_utc timestamp) RETURNS timestamp
LANGUAGE sql STABLE
RETURN lab_usage.quarter_of(
    -- The gateway's clock may be ahead of this one.
    greatest(state.frozen_before, now_utc - state.retention + least(state.retention / 10, interval '1 hour'))
    + interval '15 minutes' - interval '1 microsecond'
);

-- Add up what is new, and the last hours anew: rows come late, change and go. Return the rows of the log it read.
CREATE FUNCTION lab_usage.refresh(
    log_retention interval DEFAULT NULL, overlap interval DEFAULT '3 hours', at timestamptz DEFAULT clock_timestamp()
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = lab_usage, pg_catalog, pg_temp AS $$
DECLARE
    now_utc timestamp := at AT TIME ZONE 'UTC';
    state lab_usage.state := lock_state();
    lower_end timestamp;
    oldest timestamp;
    row_count bigint;
BEGIN
    state.retention := coalesce(log_retention, state.retention);
    -- Whatever the clock did meanwhile: all since the last time, and all of the future that the log holds.
    lower_end := quarter_of(least(now_utc, state.covered_until) - overlap);
    row_count := rebuild(greatest(lower_end, frozen_until(state, now_utc)), 'infinity');
    PERFORM merge_months(lower_end, 'infinity', now_utc);
    SELECT min("startTime") INTO oldest FROM public."LiteLLM_SpendLogs"; -- not the view, which would be read whole
    -- Only what is seen to be gone is frozen for good: a clock that ran ahead for a while freezes nothing.
    IF oldest >= now_utc - state.retention - interval '2 days' THEN
        state.frozen_before := greatest(state.frozen_before, now_utc - state.retention);
    END IF;
    UPDATE lab_usage.state AS kept SET
        refreshed_at = at, retention = state.retention, frozen_before = state.frozen_before,
        covered_from = coalesce(kept.covered_from, lower_end), covered_until = quarter_of(now_utc);
    RETURN row_count;
END $$;

-- Add up one more day of the past, the youngest that is missing. Return the rows read, or NULL when none is missing.
CREATE FUNCTION lab_usage.extend() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = lab_usage, pg_catalog, pg_temp AS $$
DECLARE
    state lab_usage.state := lock_state();
    youngest timestamp;
    older timestamp;
    row_count bigint;
BEGIN
    SELECT max("startTime") INTO youngest FROM public."LiteLLM_SpendLogs" WHERE "startTime" < state.covered_from;
    IF youngest IS NOT NULL THEN
        row_count := rebuild(date_trunc('day', youngest), state.covered_from);
        SELECT max("startTime") INTO older FROM public."LiteLLM_SpendLogs" WHERE "startTime" < date_trunc('day', youngest);
        IF older IS NULL OR older < date_trunc('month', youngest) THEN
            PERFORM merge_months(youngest, state.covered_from, state.covered_until);
        END IF;
    END IF;
    UPDATE lab_usage.state AS kept SET
        covered_from = coalesce(date_trunc('day', youngest), '-infinity'),
        -- What has just been added up needs no comparison.
        checked_at = CASE WHEN youngest IS NULL THEN coalesce(kept.checked_at, kept.refreshed_at) ELSE kept.checked_at END
    WHERE kept.covered_from > '-infinity';
    RETURN row_count;
END $$;

-- The days whose quarter hours can be compared with the log.
CREATE FUNCTION lab_usage.days_to_check(at timestamptz DEFAULT clock_timestamp()) RETURNS SETOF timestamp
LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT day
    FROM lab_usage.state, LATERAL (
        SELECT greatest(
            least((SELECT min("startTime") FROM public."LiteLLM_SpendLogs"), (SELECT min(bucket) FROM lab_usage.quarter)),
            state.covered_from,
            lab_usage.frozen_until(state, at AT TIME ZONE 'UTC')
        ) AS first
    ) AS beginning, generate_series(date_trunc('day', first), state.covered_until, interval '1 day') AS day
    WHERE first > '-infinity';
END;

-- Compare the quarter hours of a day with the log, and add up anew those that differ. Return how many did.
CREATE FUNCTION lab_usage.check_day(day timestamp, at timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = lab_usage, pg_catalog, pg_temp AS $$
DECLARE
    state lab_usage.state := lock_state();
    lower_end timestamp := greatest(day, state.covered_from, frozen_until(state, at AT TIME ZONE 'UTC'));
    upper_end timestamp := least(day + interval '1 day', state.covered_until);
    differing timestamp[];
BEGIN
    WITH log AS (
        SELECT source.bucket, count(*) AS requests, bit_xor(hash_record_extended(source, 0)) AS fingerprint
        FROM source WHERE started_at_utc >= lower_end AND started_at_utc < upper_end GROUP BY source.bucket
    ), kept AS (SELECT * FROM quarter WHERE bucket >= lower_end AND bucket < upper_end)
    SELECT array_agg(bucket) INTO differing FROM log FULL JOIN kept USING (bucket)
    WHERE (log.requests, log.fingerprint) IS DISTINCT FROM (kept.requests, kept.fingerprint);
    IF differing IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM rebuild(min(bucket), max(bucket) + interval '15 minutes') FROM unnest(differing) AS bucket;
    PERFORM merge_months(lower_end, upper_end, state.covered_until);
    RETURN cardinality(differing);
END $$;

CREATE FUNCTION lab_usage.note_check(repaired integer, at timestamptz DEFAULT clock_timestamp()) RETURNS void
LANGUAGE sql SECURITY DEFINER
BEGIN ATOMIC
    UPDATE lab_usage.state SET checked_at = note_check.at, repaired = note_check.repaired;
END;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA lab_usage FROM PUBLIC;

GRANT USAGE ON SCHEMA lab_usage TO lab_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA lab_usage TO lab_reader;
REVOKE ALL ON lab_usage.source, lab_usage.prompts FROM lab_reader;
GRANT EXECUTE ON FUNCTION lab_usage.bin_of TO lab_reader;

-- The role that refreshes may do that and nothing else, not even read. A hub that was made before it had the role does
-- without until the playbook makes it.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lab_refresher') THEN
        GRANT USAGE ON SCHEMA lab_usage TO lab_refresher;
        GRANT EXECUTE ON FUNCTION lab_usage.refresh, lab_usage.extend, lab_usage.days_to_check, lab_usage.check_day,
            lab_usage.note_check TO lab_refresher;
        GRANT SELECT ON lab_usage.state TO lab_refresher;
    END IF;
END $$;
