#!/bin/sh
# Make the cluster if there is none, then run PostgreSQL: the part of the official image's entry point that the hub
# uses (https://hub.docker.com/_/postgres: POSTGRES_INITDB_ARGS, /docker-entrypoint-initdb.d/*.sql, "postgres" first).
set -eu

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  # A start that was interrupted begins anew: PG_VERSION comes last, and with it the data count as there.
  find "$PGDATA" -mindepth 1 -delete
  new="$PGDATA/.new"
  # shellcheck disable=SC2086  # several arguments in one variable, as in the official image
  initdb --pgdata="$new" --username=postgres ${POSTGRES_INITDB_ARGS:-}
  options=
  shift
  for argument in "$@"; do options="$options '$argument'"; done
  options="$options -c listen_addresses=''" # the last one counts
  pg_ctl --pgdata="$new" --wait --silent --options="$options" start
  for script in /docker-entrypoint-initdb.d/*.sql; do
    psql -v ON_ERROR_STOP=1 --no-psqlrc --username=postgres --dbname=postgres --file="$script"
  done
  pg_ctl --pgdata="$new" --wait --mode=fast stop
  find "$new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  mv "$new/PG_VERSION" "$PGDATA/PG_VERSION"
  rmdir "$new"
  set -- postgres "$@"
fi
exec "$@"
