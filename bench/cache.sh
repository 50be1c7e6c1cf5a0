#!/bin/bash
# Reading again what the transaction has: from memory, from the temporary file, from the cluster's cache.
#
#   test/sandbox --structures 100000 bench/cache.sh [REPETITIONS]
#
# Prints the rows and bytes of the list of data_inclusion, the milliseconds of the first read (the local API server
# makes the replies meanwhile) and the best of some later ones, and the most memory that a backend has held.
set -eu
repetitions=${1:-5}
columns='count(id), max(nom), max(date_maj), count(DISTINCT code_insee), max(siret), max(description)'
list="SELECT $columns FROM data_inclusion.structures"

# session NAME CACHE_SIZE: the first read and the best later one of a transaction
session()
{
	{
		echo "SET jit = off; SET apigouv_fdw.cache_size = '$2';"
		echo '\timing on'
		echo 'BEGIN;'
		for ((i = 0; i <= repetitions; i++)); do echo "$list \\g /dev/null"; done
		echo '\timing off'
		echo "SELECT 'HWM ' || substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\s+(\d+)');"
		echo "COMMIT;"
	} | psql -X -q -A -t -v ON_ERROR_STOP=1 | awk -v name="$1" -v size="$2" '
		/^Time:/ { n++; if (n == 2) first = $2; else if (n > 2 && (!best || $2 < best)) best = $2 }
		/^HWM/ { memory = $2 }
		END { printf "%-34s cache_size %-6s first %8.1f ms, again %8.1f ms, peak memory %6.1f MB\n", name, size, first,
			best, memory / 1024 }'
}

psql -X -q -A -t -F ' ' <<SQL
SELECT count(*) || ' rows, ' || round(sum(length(reponse::text)) / 1e6) || ' MB as rows' FROM data_inclusion.structures
SQL
session 'transaction, memory' 1GB
session 'transaction, half of it in a file' 32MB
session 'transaction, file' 0

psql -X -q -c "ALTER SERVER data_inclusion OPTIONS (ADD cache_ttl_s '3600')"
psql -X -q -c "SET apigouv_fdw.shared_cache_size = '1GB'" -c "$list" > /dev/null
{
	echo "SET jit = off;"
	echo '\timing on'
	for ((i = 0; i <= repetitions; i++)); do echo "$list \\g /dev/null"; done
} | psql -X -q -A -t | awk '/^Time:/ && (!best || $2 < best) { best = $2 }
	END { printf "%-34s each read of a new transaction %8.1f ms\n", "cluster", best }'
