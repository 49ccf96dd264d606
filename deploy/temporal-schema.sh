#!/bin/sh
# Brings Temporal's two databases to the schema of its server. May be repeated.
set -eu
SQL_PASSWORD="$(cat /run/secrets/temporal_db_password)"
export SQL_PASSWORD
tool() { temporal-sql-tool --plugin postgres12 --ep postgres --port 5432 --user temporal --db "$@"; }

for database in temporal temporal_visibility; do
  # Fails where the version table is there already.
  tool "$database" setup-schema --version 0.0 || true
done
tool temporal update-schema --schema-dir /etc/temporal/schema/postgresql/v12/temporal/versioned
tool temporal_visibility update-schema --schema-dir /etc/temporal/schema/postgresql/v12/visibility/versioned
