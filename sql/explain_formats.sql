\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Essai';
\pset tuples_only on
\pset format unaligned

-- The leaves of a plan in JSON, in order: key (that of the list, for its elements) and value as JSON.
CREATE FUNCTION outils.leaves(node json, key text DEFAULT '') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	member record;
BEGIN
	IF json_typeof(node) = 'object' THEN
		FOR member IN SELECT * FROM json_each(node) LOOP
			RETURN QUERY SELECT * FROM outils.leaves(member.value, member.key);
		END LOOP;
	ELSIF json_typeof(node) = 'array' THEN
		FOR member IN SELECT * FROM json_array_elements(node) LOOP
			RETURN QUERY SELECT * FROM outils.leaves(member.value, key);
		END LOOP;
	ELSE
		RETURN NEXT key || ': ' || node;
	END IF;
END
$$;

-- The same of YAML: "- Key: value", "Key: value", and "- value" below "Key:".  Any other line is none.
CREATE FUNCTION outils.yaml_leaves(plan text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	key text;
	part text[];
BEGIN
	FOREACH line IN ARRAY string_to_array(plan, E'\n') LOOP
		part := regexp_match(line, '^ *(?:- )?([A-Z][A-Za-z/ -]*): ?$');
		IF part IS NOT NULL THEN
			key := part[1];
			CONTINUE;
		END IF;
		part := regexp_match(line, '^ *(?:- )?([A-Z][A-Za-z/ -]*): (".*"|[0-9.-]+|true|false)$');
		IF part IS NULL THEN
			part := ARRAY[key, (regexp_match(line, '^ *- (".*"|[0-9.-]+)$'))[1]];
		END IF;
		RETURN NEXT coalesce(part[1] || ': ' || part[2], 'no YAML: ' || line);
	END LOOP;
END
$$;

-- The same of XML, whose elements are named after the keys, with hyphens; an element of a list is "Item", or a node.
CREATE FUNCTION outils.xml_leaves(plan xml) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT name || ': ' || value
	FROM xmltable('//*[not(*) and normalize-space(.) != "" or not(*) and not(node())]' PASSING plan
		COLUMNS at FOR ORDINALITY,
			name text PATH 'name(self::*[name() != "Item"] | parent::*[name() != "Item" and ../*/Item])',
			value text PATH 'string(.)') AS leaf
	ORDER BY at
$$;

-- What a query's plan says of ours, in text; and whether the other formats are well-formed and say the same.
CREATE FUNCTION outils.formats(query text, options text DEFAULT 'VERBOSE, COSTS OFF') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	in_json json;
	in_xml xml;
	in_yaml text;
	json_leaves text[];
	yaml_leaves text[];
	xml_leaves text[];
BEGIN
	-- ANALYZE: the first execution asks, and the others find the same replies
	EXECUTE format('EXPLAIN (%s, FORMAT JSON) %s', options, query) INTO in_json;
	EXECUTE format('EXPLAIN (%s, FORMAT JSON) %s', options, query) INTO in_json;
	EXECUTE format('EXPLAIN (%s, FORMAT YAML) %s', options, query) INTO in_yaml;
	EXECUTE format('EXPLAIN (%s, FORMAT XML) %s', options, query) INTO in_xml;
	in_xml := xmlparse(DOCUMENT in_xml::text);
	json_leaves := ARRAY(SELECT * FROM outils.leaves(in_json));
	yaml_leaves := ARRAY(SELECT * FROM outils.yaml_leaves(in_yaml));
	-- names and values apart from how a format writes them
	xml_leaves := ARRAY(SELECT * FROM outils.xml_leaves(
		replace(in_xml::text, ' xmlns="http://www.postgresql.org/2009/explain"', '')::xml));
	RETURN NEXT format('YAML as JSON: %s', yaml_leaves = json_leaves);
	RETURN NEXT format('XML as JSON: %s', xml_leaves = ARRAY(
		SELECT translate(split_part(leaf, ': ', 1), ' /', '--') || ': '
			|| (('[' || substr(leaf, strpos(leaf, ': ') + 2) || ']')::json ->> 0)
		FROM unnest(json_leaves) AS leaf));
	-- ours: the keys that the extension adds
	RETURN QUERY SELECT DISTINCT ON (key, n) format('%s%s', key, CASE WHEN n > 1 THEN ' x ' || n END)
		FROM (SELECT split_part(leaf, ': ', 1) AS key, count(*) AS n FROM unnest(json_leaves) AS leaf GROUP BY 1) AS keys
		WHERE key ~ '^(Route|Request|Full Read|First Page|Total Of|Inexact|Sent|Limits|Minimum|Missing|Attempts|Cache Hits|Kept|Cluster|Duplicates|Pages|Bytes|Upstream|Quota|Malformed|Lookup|Keys|Batches|Saved)'
		ORDER BY key, n;
	IF yaml_leaves <> json_leaves THEN
		RETURN QUERY SELECT 'JSON ' || j || ', YAML ' || y
			FROM unnest(json_leaves, yaml_leaves) AS leaf(j, y) WHERE j IS DISTINCT FROM y;
	END IF;
END
$$;

-- ====================================================================
-- JSON, XML and YAML are well-formed and say what the text says
-- ====================================================================
SELECT formats($$SELECT id FROM marche_inclusion.structures WHERE kind = 'EI' AND region = 'Corse' AND name <> 'a "b" & <c>'$$);
BEGIN;
SELECT formats($$SELECT id FROM marche_inclusion.structures WHERE kind = 'EI' AND region = 'Corse' AND name <> 'a "b" & <c>'$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF');
COMMIT;
-- a union
SELECT formats($$SELECT statut FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND fournisseur IN ('URSSAF', 'MSA')$$);
BEGIN;
SELECT formats($$SELECT statut FROM entreprise.entreprise_attestations WHERE siren = '000003012' AND fournisseur IN ('URSSAF', 'MSA')$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF');
COMMIT;
-- a count by the total; the whole list; a page of it
SELECT formats($$SELECT count(*) FROM marche_inclusion.structures$$);
BEGIN;
SELECT formats($$SELECT count(*) FROM marche_inclusion.structures$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF');
COMMIT;
SELECT formats($$SELECT id FROM marche_inclusion.structures$$);
SELECT formats($$SELECT id FROM marche_inclusion.structures LIMIT 2$$);
-- a key that lacks
SELECT formats($$SELECT siren FROM entreprise.entreprise_attestation_fiscale$$);
-- a lookup join
CREATE TEMP TABLE registre (siret text);
INSERT INTO registre VALUES ('00000301200010'), ('00000302000013'), ('00000301200010'), ('1');
ANALYZE registre;
SET enable_memoize = off;
SELECT formats($$SELECT s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret$$);
SET client_min_messages = error;
BEGIN;
SELECT formats($$SELECT s.id FROM registre AS r JOIN marche_inclusion.structures AS s ON s.siret = r.siret$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF');
COMMIT;
RESET client_min_messages;
RESET enable_memoize;
-- an Append that reads its children beside each other
SELECT formats($$SELECT id::text FROM marche_inclusion.structures WHERE id = 1001 UNION ALL SELECT id FROM data_inclusion.sources AS s (id)$$);
BEGIN;
SELECT formats($$SELECT id::text FROM marche_inclusion.structures WHERE id = 1001 UNION ALL SELECT id FROM data_inclusion.sources AS s (id)$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF');
COMMIT;

-- ====================================================================
-- Times come with TIMING; equal keys of a scan are merged
-- ====================================================================
SELECT DISTINCT regexp_replace(plan, '[0-9.]+', 'N') FROM plan($$SELECT id FROM marche_inclusion.structures WHERE id = 1001$$, 'ANALYZE, COSTS OFF, SUMMARY OFF') AS plan WHERE plan ~ 'Upstream';
SELECT count(*) FROM plan($$SELECT id FROM marche_inclusion.structures WHERE id = 1001$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF') AS plan WHERE plan ~ 'Upstream';
-- two establishments of a company, and the company: one request
SELECT plan FROM plan($$SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siret IN ('00000301200010', '00000301200028', '00000302000013')$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF') AS plan WHERE plan ~ '(Requests|Hits|Merged):';
-- what an earlier statement had is a hit, and nothing is merged
BEGIN;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
SELECT plan FROM plan($$SELECT id FROM marche_inclusion.structures WHERE id IN (1001, 1002)$$, 'ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF') AS plan WHERE plan ~ '(Requests|Hits|Merged):';
COMMIT;
