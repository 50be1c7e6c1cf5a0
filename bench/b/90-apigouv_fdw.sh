#!/bin/bash
# The project's own extension, on the foreign table that setup.sql makes over the look-up.
. "$BENCH_HERE/lib/env.sh"
if [ "$1" = setup ]; then
	need_extension apigouv_fdw
	psql_bench -v definitions="$BENCH_HERE/apis" -f "$BENCH_HERE/setup.sql" >/dev/null
	exit 0
fi
psql_bench -c "SELECT count(f.*) FROM lookups l JOIN etablissements f ON f.siret = l.siret"
