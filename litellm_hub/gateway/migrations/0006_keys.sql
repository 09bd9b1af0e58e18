-- Keys with each of their budgets, for the teacher of a class: what is left, when it renews, whether the key is used and
-- open. Whose keys somebody sees is lab_usage.budgets' to say.
CREATE VIEW lab_usage.keys WITH (security_barrier = true, security_invoker = false) AS
SELECT own.key_id, own.key_alias, own.user_id, own.team, coalesce(key.blocked, false) AS blocked,
    key.last_active AT TIME ZONE 'UTC' AS last_active, each.spend, each.max_budget, each.budget_duration, each.reset_at
FROM lab_usage.budgets AS own
JOIN public."LiteLLM_VerificationToken" AS key ON left(key.token, 12) = own.key_id
CROSS JOIN LATERAL (
    SELECT own.spend, own.max_budget, own.budget_duration, own.reset_at
    UNION ALL
    SELECT coalesce(counted.spend, 0), shorter.max_budget, shorter.budget_duration, shorter.reset_at
    FROM jsonb_to_recordset(CASE jsonb_typeof(key.budget_limits) WHEN 'array' THEN key.budget_limits ELSE '[]' END)
        AS shorter (budget_duration text, max_budget double precision, reset_at timestamptz)
    LEFT JOIN public."LiteLLM_BudgetWindowSpend" AS counted ON counted.entity_type = 'key'
        AND counted.entity_id = key.token AND counted.window_duration = shorter.budget_duration
        AND counted.window_start >= shorter.reset_at AT TIME ZONE 'UTC'
            - replace(shorter.budget_duration, 'mo', ' mons')::interval
) AS each
WHERE own.kind = 'key';

COMMENT ON VIEW lab_usage.keys IS 'A row for each budget of a key, and one for a key that has none; no key is shown.';
GRANT SELECT ON lab_usage.keys TO lab_reader;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'lab_person') THEN
        GRANT SELECT ON lab_usage.keys TO lab_person;
    END IF;
END $$;
