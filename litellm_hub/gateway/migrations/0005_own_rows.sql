-- A person's login sees the person's own requests, a teacher's those of the teams as well; everybody else sees all, as
-- before. A person is who is in the role lab_person: one of whom lab.people says nothing sees nothing.
CREATE TABLE lab.people (
    login   name PRIMARY KEY,
    user_id text NOT NULL,
    teams   text[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE lab.people IS 'Whose requests a person''s login sees: those of user_id, and all of the teams.';

-- The session's user stays whatever SET ROLE and the rights of a function make of the current one. In plpgsql, which
-- plans a query once in a session: this is asked for each branch of the log.
CREATE FUNCTION lab.is_person() RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM pg_roles AS login, pg_roles AS people
        WHERE login.rolname = SESSION_USER AND NOT login.rolsuper
            AND people.rolname = 'lab_person' AND pg_has_role(login.oid, people.oid, 'MEMBER')
    );
END $$;

CREATE FUNCTION lab.caller() RETURNS TABLE (user_id text, teams text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT people.user_id, people.teams FROM lab.people WHERE people.login = SESSION_USER AND lab.is_person();
END $$;
COMMENT ON FUNCTION lab.caller IS 'Whose requests a person sees; no row for those who see all, or nothing.';

-- As rows, and said to be few: of an array PostgreSQL expects so many teams that it would read the whole log.
CREATE FUNCTION lab.caller_teams() RETURNS TABLE (team_id text, user_id text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT unnest(caller.teams), caller.user_id FROM lab.caller();
END $$;

CREATE INDEX spend_logs_user_start ON public."LiteLLM_SpendLogs" ("user", "startTime");
CREATE INDEX spend_logs_team_start ON public."LiteLLM_SpendLogs" (team_id, "startTime");

-- The same view, of the log in three branches, each with an index of its own: whoever asks, only what is theirs is read.
DO $$
DECLARE
    definition text := pg_get_viewdef('lab.usage_log'::regclass);
    whole text := '"LiteLLM_SpendLogs" log';
    names text := (
        SELECT string_agg('log.' || quote_ident(name), ', ')
        FROM unnest(ARRAY[
            'request_id', 'call_type', 'startTime', 'endTime', 'completionStartTime', 'model_group', 'model',
            'custom_llm_provider', 'user', 'team_id', 'api_key', 'end_user', 'session_id', 'status', 'metadata',
            'prompt_tokens', 'completion_tokens', 'total_tokens', 'spend', 'cache_hit', 'request_tags'
        ]) AS name
    );
    log text := format('SELECT %s FROM public."LiteLLM_SpendLogs" AS log', names);
BEGIN
    ASSERT strpos(definition, whole) > 0;
    EXECUTE 'CREATE OR REPLACE VIEW lab.usage_log WITH (security_barrier = true, security_invoker = false) AS '
        || replace(definition, whole, '('
        || log || ' WHERE NOT lab.is_person()'
        || ' UNION ALL ' || log || ' JOIN lab.caller() ON caller.user_id = log."user" WHERE lab.is_person()'
        || ' UNION ALL ' || log || ' JOIN lab.caller_teams() AS own ON own.team_id = log.team_id'
        || ' AND own.user_id IS DISTINCT FROM log."user" WHERE lab.is_person()) AS log');
END $$;

CREATE OR REPLACE VIEW lab_usage.key_names WITH (security_barrier = true, security_invoker = false) AS
SELECT DISTINCT ON (key_id) key_id, key_alias
FROM (
    SELECT left(token, 12) AS key_id, key_alias, 'infinity'::timestamp AS until, user_id, team_id
    FROM public."LiteLLM_VerificationToken"
    UNION ALL
    SELECT left(token, 12), key_alias, deleted_at, user_id, team_id FROM public."LiteLLM_DeletedVerificationToken"
) AS named
WHERE key_alias IS NOT NULL AND ((SELECT NOT lab.is_person()) OR EXISTS (
    SELECT FROM lab.caller() WHERE named.user_id = caller.user_id OR named.team_id = ANY (caller.teams)
))
ORDER BY key_id, until DESC;

CREATE OR REPLACE VIEW lab_usage.team_names WITH (security_barrier = true, security_invoker = false) AS
SELECT team.team_id, team.team_alias
FROM public."LiteLLM_TeamTable" AS team
WHERE team.team_alias IS NOT NULL AND ((SELECT NOT lab.is_person()) OR EXISTS (
    SELECT FROM lab.caller() LEFT JOIN public."LiteLLM_UserTable" AS own USING (user_id)
    WHERE team.team_id = ANY (caller.teams || own.teams)
));

-- What a team has spent is the teacher's to know.
CREATE OR REPLACE VIEW lab_usage.budgets WITH (security_barrier = true, security_invoker = false) AS
SELECT 'key' AS kind, left(key.token, 12) AS key_id, key.key_alias, key.user_id, team.team_alias AS team, key.spend,
    coalesce(key.max_budget, budget.max_budget) AS max_budget,
    coalesce(key.budget_duration, budget.budget_duration) AS budget_duration,
    coalesce(key.budget_reset_at, budget.budget_reset_at) AT TIME ZONE 'UTC' AS reset_at
FROM public."LiteLLM_VerificationToken" AS key
LEFT JOIN public."LiteLLM_BudgetTable" AS budget ON budget.budget_id = key.budget_id
LEFT JOIN public."LiteLLM_TeamTable" AS team ON team.team_id = key.team_id
WHERE (SELECT NOT lab.is_person()) OR EXISTS (
    SELECT FROM lab.caller() WHERE key.user_id = caller.user_id OR key.team_id = ANY (caller.teams)
)
UNION ALL
SELECT 'user', NULL, NULL, own.user_id, NULL, own.spend, own.max_budget, own.budget_duration,
    own.budget_reset_at AT TIME ZONE 'UTC'
FROM public."LiteLLM_UserTable" AS own
WHERE (SELECT NOT lab.is_person()) OR EXISTS (
    SELECT FROM lab.caller() WHERE own.user_id = caller.user_id OR own.teams && caller.teams
)
UNION ALL
SELECT 'team', NULL, NULL, NULL, coalesce(team.team_alias, team.team_id), team.spend, team.max_budget,
    team.budget_duration, team.budget_reset_at AT TIME ZONE 'UTC'
FROM public."LiteLLM_TeamTable" AS team
WHERE (SELECT NOT lab.is_person()) OR EXISTS (SELECT FROM lab.caller() WHERE team.team_id = ANY (caller.teams));

-- Of the roll-up, which is everybody's, a person sees no row: the few of one's own come from the log. The first of the
-- two policies is always true for the notebooks' role, so that its queries are planned as if there were none.
DO $$
DECLARE
    made regclass;
BEGIN
    FOR made IN SELECT oid FROM pg_class WHERE relnamespace = 'lab_usage'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', made);
        EXECUTE format('CREATE POLICY notebooks ON %s FOR SELECT TO lab_reader USING (true)', made);
        EXECUTE format('CREATE POLICY no_person ON %s FOR SELECT USING (NOT lab.is_person())', made);
    END LOOP;
END $$;

-- A hub that was made before there were these roles does without until the playbook makes them.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lab_person') THEN
        GRANT USAGE ON SCHEMA lab, lab_usage TO lab_person;
        GRANT SELECT ON lab.usage_log TO lab_person;
        GRANT SELECT ON ALL TABLES IN SCHEMA lab_usage TO lab_person;
        REVOKE ALL ON lab_usage.source, lab_usage.prompts FROM lab_person;
        GRANT EXECUTE ON FUNCTION lab_usage.bin_of TO lab_person;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lab_registrar') THEN
        GRANT USAGE ON SCHEMA lab TO lab_registrar;
        GRANT SELECT, INSERT, UPDATE, DELETE ON lab.people TO lab_registrar;
    END IF;
END $$;
