\i test/fixtures/regress_setup.sql
CREATE SERVER particulier FOREIGN DATA WRAPPER apigouv_fdw
	OPTIONS (api 'particulier', base_url :'entreprise_url', recipient '00000900100017');
CREATE SCHEMA essai;
IMPORT FOREIGN SCHEMA particulier FROM SERVER particulier INTO essai;
CREATE TEMP TABLE tables AS SELECT * FROM apigouv_tables;
CREATE TEMP TABLE columns AS SELECT * FROM apigouv_columns;
-- values that the planner does not know, by type
SET essai.text = '1';
SET essai.day = '2024-01-01';
SET essai.list = '{1}';
CREATE FUNCTION outils.valeur(type text) RETURNS text LANGUAGE sql AS $$
	SELECT format('current_setting(%L)::%s', CASE WHEN type LIKE '%[]' THEN 'essai.list'
		WHEN type ~ '^(date|timestamp)' THEN 'essai.day' ELSE 'essai.text' END, type) $$;
-- an operator of apigouv_columns as a condition
CREATE FUNCTION outils.condition(name text, type text, operator text) RETURNS text LANGUAGE sql AS $$
	SELECT format(CASE operator WHEN 'IN' THEN '%1$I = ANY (ARRAY[%2$s])' WHEN '''x'' = ANY (column)' THEN '%3$s = ANY (%1$I)'
		WHEN 'LIKE ''x%''' THEN '%1$I LIKE %4$L' WHEN 'IS TRUE' THEN '%1$I IS TRUE' ELSE '%1$I ' || operator || ' %2$s' END,
		name, outils.valeur(type), outils.valeur(rtrim(type, '[]')), CASE name WHEN 'siret' THEN '000003012%' ELSE '35%' END) $$;
-- the plan of a table under a set of keys of apigouv_tables, but for those of one column, and another condition
CREATE FUNCTION outils.plan_de(api text, name text, keys text, but text, other text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	conditions text[] := ARRAY[other];
	key text;
	plan jsonb;
BEGIN
	FOREACH key IN ARRAY string_to_array(keys, ' AND ')
	LOOP
		CONTINUE WHEN split_part(key, ' ', 1) = but;
		conditions := conditions || CASE WHEN key LIKE '% %' THEN key ELSE (SELECT outils.condition(c."column", c.type, '=')
			FROM columns AS c WHERE c.api = $1 AND c."table" = name AND c."column" = key) END;
	END LOOP;
	EXECUTE format('EXPLAIN (VERBOSE, FORMAT JSON) SELECT FROM %I.%I WHERE %s',
		CASE api WHEN 'particulier' THEN 'essai' ELSE api END, name, array_to_string(conditions, ' AND ')) INTO plan;
	RETURN plan->0->'Plan';
END $$;
-- does it send a condition on a column? Those on personal data show in the request only, where a value that
-- another request is to find shows too
CREATE FUNCTION outils.envoie(plan jsonb, name text) RETURNS boolean LANGUAGE sql AS $$
	SELECT coalesce(plan->>'Sent' ~ ('\m' || name || '\M'), false)
		OR coalesce(plan->>'Request' ~ ('\{' || name || '\}') AND plan->>'Request' !~ ' after GET ', false) $$;

-- ====================================================================
-- Keys: each set of them lets the table be read, and nothing less does
-- ====================================================================
CREATE TEMP TABLE alternatives AS
	SELECT t.api, t."table", k.keys FROM tables AS t, unnest(t.keys || CASE WHEN listable THEN '{""}'::text[] END) AS k (keys);
SELECT count(DISTINCT (api, "table")) = (SELECT count(*) FROM tables) AS all FROM alternatives;
SELECT api, "table", keys FROM alternatives, outils.plan_de(api, "table", keys, '', 'true') AS plan
WHERE plan ? 'Missing Key' OR NOT plan ? 'Route';
SELECT api, "table", keys, plan->>'Route' FROM tables, outils.plan_de(api, "table", '', '', 'true') AS plan
WHERE (plan ? 'Missing Key') = listable;
-- a territory's type alone may be that of the nation, which is a set of its own
SELECT DISTINCT tables.api, key
FROM tables JOIN alternatives AS a ON (a.api, a."table") = (tables.api, tables."table"),
	unnest(string_to_array(a.keys, ' AND ')) AS key,
	outils.plan_de(a.api, a."table", a.keys, split_part(key, ' ', 1), 'true') AS plan
WHERE NOT listable AND NOT plan ? 'Missing Key';

-- ====================================================================
-- Operators that are listed: under some keys, one more if need be, the
-- condition is sent, as exact as is told
-- ====================================================================
DO $$
DECLARE
	c record;
	a record;
	plan jsonb;
	inexact text;
	sent boolean;
	n int := 0;
BEGIN
	FOR c IN SELECT api, "table", "column", type, key_of, o.operator, o.exactness
		FROM columns, unnest(operators, exactness) AS o (operator, exactness)
	LOOP
		sent := false;
		FOR a IN SELECT keys, condition FROM alternatives, LATERAL (SELECT 0 AS n, 'true' AS condition
				UNION ALL SELECT 1, outils.condition(o."column", o.type, '=') FROM columns AS o
				WHERE (o.api, o."table") = (c.api, c."table") AND o.key_of && c.key_of AND o."column" <> c."column") AS o
			WHERE api = c.api AND "table" = c."table" ORDER BY o.n, length(keys), condition
		LOOP
			plan := outils.plan_de(c.api, c."table", a.keys, c."column",
				outils.condition(c."column", c.type, c.operator) || ' AND ' || a.condition);
			inexact := coalesce(substring(plan->>'Inexact' FROM '\m' || c."column" || ' \((\w+)\)'), 'exact');
			sent := outils.envoie(plan, c."column") AND inexact = ANY (string_to_array(c.exactness, ' or '));
			EXIT WHEN sent;
		END LOOP;
		n := n + 1;
		IF NOT sent THEN
			RAISE WARNING '%.% % %: not sent as %', c."table", c."column", c.operator, c.type, c.exactness;
		END IF;
	END LOOP;
	IF n < 1000 THEN
		RAISE WARNING 'only % conditions', n;
	END IF;
END $$;

-- ====================================================================
-- Operators that are not listed: the condition is never sent
-- ====================================================================
-- columns without any, all at once; the others each by itself, since routes are closed to keys and opaque inputs that they
-- cannot send (and to the name of an activity, when they have all together). "= x" of a boolean may be IS TRUE
SELECT t.api, t."table", c."column", plan->>'Sent' AS sent, plan->>'Request' AS request
FROM tables AS t
	JOIN LATERAL (SELECT keys FROM alternatives AS a WHERE (a.api, a."table") = (t.api, t."table")
		ORDER BY length(keys) LIMIT 1) AS a ON true
	JOIN LATERAL (SELECT array_agg(DISTINCT "column") AS names,
			string_agg(outils.condition("column", type, operator), ' AND ') AS conditions
		FROM columns AS c, unnest(CASE WHEN type LIKE '%[]' THEN ARRAY['=', '&&', '@>', '''x'' = ANY (column)']
			WHEN type = 'jsonb' THEN ARRAY['=', '@>'] WHEN type = 'boolean' THEN ARRAY['=', 'IN', 'IS TRUE']
			ELSE ARRAY['=', 'IN', '>=', '>', '<=', '<'] END || CASE WHEN type = 'text' THEN ARRAY['LIKE ''x%'''] END) AS operator
		WHERE (c.api, c."table") = (t.api, t."table") AND operator <> ALL (operators)
			AND NOT (type = 'boolean' AND 'IS TRUE' = ANY (operators))
			AND "column" <> ALL (regexp_split_to_array(a.keys, ' AND | [=LI].*'))
		GROUP BY CASE WHEN cardinality(operators) > 0 OR "column" = 'lib_activite' THEN "column" END) AS o ON true,
	outils.plan_de(t.api, t."table", a.keys, '', conditions) AS plan, unnest(names) AS c ("column")
WHERE outils.envoie(plan, c."column") OR (NOT plan ? 'Route' AND NOT "union" AND cardinality(names) > 1)
ORDER BY 1, 2, 3;
-- other conditions than those listed choose the sources of a union, too
SELECT plan->'Route' AS routes
FROM outils.plan_de('entreprise', 'entreprise_attestations', 'siren', '', 'type LIKE ''attestation_v%''') AS plan;
-- nothing was asked of anybody
\! $sent all
SET client_min_messages = error;
DROP SERVER particulier CASCADE;
DROP SCHEMA essai CASCADE;
