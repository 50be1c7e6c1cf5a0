#!/bin/bash
# The project's own extension, on the foreign table that setup.sql makes over the list.
. "$BENCH_HERE/lib/env.sh"
if [ "$1" = setup ]; then
	need_apigouv
	exit 0
fi
t=structures
case $2 in
agg) psql_bench -c "SELECT count(siret), max(updated_at) FROM $t" ;;
ctas) psql_bench -c "CREATE TEMP TABLE t AS SELECT siret, name, kind, address, post_code, city, department, region, sectors, updated_at FROM $t" ;;
esac
