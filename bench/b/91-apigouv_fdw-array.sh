#!/bin/bash
# The project's own extension, the keys given as one array.
. "$BENCH_HERE/lib/env.sh"
if [ "$1" = setup ]; then
	need_apigouv
	exit 0
fi
psql_bench -c '\timing on' \
	-c "SELECT count(f.*) FROM etablissements f WHERE f.siret = ANY (ARRAY(SELECT siret FROM lookups_$BENCH_LOOKUPS))"
