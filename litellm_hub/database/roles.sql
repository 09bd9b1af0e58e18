-- The hub's roles and database; what is there already stays. Run at the first start, and by every run of the playbook:
-- an interrupted first start is made good.
-- Passwords come through the environment: a command line could be read by every user of the machine.
\getenv owner_password POSTGRES_PASSWORD
\getenv reader_password POSTGRES_READER_PASSWORD
\getenv refresher_password POSTGRES_REFRESHER_PASSWORD
\getenv reader_timeout POSTGRES_READER_TIMEOUT

SELECT format('CREATE ROLE litellm LOGIN PASSWORD %L', :'owner_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'litellm') \gexec

SELECT format('CREATE ROLE lab_reader LOGIN PASSWORD %L', :'reader_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lab_reader') \gexec

SELECT format('CREATE ROLE lab_refresher LOGIN PASSWORD %L', :'refresher_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lab_refresher') \gexec

SELECT format('ALTER ROLE lab_reader SET %I = %L', name, value)
FROM (VALUES ('default_transaction_read_only', 'on'), ('statement_timeout', :'reader_timeout')) AS wanted (name, value)
WHERE NOT EXISTS (
  SELECT FROM pg_roles WHERE rolname = 'lab_reader' AND rolconfig @> ARRAY[format('%s=%s', name, value)]
) \gexec

SELECT 'CREATE DATABASE litellm OWNER litellm'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'litellm') \gexec

-- The reader could otherwise fill the disk with large objects.
\connect litellm
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name)
FROM unnest(ARRAY['lo_create(oid)', 'lo_creat(integer)', 'lo_from_bytea(oid,bytea)']) AS name
WHERE has_function_privilege('public', name, 'EXECUTE') \gexec
