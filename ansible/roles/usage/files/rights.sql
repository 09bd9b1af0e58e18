SELECT has_table_privilege('lab_reader', 'lab_usage.prompts', 'SELECT') <> :'shown'::boolean AS differs \gset
\if :differs
\if :shown
GRANT SELECT ON lab_usage.prompts TO lab_reader;
\echo GRANT
\else
REVOKE SELECT ON lab_usage.prompts FROM lab_reader;
\echo REVOKE
\endif
\endif
