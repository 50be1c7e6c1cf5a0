#!/bin/bash
# The same over one connection of HTTP/2 and TLS.
. "$BENCH_HERE/lib/env.sh"
[ "$1" = setup ] && exit 0
psql_bench -c "SELECT 'url = \"$BENCH_URL_TLS/api/structures/' || siret || '\"' FROM lookups_$BENCH_LOOKUPS" |
	curl -fs --http2 --cacert "$BENCH_CA" --parallel --parallel-max 16 -K - | grep -o '"data"' | wc -l
