#!/bin/bash
# What pgsql-http does after its requests: jsonb_array_elements over pages that are read from files. No request at all.
. "$BENCH_HERE/lib/env.sh"
[ "$1" = setup ] && exit 0
from="generate_series(1, $BENCH_PAGES) p, pg_read_file('$BENCH_TMP/upstream/pages/' || p || '.json') h, jsonb_array_elements(h::jsonb -> 'results') e"
case $2 in
agg) psql_bench -c "SELECT count(e->>'siret'), max((e->>'updated_at')::timestamptz) FROM $from" ;;
ctas) psql_bench -c "CREATE TEMP TABLE t AS SELECT e->>'siret' siret, e->>'name' AS name, e->>'kind' kind, e->>'address' address, e->>'post_code' post_code, e->>'city' city, e->>'department' department, e->>'region' region, e->'sectors' sectors, (e->>'updated_at')::timestamptz updated_at FROM $from" ;;
esac
