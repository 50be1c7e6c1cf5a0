#!/bin/bash
# The project's own extension: the join over HTTP/2 and TLS, with an authority of its own.
. "$BENCH_HERE/lib/env.sh"
if [ "$1" = setup ]; then
	need_apigouv
	exit 0
fi
psql_bench -c '\timing on' -c "SELECT count(f.*) FROM lookups_$BENCH_LOOKUPS l JOIN tls.etablissements f ON f.siret = l.siret"
