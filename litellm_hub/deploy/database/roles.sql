-- The hub's roles and database, and what the notebooks' role may not do. What is as it should be stays; a change says so
-- on standard output (CREATE, ALTER, GRANT, REVOKE). Run by psql as superuser at the first start of a cluster, and by
-- every run of the playbook: an interrupted first start is made good, and what a notebook changed of its own role.
-- Passwords come through the environment: a command line could be read by every user of the machine.
\getenv owner_password POSTGRES_PASSWORD
\getenv reader_password POSTGRES_READER_PASSWORD
\getenv refresher_password POSTGRES_REFRESHER_PASSWORD
\getenv registrar_password POSTGRES_REGISTRAR_PASSWORD
\getenv reader_timeout POSTGRES_READER_TIMEOUT
\getenv reader_connections POSTGRES_READER_CONNECTIONS
\getenv reader_temp_files POSTGRES_READER_TEMP_FILES
\if :{?database}
\else
\set database litellm
\endif

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['litellm', 'lab_reader', 'lab_refresher', 'lab_registrar']) AS name
WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec

-- Of a class everybody has a login in lab_person. The registrar makes these, and can change no role that it did not make.
SELECT 'CREATE ROLE lab_person' WHERE 'lab_person' NOT IN (SELECT rolname FROM pg_roles) \gexec
SELECT 'ALTER ROLE lab_registrar CREATEROLE' FROM pg_roles WHERE rolname = 'lab_registrar' AND NOT rolcreaterole \gexec
SELECT 'GRANT lab_person TO lab_registrar WITH ADMIN OPTION'
WHERE NOT EXISTS (
  SELECT FROM pg_auth_members
  WHERE roleid = 'lab_person'::regrole AND member = 'lab_registrar'::regrole AND admin_option
) \gexec
SELECT 'GRANT SET ON PARAMETER temp_file_limit TO lab_registrar'
WHERE NOT has_parameter_privilege('lab_registrar', 'temp_file_limit', 'SET') \gexec

-- However many people there are, some connections are the services'.
SELECT format('GRANT %I TO %I', reserved.rolname, name)
FROM pg_roles AS reserved, unnest(ARRAY['litellm', 'lab_refresher', 'lab_registrar']) AS name
WHERE reserved.rolname = 'pg_use_reserved_connections' AND NOT pg_has_role(name, reserved.oid, 'MEMBER') \gexec

-- Whether a password is as it should be cannot be seen, and a role can always change its own.
\set QUIET on
ALTER ROLE litellm PASSWORD :'owner_password';
ALTER ROLE lab_reader PASSWORD :'reader_password';
ALTER ROLE lab_refresher PASSWORD :'refresher_password';
ALTER ROLE lab_registrar PASSWORD :'registrar_password';
\set QUIET off

-- Notebooks leave connections for the services.
SELECT format('ALTER ROLE lab_reader CONNECTION LIMIT %s', :'reader_connections')
FROM pg_roles WHERE rolname = 'lab_reader' AND rolconnlimit::text <> :'reader_connections' \gexec

-- A session can lift the first two for itself, and the role for all its sessions; the limit of temporary files is the
-- superuser's to set. Whatever else the role may have set for itself goes.
WITH wanted (name, value) AS (
  VALUES
    ('default_transaction_read_only', 'on'),
    ('statement_timeout', :'reader_timeout'),
    ('temp_file_limit', :'reader_temp_files')
),
found AS (
  SELECT nullif(setdatabase, 0) AS database, unnest(setconfig) AS setting
  FROM pg_db_role_setting WHERE setrole = 'lab_reader'::regrole
),
steps (step, statement) AS (
  SELECT DISTINCT 1, concat('ALTER ROLE lab_reader', ' IN DATABASE ' || quote_ident(datname), ' RESET ALL')
  FROM found LEFT JOIN pg_database ON pg_database.oid = database
  UNION ALL
  SELECT 2, format('ALTER ROLE lab_reader SET %I = %L', name, value) FROM wanted
)
SELECT statement FROM steps
WHERE (SELECT array_agg(setting ORDER BY setting) FROM found)
  IS DISTINCT FROM (SELECT array_agg(concat(name, '=', value) ORDER BY concat(name, '=', value)) FROM wanted)
ORDER BY step \gexec

SELECT format('CREATE DATABASE %I OWNER litellm', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

-- Readers could otherwise fill the disk with large objects or messages, and hold a lock that migrations wait for.
\connect :"database"
\set QUIET on
CREATE TEMPORARY VIEW closed AS
SELECT oid, oid::regprocedure AS name, proname LIKE '%advisory%' AS locks
FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
  AND (proname ~ '^pg_(try_)?advisory_(xact_)?lock'
    OR proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'pg_logical_emit_message'));
\set QUIET off

SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name)
FROM closed WHERE has_function_privilege('public', oid, 'EXECUTE') \gexec

SELECT format('GRANT EXECUTE ON FUNCTION %s TO litellm', name)
FROM closed WHERE locks AND NOT has_function_privilege('litellm', oid, 'EXECUTE') \gexec

-- Nor may it give up its rights for all notebooks (DROP OWNED), which no later run would give back.
SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'lab_reader_changes_nothing') AS guarded,
  EXISTS (SELECT FROM pg_proc WHERE proname = 'lab_reader_changes_nothing' AND prosrc LIKE '%lab_person%') AS all_of_them \gset
\if :all_of_them
\else
CREATE OR REPLACE FUNCTION pg_catalog.lab_reader_changes_nothing() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
  IF session_user = 'lab_reader' OR EXISTS (
    SELECT FROM pg_roles WHERE rolname = session_user AND NOT rolsuper AND pg_has_role(oid, 'lab_person', 'MEMBER')
  ) THEN
    RAISE insufficient_privilege USING MESSAGE = 'permission denied: notebooks only read here';
  END IF;
END $$;
\endif
\if :guarded
\else
CREATE EVENT TRIGGER lab_reader_changes_nothing ON ddl_command_start
EXECUTE FUNCTION pg_catalog.lab_reader_changes_nothing();
\endif
