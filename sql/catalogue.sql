\i test/fixtures/regress_setup.sql
\i test/fixtures/regress_definitions.sql
\! $sent count > /dev/null

-- ====================================================================
-- Tables: every definition found, whether or not a server uses it
-- ====================================================================
-- as many as the files of definitions, and all of them can be read
\setenv here :definitions
\set files `ls "$here"/[a-z]*/*.json | grep -v -e /shared/ -e /schema/ | wc -l`
SELECT count(*) = :files AS all, count(*) FILTER (WHERE error IS NOT NULL) AS wrong,
	count(*) FILTER (WHERE comment IS NULL OR cardinality(operations) = 0 OR rows IS NULL) AS bare,
	count(*) FILTER (WHERE NOT listable AND cardinality(keys) = 0) AS unreadable
FROM apigouv_tables;
\x on
SELECT api, "table", rows, "union", listable, keys, personal_data, may_be_kept FROM apigouv_tables
WHERE (api, "table") IN (('marche_inclusion', 'structures'), ('entreprise', 'entreprise_attestations'),
	('marche_travail', 'marche_travail_tensions'), ('entreprise', 'entreprise_attestation_conges_payes_cibtp')) ORDER BY 1, 2;
SELECT limits FROM apigouv_tables WHERE "table" = 'entreprise_attestation_conges_payes_cibtp';
\x off
-- limits are written as the server's option takes them
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT DISTINCT api, unnest(limits) AS l FROM apigouv_tables
	LOOP
		EXECUTE format('CREATE SERVER limite FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api %L, limits %L)', t.api, t.l);
		DROP SERVER limite;
	END LOOP;
END $$;

-- ====================================================================
-- Columns: those of an imported table, in its order; what is sent
-- ====================================================================
SELECT c.api, c."table", c."column", c.type, c.position FROM apigouv_columns AS c
	FULL JOIN (SELECT n.nspname, r.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnum
		FROM pg_foreign_table AS t JOIN pg_class AS r ON r.oid = t.ftrelid
			JOIN pg_namespace AS n ON n.oid = r.relnamespace
			JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0) AS i
	ON i.nspname = c.api AND i.relname = c."table" AND i.attname = c."column" AND i.attnum = c.position
		AND i.type = replace(replace(c.type, 'timestamptz', 'timestamp with time zone'), 'float8', 'double precision')
WHERE (i.attname IS NULL AND c.api IN ('marche_inclusion', 'data_inclusion', 'entreprise', 'marche_travail', 'essai', 'pages'))
	OR c.api IS NULL;
SELECT "column", key_of, operators, exactness FROM apigouv_columns
WHERE api = 'marche_inclusion' AND "table" = 'structures' AND cardinality(operators) > 0 ORDER BY position;
-- conditions on constants of a union choose its sources
SELECT "column", operators, exactness FROM apigouv_columns
WHERE "table" = 'entreprise_attestations' AND cardinality(operators) > 0 ORDER BY position;
-- what is not exact has a rule that is cited
SELECT "column", operators, exactness, left(rule, 60) AS rule FROM apigouv_columns
WHERE api = 'marche_inclusion' AND "table" = 'structures' AND exactness && '{derived, opaque}' ORDER BY position;
SELECT "column", operators, exactness, rule FROM apigouv_columns
WHERE "table" = 'marche_travail_tensions' AND "column" = 'derniere_periode';
SELECT DISTINCT e FROM apigouv_columns, unnest(exactness) AS e ORDER BY 1;
SELECT count(*) FROM apigouv_columns WHERE cardinality(operators) <> cardinality(exactness);
-- secrets, personal data
SELECT "table", "column" FROM apigouv_columns WHERE api = 'entreprise' AND secret AND "table" LIKE '%vigilance%';
SELECT "table", "column" FROM apigouv_columns WHERE api = 'data_inclusion' AND personal AND "table" = 'structures';
-- nothing was asked of anybody
\! $sent all

-- ====================================================================
-- Everybody may read them
-- ====================================================================
DROP ROLE IF EXISTS regress_lecteur;
CREATE ROLE regress_lecteur;
SET ROLE regress_lecteur;
SELECT count(*) > 20 AS tables FROM apigouv_tables;
SELECT count(*) > 200 AS columns FROM apigouv_columns;
RESET ROLE;
DROP ROLE regress_lecteur;

-- ====================================================================
-- A definition that cannot be read does not hide the others
-- ====================================================================
SELECT count(*) AS tables FROM apigouv_tables WHERE error IS NULL \gset
\! echo '{"table": "secteurs", "comment": "?", "rows": "beaucoup"}' > "$definitions/essai/secteurs.json"
\! echo 'rien' > "$definitions/cassee.json"
\! rm "$definitions/pages/structures.json"
SET apigouv_fdw.definition_dir = '';
SET apigouv_fdw.definition_dir = :'definitions';
SELECT api, "table", comment, error FROM apigouv_tables WHERE error IS NOT NULL;
SELECT count(*) = :tables - 2 AS others FROM apigouv_tables WHERE error IS NULL;
SELECT count(DISTINCT (api, "table")) = :tables - 2 AS others FROM apigouv_columns;
\i test/fixtures/regress_definitions_end.sql
