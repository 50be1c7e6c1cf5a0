#!/bin/bash
# The project's own extension, the keys given as one array.
. "$BENCH_HERE/lib/env.sh"
if [ "$1" = setup ]; then
	need_extension apigouv_fdw
	psql_bench -v definitions="$BENCH_HERE/apis" -f "$BENCH_HERE/setup.sql" >/dev/null
	exit 0
fi
psql_bench -c "SELECT count(f.*) FROM etablissements f WHERE f.siret = ANY (ARRAY(SELECT siret FROM lookups))"
