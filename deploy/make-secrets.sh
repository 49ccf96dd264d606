#!/bin/sh
# Fills deploy/secrets/ with random passwords, once: what exists stays. The folder is closed to other users of this host; the
# files are readable, because each container reads its own as another user.
set -eu
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
put() { if [ ! -e "$folder/$1" ]; then printf '%s' "$2" >"$folder/$1"; chmod 644 "$folder/$1"; echo "made $folder/$1"; fi; }

put postgres_password "$(random)"
put temporal_db_password "$(random)"
put innkeeper_db_password "$(random)"
put database_url "postgres://innkeeper:$(cat "$folder/innkeeper_db_password")@postgres:5432/innkeeper"
# Shared by the worker and the emulator; with the cloud, replace both by your keys.
put dedalus_api_key "dsk-local-$(random)"
put model_api_key "$(cat "$folder/dedalus_api_key")"
