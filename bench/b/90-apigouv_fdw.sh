#!/bin/bash
# The project's own extension: a join with the foreign table that setup.sql makes over the look-up.
. "$BENCH_HERE/lib/env.sh"
if [ "$1" = setup ]; then
	need_apigouv
	exit 0
fi
psql_bench -c '\timing on' -c "SELECT count(f.*) FROM lookups_$BENCH_LOOKUPS l JOIN etablissements f ON f.siret = l.siret"
