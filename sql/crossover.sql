\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
-- How a query reaches the table: the routes of its plan, and the filter that would be sent once for each value.
CREATE FUNCTION choice (query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS OFF) ' || query LOOP
		IF line ~ 'Route: ' THEN found := concat_ws(' + ', found, substring(line FROM 'Route: (.*)')); END IF;
		IF line ~ 'Request: .*department=' THEN found := found || ' by department'; END IF;
	END LOOP;
	RETURN found;
END $$;
-- The choices for growing sizes, in the order met: one that came back after another would show twice.
CREATE FUNCTION choices (queries text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE query text; now text; last text; result text;
BEGIN
	FOREACH query IN ARRAY queries LOOP
		now := choice(query);
		IF now IS DISTINCT FROM last THEN result := concat_ws(', then ', result, now); END IF;
		last := now;
	END LOOP;
	RETURN result;
END $$;
-- n keys or departments
CREATE FUNCTION sirets (n int) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(format('%L', lpad(i::text, 14, '0')), ', ') FROM generate_series(1, n) AS i $$;
CREATE FUNCTION departements (n int) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(format('%L', lpad(i::text, 2, '0')), ', ') FROM generate_series(1, n) AS i $$;
-- join with a local table of n keys, all different
CREATE TABLE keys (siret text);
CREATE FUNCTION choice_of_join (n int, query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE keys;
	INSERT INTO keys SELECT lpad(i::text, 14, '0') FROM generate_series(1, n) AS i;
	ANALYZE keys;
	RETURN choice(query);
END $$;

-- ====================================================================
-- A list of keys: look-ups for few, one big read for many; from the one to the other once
-- ====================================================================
SELECT n, choice(format('SELECT name FROM marche_inclusion.structures WHERE siret IN (%s)', sirets(n))) FROM unnest(ARRAY[1, 8, 24, 160, 1000, 5000]) AS n;
SELECT choices(array_agg(format('SELECT name FROM marche_inclusion.structures WHERE siret IN (%s)', sirets(n)) ORDER BY n)) FROM generate_series(1, 201, 4) AS n;
-- so does a join, whatever its kind
SELECT n, choice_of_join(n, 'SELECT k.siret, s.name FROM keys AS k JOIN marche_inclusion.structures AS s USING (siret)') FROM unnest(ARRAY[1, 8, 24, 160, 1000, 5000]) AS n;
SELECT n, choice_of_join(n, 'SELECT k.siret, s.name FROM keys AS k LEFT JOIN marche_inclusion.structures AS s USING (siret)') FROM unnest(ARRAY[1, 24, 160, 5000]) AS n;
SELECT n, choice_of_join(n, 'SELECT s.name FROM marche_inclusion.structures AS s WHERE s.siret IN (SELECT siret FROM keys)') FROM unnest(ARRAY[1, 24, 160, 5000]) AS n;
SELECT n, choice_of_join(n, 'SELECT siret FROM keys AS k WHERE NOT EXISTS (SELECT FROM marche_inclusion.structures AS s WHERE s.siret = k.siret)') FROM unnest(ARRAY[1, 24, 160, 5000]) AS n;
-- the read serves a table that is small; many keys are looked up in one that is large
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD rows '50');
SELECT n, choice_of_join(n, 'SELECT k.siret, s.name FROM keys AS k JOIN marche_inclusion.structures AS s USING (siret)') FROM unnest(ARRAY[1, 24, 160]) AS n;
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (SET rows '200000');
SELECT n, choice_of_join(n, 'SELECT k.siret, s.name FROM keys AS k JOIN marche_inclusion.structures AS s USING (siret)') FROM unnest(ARRAY[1, 160, 1000]) AS n;
-- unless they are more requests than a query may make
SET apigouv_fdw.max_requests_per_query = 500;
SELECT n, choice_of_join(n, 'SELECT k.siret, s.name FROM keys AS k JOIN marche_inclusion.structures AS s USING (siret)') FROM unnest(ARRAY[160, 1000]) AS n;
RESET apigouv_fdw.max_requests_per_query;
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP rows);

-- ====================================================================
-- A list by department, a request for each, or all of it
-- ====================================================================
SELECT n, choice(format('SELECT name FROM marche_inclusion.structures WHERE department IN (%s)', departements(n))) FROM unnest(ARRAY[1, 8, 24, 80, 95]) AS n;
SELECT choices(array_agg(format('SELECT name FROM marche_inclusion.structures WHERE department IN (%s)', departements(n)) ORDER BY n)) FROM generate_series(1, 95) AS n;
-- the departments of a region, of nearly all regions
SELECT choice($$SELECT name FROM marche_inclusion.structures WHERE code_region = '53'$$);
SELECT choice($$SELECT name FROM marche_inclusion.structures WHERE code_region IN ('11', '24', '27', '28', '32', '44', '52', '53', '75', '76', '84', '93')$$);
-- what is left out is checked here: the same rows
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
SELECT (SELECT array_agg(id ORDER BY id) FROM marche_inclusion.structures WHERE department = ANY (d)) = (SELECT array_agg(id ORDER BY id) FROM copie WHERE department = ANY (d)) FROM (SELECT array_agg(DISTINCT department ORDER BY department) AS d FROM copie WHERE department < '60') AS asked;

-- ====================================================================
-- Limits: what they make wait is counted, for every one and for a role's share
-- ====================================================================
ALTER FOREIGN TABLE marche_travail.marche_travail_correspondances_rome_fap OPTIONS (ADD rows '20000');
CREATE FUNCTION romes (n int) RETURNS text LANGUAGE sql AS $$ SELECT format('SELECT * FROM marche_travail.marche_travail_correspondances_rome_fap WHERE code_rome IN (%s)', string_agg(format('''A%s''', 1100 + i), ', ')) FROM generate_series(1, n) AS i $$;
ALTER SERVER marche_travail OPTIONS (SET limits 'appels=10000/1s');
SELECT n, choice(romes(n)) FROM unnest(ARRAY[1, 8, 16, 200]) AS n;
ALTER SERVER marche_travail OPTIONS (SET limits 'appels=10/1s');
SELECT n, choice(romes(n)) FROM unnest(ARRAY[1, 8, 16, 200]) AS n;
SELECT choices(array_agg(romes(n) ORDER BY n)) FROM generate_series(1, 80) AS n;
SELECT format('ALTER SERVER marche_travail OPTIONS (ADD role_limits %L)', format('%s=30%%', current_user)) \gexec
SELECT n, choice(romes(n)) FROM unnest(ARRAY[1, 8, 16, 200]) AS n;
ALTER SERVER marche_travail OPTIONS (DROP role_limits);
-- a query that may not take so long reads the list
ALTER FOREIGN TABLE marche_travail.marche_travail_correspondances_rome_fap OPTIONS (SET rows '500000');
SELECT choice(romes(16));
SET apigouv_fdw.max_duration_ms = 500;
SELECT choice(romes(8)), choice(romes(16));
RESET apigouv_fdw.max_duration_ms;

-- ====================================================================
-- Whoever stops early waits for less: look-ups in the order wanted, though a read is best for all rows
-- ====================================================================
CREATE INDEX ON keys (siret);
SELECT n, choice_of_join(1500, format('SELECT k.siret, s.name FROM keys AS k JOIN marche_inclusion.structures AS s USING (siret) ORDER BY k.siret LIMIT %s', n)) FROM unnest(ARRAY['1', '10', '1400', 'ALL']) AS n;

-- ====================================================================
-- What limits make wait, they make any plan wait: a join by keys still reads ahead
-- ====================================================================
ALTER SERVER entreprise OPTIONS (SET limits 'json=50/60s');
CREATE FUNCTION looks_up (n int, query text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	TRUNCATE keys;
	-- some of them twice
	INSERT INTO keys SELECT lpad((i * 9 / 10)::text, 14, '0') FROM generate_series(1, n) AS i;
	ANALYZE keys;
	RETURN bool_or(line ~ 'Lookup Of') FROM plan(query, 'COSTS OFF') AS line;
END $$;
SELECT n, looks_up(n, 'SELECT * FROM keys AS k JOIN entreprise.entreprise_etablissement AS e USING (siret)') AS alone,
	looks_up(n, 'SELECT * FROM keys AS k LEFT JOIN entreprise.entreprise_attestations AS e USING (siret)') AS of_a_union FROM unnest(ARRAY[10, 60, 1000]) AS n;
