#!/bin/sh
# Runs once, when the cluster is made: a role and a database for Innkeeper, a role and two databases for Temporal.
set -eu
innkeeper="$(cat /run/secrets/innkeeper_db_password)"
temporal="$(cat /run/secrets/temporal_db_password)"
psql --set=ON_ERROR_STOP=1 --username=postgres --set=innkeeper="$innkeeper" --set=temporal="$temporal" <<'SQL'
-- createrole: the migrations make the limited role for backends.
create role innkeeper login createrole password :'innkeeper';
create database innkeeper owner innkeeper;
create role temporal login password :'temporal';
create database temporal owner temporal;
create database temporal_visibility owner temporal;
revoke connect on database innkeeper, temporal, temporal_visibility from public;
SQL
