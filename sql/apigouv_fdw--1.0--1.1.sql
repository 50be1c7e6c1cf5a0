/* apigouv_fdw--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION apigouv_fdw UPDATE TO '1.1'" to load this file. \quit

CREATE FUNCTION apigouv_session_requests()
RETURNS bigint
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION apigouv_session_requests()
	IS 'Requests that this session has sent since it began, retries, access tokens and documents included';

CREATE FUNCTION apigouv_bound_requests(most bigint)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION apigouv_bound_requests(bigint)
	IS 'Until the transaction ends, the session sends at most so many more requests; NULL: no bound';

-- An error in the language of the session: its code, then texts that are translated, whose %s are the values.
CREATE FUNCTION apigouv_refuse(sqlstate text, message text, "values" text[], detail text, hint text)
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE;

COMMENT ON FUNCTION apigouv_refuse(text, text, text[], text, text)
	IS 'Part of other functions: an error in the language of the session';

-- What a run of apigouv_refresh executes: statements, made once from the names and types of the columns.
-- $1 of most is the keys of a batch as text[][], $2 the places of those that are meant.
CREATE FUNCTION apigouv_refresh_job(target regclass, source regclass, keys text, path text, state name)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	refuse CONSTANT text := (SELECT format('SELECT %I.apigouv_refuse($1, $2, $3::text[], $4, $5)', n.nspname)
		FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'apigouv_fdw');
	first_key jsonb;
	key record;			-- of the key columns, in the order of the source's
	names text[];		-- of them
	shared text[];		-- columns that source and target have
	owner oid;
	place name;
	kept regclass;		-- the table of states
	made boolean := false;
	-- parts of statements, per key column
	of_source text[] := '{}';
	of_target text[] := '{}';
	of_state text[] := '{}';
	values_given text[] := '{}';
	values_asked text[] := '{}';
	columns text[] := '{}';
	numbers text[] := '{}';
	nulls text[] := '{}';
	same text[] := '{}';
	answered text;
	obtained text;
	error text;
BEGIN
	IF target IS NULL OR source IS NULL OR keys IS NULL THEN
		EXECUTE refuse USING '22023', 'target, source and keys must be given', NULL, NULL, NULL;
	END IF;
	SELECT c.relowner, n.nspname INTO owner, place FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.oid = target AND c.relkind IN ('r', 'p');
	IF NOT FOUND THEN
		EXECUTE refuse USING '42809', '"%s" is not a table', ARRAY[target::text], NULL, NULL;
	END IF;
	PERFORM FROM pg_foreign_table AS t
		JOIN pg_foreign_server AS s ON s.oid = t.ftserver
		JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
		JOIN pg_proc AS h ON h.oid = w.fdwhandler
	WHERE t.ftrelid = source AND h.proname = 'apigouv_fdw_handler';
	IF NOT FOUND THEN
		EXECUTE refuse USING '42809', '"%s" is not a foreign table of apigouv_fdw', ARRAY[source::text], NULL, NULL;
	END IF;
	IF NOT (has_table_privilege(source, 'SELECT') AND has_table_privilege(target, 'SELECT')
			AND has_table_privilege(target, 'INSERT') AND has_table_privilege(target, 'DELETE')) THEN
		EXECUTE refuse USING '42501', 'permission denied to refresh table "%s" from foreign table "%s"',
			ARRAY[target::text, source::text], NULL,
			'It takes SELECT on the foreign table, and SELECT, INSERT and DELETE on the table.';
	END IF;

	-- the names that the query gives its columns, as the caller means them
	answered := format(E'SELECT pg_catalog.to_jsonb(apigouv_keys) FROM (%s\n) AS apigouv_keys LIMIT 1', keys);
	PERFORM set_config('search_path', path, true);
	EXECUTE answered INTO first_key;
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	IF first_key IS NULL THEN
		RETURN NULL;
	END IF;
	names := ARRAY(SELECT jsonb_object_keys(first_key));
	shared := ARRAY(SELECT s.attname::text FROM pg_attribute AS s JOIN pg_attribute AS t USING (attname)
		WHERE s.attrelid = source AND s.attnum > 0 AND NOT s.attisdropped
			AND t.attrelid = target AND t.attnum > 0 AND NOT t.attisdropped
			AND t.attgenerated = '' AND t.attidentity <> 'a'
		ORDER BY s.attnum);
	FOR i IN 1 .. cardinality(names) LOOP
		IF names[i] <> ALL (shared) THEN
			EXECUTE refuse USING '42703', 'key column "%s" is not a column of both "%s" and "%s"',
				ARRAY[names[i], source::text, target::text], NULL,
				'The columns of the query for the keys are named as the key columns of the foreign table.';
		END IF;
	END LOOP;
	FOR key IN
		SELECT s.attname, row_number() OVER (ORDER BY s.attnum) AS n,
			format('%I.%I', sn.nspname, st.typname) AS source_type, format('%I.%I', tn.nspname, tt.typname) AS target_type
		FROM pg_attribute AS s
			JOIN pg_type AS st ON st.oid = s.atttypid JOIN pg_namespace AS sn ON sn.oid = st.typnamespace
			JOIN pg_attribute AS t ON t.attrelid = target AND t.attname = s.attname
			JOIN pg_type AS tt ON tt.oid = t.atttypid JOIN pg_namespace AS tn ON tn.oid = tt.typnamespace
		WHERE s.attrelid = source AND s.attname = ANY (names)
		ORDER BY s.attnum
	LOOP
		columns := columns || quote_ident(key.attname);
		numbers := numbers || format('k%s', key.n);
		nulls := nulls || format('apigouv_keys.%I IS NOT NULL', key.attname);
		values_asked := values_asked || format('apigouv_keys.%I::%s AS k%s', key.attname, key.source_type, key.n);
		values_given := values_given || format('($1[u.i][%s])::%s', key.n, key.source_type);
		of_source := of_source || format('f.%I OPERATOR(pg_catalog.=) ($1[u.i][%s])::%s', key.attname, key.n,
			key.source_type);
		of_target := of_target || format('t.%I OPERATOR(pg_catalog.=) ($1[u.i][%s])::%s', key.attname, key.n,
			key.target_type);
		of_state := of_state || format('s.%I OPERATOR(pg_catalog.=) k.k%s', key.attname, key.n);
		same := same || format('%I %s NOT NULL', key.attname, key.source_type);
	END LOOP;

	-- what was done of each key
	state := coalesce(state, (SELECT relname || '_refresh' FROM pg_class WHERE oid = target)::name);
	kept := to_regclass(format('%I.%I', place, state));
	IF kept IS NULL THEN
		EXECUTE format('CREATE TABLE %I.%I (%s, tried_at timestamptz NOT NULL, fetched_at timestamptz, "rows" bigint,'
			' attempts integer NOT NULL DEFAULT 0, sqlstate text, message text, PRIMARY KEY (%s))',
			place, state, array_to_string(same, ', '), array_to_string(columns, ', '));
		kept := to_regclass(format('%I.%I', place, state));
		EXECUTE format('COMMENT ON TABLE %s IS %L', kept,
			format('State of each key of table "%s", kept by apigouv_refresh', target));
	END IF;
	-- a table of somebody else could have triggers that run with our rights
	PERFORM FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
	WHERE c.oid = kept AND c.relkind IN ('r', 'p') AND (c.relowner = owner OR r.rolname = current_user);
	IF NOT FOUND THEN
		EXECUTE refuse USING '42809', '"%s" is not a table of the owner of table "%s", nor of yours',
			ARRAY[kept::text, target::text], NULL, NULL;
	END IF;
	IF ARRAY(SELECT a.attname::text FROM pg_index AS i JOIN pg_attribute AS a
			ON a.attrelid = kept AND a.attnum = ANY (i.indkey::int2[])
			WHERE i.indrelid = kept AND i.indisprimary ORDER BY 1)
		<> ARRAY(SELECT n FROM unnest(names) AS n ORDER BY n COLLATE "C") THEN
		EXECUTE refuse USING '55000', 'table "%s" keeps the states of other key columns', ARRAY[kept::text], NULL,
			'Give the columns of its primary key, or another name of the table of states.';
	END IF;

	SELECT format('f.%I', a.attname) INTO obtained FROM pg_attribute AS a
	WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped AND 'obtenu_le' = coalesce((SELECT o.option_value
		FROM pg_options_to_table(a.attfdwoptions) AS o WHERE o.option_name = 'column'), a.attname);
	SELECT format('f.%I', a.attname) INTO error FROM pg_attribute AS a
	WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped AND 'erreur' = coalesce((SELECT o.option_value
		FROM pg_options_to_table(a.attfdwoptions) AS o WHERE o.option_name = 'column'), a.attname);
	answered := format('FROM unnest($2) AS u (i) LEFT JOIN %s AS f ON %s', source, array_to_string(of_source, ' AND '));
	RETURN jsonb_build_object(
		-- the keys that are due, the oldest first, after a row of counts; everything but the keys' query is qualified, since
		-- it runs with the caller's search_path
		'due', format('WITH k AS MATERIALIZED (SELECT DISTINCT %s FROM (%s' || E'\n' || ') AS apigouv_keys WHERE %s),'
			' d AS MATERIALIZED (SELECT k.*, s.fetched_at, s.tried_at,'
			'  CASE WHEN s.fetched_at OPERATOR(pg_catalog.>) $1 THEN ''fresh''::pg_catalog.text'
			-- each attempt that fails doubles the time to the next one, up to a day
			'   WHEN s.attempts OPERATOR(pg_catalog.>) 0 AND s.tried_at OPERATOR(pg_catalog.+) LEAST($3 OPERATOR(pg_catalog.*)'
			'    pg_catalog.power(2::pg_catalog.float8, (LEAST(s.attempts, 20) OPERATOR(pg_catalog.-) 1)::pg_catalog.float8),'
			'    GREATEST($3, ''1 day''::pg_catalog.interval)) OPERATOR(pg_catalog.>) $2 THEN ''waiting''::pg_catalog.text'
			'   ELSE ''due''::pg_catalog.text END AS fate'
			'  FROM k LEFT JOIN %s AS s ON %s)'
			' SELECT 0::pg_catalog.int8 AS n, NULL::pg_catalog._text AS key, pg_catalog.count(*) AS seen,'
			'  pg_catalog.count(*) FILTER (WHERE d.fate OPERATOR(pg_catalog.=) ''fresh''::pg_catalog.text) AS fresh,'
			'  pg_catalog.count(*) FILTER (WHERE d.fate OPERATOR(pg_catalog.=) ''waiting''::pg_catalog.text) AS waiting'
			' FROM d'
			' UNION ALL SELECT pg_catalog.row_number() OVER (ORDER BY d.fetched_at NULLS FIRST, d.tried_at NULLS FIRST, %s),'
			'  ARRAY[%s], NULL, NULL, NULL FROM d WHERE d.fate OPERATOR(pg_catalog.=) ''due''::pg_catalog.text'
			' ORDER BY 1',
			array_to_string(values_asked, ', '), keys, array_to_string(nulls, ' AND '), kept,
			array_to_string(of_state, ' AND '),
			array_to_string(ARRAY(SELECT 'd.' || n FROM unnest(numbers) AS n), ', '),
			array_to_string(ARRAY(SELECT 'd.' || n || '::pg_catalog.text' FROM unnest(numbers) AS n), ', ')),
		-- the answers: keys that have one, with its time and number of rows; keys that failed, and why
		'ask', format('SELECT array_agg(g.i ORDER BY g.i) FILTER (WHERE g.error IS NULL),'
			' array_agg(g.obtained ORDER BY g.i) FILTER (WHERE g.error IS NULL),'
			' array_agg(g.n ORDER BY g.i) FILTER (WHERE g.error IS NULL),'
			' array_agg(g.i ORDER BY g.i) FILTER (WHERE g.error IS NOT NULL),'
			' array_agg(g.error ORDER BY g.i) FILTER (WHERE g.error IS NOT NULL)'
			' FROM (SELECT u.i, count(f.%s) AS n, min(%s::timestamptz) AS obtained, min(%s::text) AS error %s GROUP BY u.i) AS g',
			columns[1], coalesce(obtained, 'NULL'), coalesce(error, 'NULL'), answered),
		-- the same join, for the same plan: its replies are in the transaction's cache
		'insert', format('INSERT INTO %s (%s) SELECT %s FROM (SELECT f.* %s OFFSET 0) AS x WHERE x.%s IS NOT NULL', target,
			array_to_string(ARRAY(SELECT quote_ident(n) FROM unnest(shared) AS n), ', '),
			array_to_string(ARRAY(SELECT format('x.%I', n) FROM unnest(shared) AS n), ', '), answered, columns[1]),
		'delete', format('DELETE FROM %s AS t USING unnest($2) AS u (i) WHERE %s', target, array_to_string(of_target, ' AND ')),
		-- the target's rows of each key, to see whether they change
		'rows', format('SELECT coalesce(jsonb_object_agg(g.i, g.r), ''{}'') FROM (SELECT u.i, jsonb_agg(to_jsonb(c) ORDER BY to_jsonb(c)) AS r'
			' FROM unnest($2) AS u (i) JOIN %s AS t ON %s CROSS JOIN LATERAL (SELECT %s) AS c GROUP BY u.i) AS g', target,
			array_to_string(of_target, ' AND '), array_to_string(ARRAY(SELECT format('t.%I', n) FROM unnest(shared) AS n
				WHERE format('f.%I', n) IS DISTINCT FROM obtained), ', ')),
		'answered', format('INSERT INTO %s AS s (%s, tried_at, fetched_at, "rows")'
			' SELECT %s, clock_timestamp(), coalesce(u.obtained, clock_timestamp()), u.n'
			' FROM unnest($2, $3, $4) AS u (i, obtained, n)'
			' ON CONFLICT (%2$s) DO UPDATE SET tried_at = EXCLUDED.tried_at, fetched_at = EXCLUDED.fetched_at,'
			' "rows" = EXCLUDED."rows", attempts = 0, sqlstate = NULL, message = NULL', kept,
			array_to_string(columns, ', '), array_to_string(values_given, ', ')),
		'failed', format('INSERT INTO %s AS s (%s, tried_at, attempts, sqlstate, message)'
			' SELECT %s, clock_timestamp(), 1, $3, $4 FROM unnest($2) AS u (i)'
			' ON CONFLICT (%2$s) DO UPDATE SET tried_at = EXCLUDED.tried_at, attempts = s.attempts + 1,'
			' sqlstate = EXCLUDED.sqlstate, message = EXCLUDED.message', kept,
			array_to_string(columns, ', '), array_to_string(values_given, ', ')),
		'on_failure', CASE WHEN error IS NULL THEN 'error' ELSE 'row' END,
		'home', (SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
			WHERE e.extname = 'apigouv_fdw'));
END
$$;

COMMENT ON FUNCTION apigouv_refresh_job(regclass, regclass, text, text, name)
	IS 'Part of apigouv_refresh: its statements';

-- The error of a key of which the table told the failure in a row. Its reply is in the transaction's cache: nothing is sent.
CREATE FUNCTION apigouv_refresh_failure(job jsonb, keys text[], place integer, reason text,
	OUT code text, OUT said text, OUT detail text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer record;
BEGIN
	EXECUTE format('SELECT %I.apigouv_bound_requests(0)', job ->> 'home');
	PERFORM set_config('apigouv_fdw.on_failure', 'error', true);
	BEGIN
		EXECUTE job ->> 'ask' INTO answer USING keys, ARRAY[place];
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	END;
	-- a union table has such rows in any case; or the reply is gone
	IF code IS NULL OR code = '53400' THEN
		code := 'HV00M';
		said := reason;
		detail := reason;
	END IF;
END
$$;

COMMENT ON FUNCTION apigouv_refresh_failure(jsonb, text[], integer, text)
	IS 'Part of apigouv_refresh: the error of a key';

-- One batch of apigouv_refresh, in the caller's transaction: asks for the keys together, replaces the rows of those that have
-- an answer, notes those that fail. When a statement fails for one key of many, it is made again for each half of them, from
-- the transaction's cache alone; what has no reply there is then asked for, the key that failed apart.
CREATE FUNCTION apigouv_refresh_batch(job jsonb, keys text[], budget bigint,
	INOUT streak integer,	-- of keys in a row for which the API was not available
	OUT renewed bigint, OUT unchanged bigint, OUT empty bigint, OUT failed bigint,
	OUT unavailable boolean,	-- for any key
	OUT stopped text, OUT message text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	most_in_a_row CONSTANT integer := 5;
	bound CONSTANT text := format('SELECT %I.apigouv_bound_requests($1)', job ->> 'home');
	spent CONSTANT text := format('SELECT %I.apigouv_session_requests()', job ->> 'home');
	failure CONSTANT text := format('SELECT * FROM %I.apigouv_refresh_failure($1, $2, $3, $4)', job ->> 'home');
	last bigint;	-- what the session may have sent in the end
	sent bigint;
	-- what is to do, the next one last: lists of places, and whether only the cache is to be looked at
	parts text[] := ARRAY[ARRAY(SELECT generate_series(1, array_length(keys, 1)))::text];
	cached boolean[] := '{false}';
	part integer[];
	asks_nothing boolean;
	half integer;
	missing integer[] := '{}';	-- places without a reply in the cache
	-- places of keys that have an answer, its time and number of rows; of those that have none, and why
	good integer[];
	obtained timestamptz[];
	counts bigint[];
	bad integer[];
	reasons text[];
	old_rows jsonb;
	new_rows jsonb;
	caught boolean;
	n integer;
	place integer;
	code text;
	said text;
	detail text;
	why text;
	culprit text;	-- the code of the error that stops the run, for the first key without an answer
BEGIN
	renewed := 0;
	unchanged := 0;
	empty := 0;
	failed := 0;
	unavailable := false;
	EXECUTE spent INTO sent;
	last := sent + budget;
	PERFORM set_config('client_min_messages', 'error', true);	-- the counts tell
	LOOP
		IF cardinality(parts) = 0 THEN
			EXIT WHEN cardinality(missing) = 0;
			IF stopped IS NOT NULL THEN
				-- it may be the only one that is refused: let others come first next time
				IF culprit IS NOT NULL THEN
					EXECUTE job ->> 'failed' USING keys, missing[:1], culprit, left(message, 500);
					failed := failed + 1;
				END IF;
				EXIT;
			END IF;
			-- replies are read in order: the first was the error, the others were under way
			parts := CASE WHEN cardinality(missing) > 1 THEN ARRAY[missing[2:]::text] ELSE '{}' END || missing[:1]::text;
			cached := '{false, false}';
			missing := '{}';
		END IF;
		n := cardinality(parts);
		part := parts[n]::integer[];
		asks_nothing := cached[n] OR stopped IS NOT NULL;
		parts := trim_array(parts, 1);
		cached := cached[:n - 1];
		good := NULL;
		bad := NULL;
		caught := false;
		BEGIN
			EXECUTE spent INTO sent;
			EXECUTE bound USING CASE WHEN asks_nothing THEN 0 ELSE last - sent END;
			PERFORM set_config('apigouv_fdw.on_failure', job ->> 'on_failure', true);
			EXECUTE job ->> 'ask' INTO good, obtained, counts, bad, reasons USING keys, part;
			IF good IS NOT NULL THEN
				EXECUTE job ->> 'rows' INTO old_rows USING keys, good;
				EXECUTE job ->> 'delete' USING keys, good;
				EXECUTE job ->> 'insert' USING keys, good;
				EXECUTE job ->> 'rows' INTO new_rows USING keys, good;
				EXECUTE job ->> 'answered' USING keys, good, obtained, counts;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
			caught := true;
			good := NULL;
			bad := NULL;
			why := CASE code WHEN '28000' THEN 'token' WHEN '42501' THEN 'refused' WHEN 'HV00N' THEN 'unavailable'
				WHEN '53400' THEN 'quota' END;
			IF why IS NULL AND code !~ '^(HV00M|HV021|08006|53200|54000|40001|P0001|2[23]...)$' THEN
				RAISE;	-- nothing that another key, or another hour, would mend
			END IF;
			IF why IS NOT NULL AND NOT asks_nothing THEN
				EXECUTE spent INTO sent;
				stopped := CASE WHEN why IN ('quota', 'token') AND sent >= last THEN 'budget' ELSE why END;
				message := CASE WHEN stopped <> 'budget' THEN concat_ws(': ', said, nullif(detail, '')) END;
				culprit := CASE WHEN stopped IN ('quota', 'refused') THEN code END;
			END IF;
			IF cardinality(part) > 1 THEN
				half := cardinality(part) / 2;
				parts := parts || part[half + 1:]::text || part[:half]::text;
				cached := cached || '{true, true}';
			ELSIF why IS NULL THEN
				bad := part;
			ELSE
				missing := missing || part;
			END IF;
		END;
		FOR i IN 1 .. coalesce(cardinality(good), 0) LOOP
			IF counts[i] = 0 THEN
				empty := empty + 1;
			ELSIF old_rows -> good[i]::text = new_rows -> good[i]::text THEN
				unchanged := unchanged + 1;
			ELSE
				renewed := renewed + 1;
			END IF;
		END LOOP;
		CONTINUE WHEN good IS NULL AND bad IS NULL;
		n := 1;
		FOREACH place IN ARRAY part LOOP
			IF bad[n] IS DISTINCT FROM place THEN
				streak := 0;
				CONTINUE;
			END IF;
			IF NOT caught THEN
				EXECUTE failure INTO code, said, detail USING job, keys, place, reasons[n];
			END IF;
			n := n + 1;
			IF code ~ '^(HV|08|5)' AND detail <> '' AND detail <> said THEN
				said := said || ': ' || detail;
			END IF;
			IF code IN ('08006', 'HV00M', 'HV00N', 'HV021') AND detail !~ '^HTTP [1-4]' THEN
				unavailable := true;
				streak := streak + 1;
			ELSE
				streak := 0;
			END IF;
			IF (code = 'HV00N' OR streak >= most_in_a_row) AND stopped IS NULL THEN
				stopped := 'unavailable';
				message := said;
			END IF;
			IF code <> 'HV00N' THEN		-- which says nothing of the key
				EXECUTE job ->> 'failed' USING keys, ARRAY[place], code, left(said, 500);
				failed := failed + 1;
			END IF;
		END LOOP;
	END LOOP;
	EXECUTE bound USING NULL::bigint;
END
$$;

COMMENT ON FUNCTION apigouv_refresh_batch(jsonb, text[], bigint, integer)
	IS 'Part of apigouv_refresh: one batch of keys';

-- A procedure that commits can neither be SECURITY DEFINER nor set anything for itself: it makes its search_path safe at the
-- beginning of each of its transactions, and between them evaluates nothing that is not qualified.
CREATE PROCEDURE apigouv_refresh(
	target regclass,
	source regclass,
	keys text,
	max_age interval DEFAULT '1 day',
	max_requests bigint DEFAULT NULL,
	batch_size integer DEFAULT 100,
	ends_at timestamptz DEFAULT NULL,
	retry_after interval DEFAULT '15 minutes',
	state name DEFAULT NULL,
	INOUT seen bigint DEFAULT NULL,
	INOUT fresh bigint DEFAULT NULL,
	INOUT waiting bigint DEFAULT NULL,
	INOUT renewed bigint DEFAULT NULL,
	INOUT unchanged bigint DEFAULT NULL,
	INOUT empty bigint DEFAULT NULL,
	INOUT failed bigint DEFAULT NULL,
	INOUT "left" bigint DEFAULT NULL,
	INOUT requests bigint DEFAULT NULL,
	INOUT stopped text DEFAULT NULL,
	INOUT message text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	first_batch CONSTANT integer := 8;	-- what an API in maintenance is asked
	path text;
	home name;
	refuse text;	-- as in apigouv_refresh_job
	job jsonb;
	class integer;
	object integer;
	most integer;
	begun bigint;
	sent bigint;
	due record;
	batch text[];
	n integer;
	size integer;
	wanted integer;
	part record;
	streak integer;
	since timestamptz;
	key_s double precision;
BEGIN
	path := pg_catalog.current_setting('search_path');
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	SELECT x.nspname INTO home FROM pg_extension AS e JOIN pg_namespace AS x ON x.oid = e.extnamespace
	WHERE e.extname = 'apigouv_fdw';
	refuse := format('SELECT %I.apigouv_refuse($1, $2, $3::text[], $4, $5)', home);
	IF max_age < interval '0' OR retry_after IS NULL OR retry_after < interval '0' OR max_requests < 0
		OR batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 10000 THEN
		EXECUTE refuse USING '22023', 'ages, times and numbers must not be negative', NULL, NULL,
			'Parameter "batch_size" is between 1 and 10000.';
	END IF;
	seen := 0;
	fresh := 0;
	waiting := 0;
	renewed := 0;
	unchanged := 0;
	empty := 0;
	failed := 0;
	"left" := 0;
	requests := 0;
	stopped := NULL;
	message := NULL;

	-- One run per target: a lock of the transaction, taken again after each commit, since one of the session would stay when
	-- the run is cancelled. "apig", and the table.
	class := 1634756967;
	object := (target::oid::bigint - CASE WHEN target::oid::bigint > 2147483647 THEN 4294967296 ELSE 0 END)::integer;
	IF NOT pg_try_advisory_xact_lock(class, object) THEN
		EXECUTE refuse USING '55006', 'table "%s" is being refreshed by another session',
			ARRAY[target::text, (SELECT string_agg(l.pid::text, ', ') FROM pg_locks AS l
				WHERE l.locktype = 'advisory' AND l.classid::bigint = class AND l.objid = target::oid AND l.objsubid = 2
					AND l.granted AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))],
			'Its process is %s.', 'Let it end; what it has done is committed.';
	END IF;
	-- the query of the keys may ask an API, too
	EXECUTE format('SELECT %I.apigouv_session_requests()', home) INTO begun;
	EXECUTE format('SELECT %I.apigouv_bound_requests($1)', home) USING max_requests;
	EXECUTE format('SELECT %I.apigouv_refresh_job($1, $2, $3, $4, $5)', home) INTO job
		USING target, source, keys, path, state;
	most := current_setting('apigouv_fdw.max_requests_per_query');
	IF most > 0 THEN
		batch_size := least(batch_size, most);
	END IF;
	IF job IS NULL THEN
		EXECUTE format('SELECT %I.apigouv_session_requests()', home) INTO sent;
		requests := sent - begun;
		stopped := 'done';
		RETURN;
	END IF;

	batch := '{}';
	n := 0;
	wanted := least(batch_size, first_batch);
	streak := 0;
	PERFORM set_config('search_path', path, true);
	FOR due IN EXECUTE job OPERATOR(pg_catalog.->>) 'due'
		USING coalesce(pg_catalog.now() OPERATOR(pg_catalog.-) max_age, '-infinity'::pg_catalog.timestamptz), pg_catalog.now(),
			retry_after
	LOOP
		IF due.n OPERATOR(pg_catalog.=) 0 THEN
			-- the keys are read to their end now, by the caller's search_path
			seen := due.seen;
			fresh := due.fresh;
			waiting := due.waiting;
			COMMIT;
			PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
			"left" := seen - fresh - waiting;
			EXECUTE format('SELECT %I.apigouv_session_requests()', home) INTO sent;
			requests := sent - begun;
			IF NOT pg_try_advisory_xact_lock(class, object) THEN
				stopped := 'other run';
				EXIT;
			END IF;
			CONTINUE;
		END IF;
		IF n = 0 THEN
			IF clock_timestamp() >= ends_at THEN
				stopped := 'time';
				EXIT;
			ELSIF requests >= max_requests THEN
				stopped := 'budget';
				EXIT;
			END IF;
			size := least(wanted, max_requests - requests);
			-- a batch as long as the last one would be, but for the end
			IF ends_at IS NOT NULL AND key_s > 0 THEN
				size := greatest(1, least(size, extract(epoch FROM ends_at - clock_timestamp()) / key_s));
			END IF;
		END IF;
		batch := batch || ARRAY[due.key];
		n := n + 1;
		CONTINUE WHEN n < size AND n < "left";
		since := clock_timestamp();
		EXECUTE format('SELECT * FROM %I.apigouv_refresh_batch($1, $2, $3, $4)', home) INTO part
			USING job, batch, max_requests - requests, streak;
		EXECUTE format('SELECT %I.apigouv_session_requests()', home) INTO sent;
		renewed := renewed + part.renewed;
		unchanged := unchanged + part.unchanged;
		empty := empty + part.empty;
		failed := failed + part.failed;
		"left" := "left" - part.renewed - part.unchanged - part.empty - part.failed;
		requests := sent - begun;
		streak := part.streak;
		stopped := part.stopped;
		message := part.message;
		key_s := extract(epoch FROM clock_timestamp() - since) / n;
		wanted := least(batch_size, CASE WHEN part.unavailable THEN first_batch ELSE wanted * 2 END);
		batch := '{}';
		n := 0;
		COMMIT;
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		EXIT WHEN stopped IS NOT NULL;
		IF NOT pg_try_advisory_xact_lock(class, object) THEN
			stopped := 'other run';
			EXIT;
		END IF;
	END LOOP;
	stopped := coalesce(stopped, 'done');
END
$$;

COMMENT ON PROCEDURE apigouv_refresh(regclass, regclass, text, interval, bigint, integer, timestamptz, interval, name, bigint,
	bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, text, text)
	IS 'Fill or renew a local table from a keyed foreign table, the oldest keys first, in transactions of its own';

CREATE FUNCTION apigouv_create_views(foreign_schema name, view_schema name)
RETURNS TABLE (view_name name, done text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	refuse CONSTANT text := (SELECT format('SELECT %I.apigouv_refuse($1, $2, $3::text[], $4, $5)', n.nspname)
		FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'apigouv_fdw');
	relation record;
	columns text;
	ours boolean;
	shown text[];
	named text;
BEGIN
	IF foreign_schema IS NULL OR view_schema IS NULL THEN
		EXECUTE refuse USING '22023', 'schema of the foreign tables and schema of the views must be given', NULL, NULL, NULL;
	END IF;
	IF foreign_schema = view_schema THEN
		EXECUTE refuse USING '22023', 'views must be in another schema than the foreign tables, whose names they take',
			NULL, NULL, NULL;
	END IF;
	FOREACH named IN ARRAY ARRAY[foreign_schema, view_schema] LOOP
		PERFORM FROM pg_namespace WHERE nspname = named;
		IF NOT FOUND THEN
			EXECUTE refuse USING '3F000', 'schema "%s" does not exist', ARRAY[named, quote_ident(named)], NULL,
				CASE WHEN named = view_schema THEN 'CREATE SCHEMA %s;'
					ELSE 'Give the schema that the foreign tables are in.' END;
		END IF;
	END LOOP;
	FOR relation IN
		SELECT c.oid, c.relname, format('%I.%I', n.nspname, c.relname) AS name,
			to_regclass(format('%I.%I', view_schema, c.relname))::oid AS made,
			(SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute AS a
			 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
		FROM pg_foreign_table AS t
			JOIN pg_class AS c ON c.oid = t.ftrelid
			JOIN pg_namespace AS n ON n.oid = c.relnamespace
			JOIN pg_foreign_server AS s ON s.oid = t.ftserver
			JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
			JOIN pg_proc AS h ON h.oid = w.fdwhandler
		WHERE n.nspname = foreign_schema AND h.proname = 'apigouv_fdw_handler'
		ORDER BY c.relname
	LOOP
		CONTINUE WHEN relation.columns IS NULL;		-- a table without columns has nothing to show
		view_name := relation.relname;
		shown := NULL;
		IF relation.made IS NOT NULL THEN
			-- what it made before: a view of this table alone, under the alias that no other has, and nothing behind it
			SELECT v.relkind = 'v' AND pg_get_viewdef(v.oid) LIKE
					'%' || replace(replace(replace(format(E'\n   FROM %s apigouv_view;', relation.name),
						'\', '\\'), '_', '\_'), '%', '\%')
				INTO ours FROM pg_class AS v WHERE v.oid = relation.made;
			IF NOT ours THEN
				EXECUTE refuse USING '42P07', '"%s" of schema "%s" is not a view that this function has made',
					ARRAY[relation.relname::text, view_schema::text], NULL,
					'Drop or rename it, or choose another schema for the views.';
			END IF;
			SELECT array_agg(a.attname::text ORDER BY a.attnum) INTO shown FROM pg_attribute AS a
			WHERE a.attrelid = relation.made AND a.attnum > 0;
		END IF;
		IF shown IS DISTINCT FROM relation.columns THEN
			SELECT string_agg('apigouv_view.' || quote_ident(c), ', ' ORDER BY place) INTO columns
			FROM unnest(relation.columns) WITH ORDINALITY AS u(c, place);
			EXECUTE format('CREATE OR REPLACE VIEW %I.%I AS SELECT %s FROM %s AS apigouv_view',
				view_schema, relation.relname, columns, relation.name);
		END IF;
		done := CASE WHEN shown IS NULL THEN 'created' WHEN shown = relation.columns THEN 'unchanged' ELSE 'extended' END;
		EXECUTE format('COMMENT ON VIEW %I.%I IS %L', view_schema, relation.relname,
			obj_description(relation.oid, 'pg_class'));
		FOR columns, named IN
			SELECT quote_ident(a.attname), col_description(a.attrelid, a.attnum) FROM pg_attribute AS a
			WHERE a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped
		LOOP
			EXECUTE format('COMMENT ON COLUMN %I.%I.%s IS %L', view_schema, relation.relname, columns, named);
		END LOOP;
		RETURN NEXT;
	END LOOP;
END
$$;

COMMENT ON FUNCTION apigouv_create_views(name, name)
	IS 'Make a view of each foreign table of a schema, with its comments, for tools that do not show foreign tables';

CREATE FUNCTION apigouv_check_server(server name, role name DEFAULT NULL,
	OUT step text,
	OUT state text,
	OUT message text,
	OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE COST 100000 ROWS 10;

COMMENT ON FUNCTION apigouv_check_server(name, name)
	IS 'What works of a foreign server, and how to mend what does not: a row for each step, with two requests at most';

CREATE FUNCTION apigouv_stats(
	OUT database text,
	OUT server text,
	OUT schema text,
	OUT "table" text,
	OUT requests bigint,
	OUT retries bigint,
	OUT replies_2xx bigint,
	OUT replies_3xx bigint,
	OUT replies_4xx bigint,
	OUT replies_429 bigint,
	OUT replies_5xx bigint,
	OUT network_failures bigint,
	OUT cancelled bigint,
	OUT not_sent bigint,
	OUT transaction_hits bigint,
	OUT kept_hits bigint,
	OUT cluster_hits bigint,
	OUT duplicates_merged bigint,
	OUT lookup_batches bigint,
	OUT lookup_keys bigint,
	OUT bytes bigint,
	OUT upstream_ms double precision,
	OUT slowest_ms double precision,
	OUT quota_wait_ms double precision,
	OUT since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 100;

COMMENT ON FUNCTION apigouv_stats()
	IS 'What was asked of the APIs, by database, foreign server and foreign table, in the whole cluster';

CREATE VIEW apigouv_stats AS
	SELECT * FROM apigouv_stats();

COMMENT ON VIEW apigouv_stats
	IS 'What was asked of the APIs, by database, foreign server and foreign table, in the whole cluster. Without table: access tokens, scopes and documents of the server. Without any name: all that had no room';

CREATE FUNCTION apigouv_stats_reset()
RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION apigouv_stats_reset()
	IS 'Begin all counters of apigouv_stats anew, for the whole cluster';

-- what others do is for those who watch
REVOKE ALL ON FUNCTION apigouv_stats(), apigouv_stats_reset() FROM PUBLIC;
GRANT SELECT ON apigouv_stats TO pg_monitor;
GRANT EXECUTE ON FUNCTION apigouv_stats() TO pg_monitor;

CREATE FUNCTION apigouv_progress(
	OUT pid integer,
	OUT role text,
	OUT database text,
	OUT server text,
	OUT schema text,
	OUT "table" text,
	OUT phase text,
	OUT requests bigint,
	OUT cache_hits bigint,
	OUT requests_foreseen bigint,
	OUT rows bigint,
	OUT waits_until timestamptz,
	OUT "limit" text,
	OUT begun_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 10;

COMMENT ON FUNCTION apigouv_progress()
	IS 'Backends that ask APIs, or read what they gave, and how far they are';

CREATE VIEW apigouv_progress AS
	SELECT * FROM apigouv_progress();

COMMENT ON VIEW apigouv_progress
	IS 'Backends that ask APIs, or read what they gave, and how far they are. Of other roles all but process, role and database is NULL, except for members of pg_read_all_stats';

-- the function itself tells who may see what
GRANT SELECT ON apigouv_progress TO PUBLIC;

-- its errors are in the language of the session now
CREATE OR REPLACE FUNCTION apigouv_create_structures_inclusion(marche regclass, data regclass,
	view_name name DEFAULT 'structures_inclusion', view_schema name DEFAULT current_schema())
RETURNS regclass
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	refuse CONSTANT text := (SELECT format('SELECT %I.apigouv_refuse($1, $2, $3::text[], $4, $5)', n.nspname)
		FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'apigouv_fdw');
	-- name; of each API, the column of its definition (none: NULL) and how it gives the value
	common CONSTANT text[] := ARRAY[
		['id', 'id', '%s::text', 'id', '%s::text'],
		['nom', 'name', '%s::text', 'nom', '%s::text'],
		['siret', 'siret', '%s::text', 'siret', '%s::text'],
		['siren', 'siren', '%s::text', 'siren', '%s::text'],
		['type', 'kind', '%s::text', '', '%s::text'],
		['adresse', 'address', '%s::text', 'adresse', '%s::text'],
		['code_postal', 'post_code', '%s::text', 'code_postal', '%s::text'],
		['commune', 'city', '%s::text', 'commune', '%s::text'],
		['code_commune', '', '%s::text', 'code_commune', '%s::text'],
		['code_departement', 'code_departement', '%s::text', 'code_departement', '%s::text'],
		['code_region', 'code_region', '%s::text', 'code_region', '%s::text'],
		['longitude', '', '%s::float8', 'longitude', '%s::float8'],
		['latitude', '', '%s::float8', 'latitude', '%s::float8'],
		['site_web', 'contact_website', '%s::text', 'site_web', '%s::text'],
		['reseaux', 'networks_slugs', '%s::text[]', 'reseaux_porteurs', '%s::text[]'],
		['est_active', 'is_active', '%s::boolean', '', '%s::boolean'],
		['date_maj', 'updated_at', '(%s::timestamptz AT TIME ZONE ''Europe/Paris'')::date', 'date_maj', '%s::date'],
		['obtenu_le', 'obtenu_le', '%s::timestamptz', 'obtenu_le', '%s::timestamptz']];
	apis CONSTANT text[] := ARRAY['marche_inclusion', 'data_inclusion'];
	relations CONSTANT regclass[] := ARRAY[marche, data];
	branches text[] := '{}';
	comments text[] := array_fill(''::text, ARRAY[array_length(common, 1)]);
	place smallint;
	outputs text;
	made regclass;
BEGIN
	IF marche IS NULL OR data IS NULL OR view_name IS NULL OR view_schema IS NULL THEN
		EXECUTE refuse USING '22023', 'foreign tables, name and schema of the view must be given', NULL, NULL, NULL;
	END IF;
	FOR i IN 1 .. 2 LOOP
		PERFORM FROM pg_foreign_table AS t
			JOIN pg_foreign_server AS s ON s.oid = t.ftserver
			JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
			JOIN pg_proc AS h ON h.oid = w.fdwhandler
			JOIN pg_class AS c ON c.oid = t.ftrelid
		WHERE t.ftrelid = relations[i] AND h.proname = 'apigouv_fdw_handler'
			AND EXISTS (SELECT FROM pg_options_to_table(s.srvoptions) AS o
				WHERE o.option_name = 'api' AND o.option_value = apis[i])
			AND coalesce((SELECT o.option_value FROM pg_options_to_table(t.ftoptions) AS o
				WHERE o.option_name = 'table'), c.relname) = 'structures';
		IF NOT FOUND THEN
			EXECUTE refuse USING '42809', '"%s" is not the foreign table of table "structures" of API "%s"',
				ARRAY[relations[i]::text, apis[i]], NULL, NULL;
		END IF;
		outputs := format('SELECT %L::text AS origine', apis[i]);
		FOR n IN 1 .. array_length(common, 1) LOOP
			-- the first column that the definition knows by this name
			SELECT a.attnum INTO place FROM pg_attribute AS a
			WHERE a.attrelid = relations[i] AND a.attnum > 0 AND NOT a.attisdropped
				AND coalesce((SELECT o.option_value FROM pg_options_to_table(a.attfdwoptions) AS o
					WHERE o.option_name = 'column'), a.attname) = common[n][2 * i]
			ORDER BY a.attnum LIMIT 1;
			outputs := outputs || ', ' || format(common[n][2 * i + 1], coalesce((SELECT 't.' || quote_ident(a.attname)
				FROM pg_attribute AS a WHERE a.attrelid = relations[i] AND a.attnum = place), 'NULL'))
				|| ' AS ' || quote_ident(common[n][1]);
			comments[n] := concat_ws(' / ', nullif(comments[n], ''),
				apis[i] || ' : ' || coalesce(col_description(relations[i], place), CASE WHEN place IS NULL THEN 'NULL' END));
		END LOOP;
		branches := branches || (outputs || format(' FROM %s AS t', relations[i]));
	END LOOP;
	EXECUTE format('CREATE VIEW %I.%I AS %s', view_schema, view_name, array_to_string(branches, ' UNION ALL '));
	made := to_regclass(format('%I.%I', view_schema, view_name));
	EXECUTE format('COMMENT ON VIEW %s IS %L', made,
		'Structures de marche_inclusion et de data_inclusion : leurs colonnes communes');
	EXECUTE format('COMMENT ON COLUMN %s.origine IS %L', made, 'API de la ligne : marche_inclusion ou data_inclusion');
	FOR n IN 1 .. array_length(common, 1) LOOP
		EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', made, common[n][1], nullif(comments[n], ''));
	END LOOP;
	RETURN made;
END
$$;
