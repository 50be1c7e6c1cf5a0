\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Outil';
CREATE TEMP TABLE registre (siret text, nom text);
INSERT INTO registre VALUES ('00000301200010', 'Ateliers du Phare');
ANALYZE registre;

-- ====================================================================
-- A table without its key is an error
-- ====================================================================
SHOW apigouv_fdw.missing_key;
SELECT * FROM entreprise.entreprise_attestation_fiscale LIMIT 100;
SELECT siret FROM entreprise.entreprise_attestation_fiscale LIMIT 0;
SELECT siret FROM entreprise.entreprise_attestation_fiscale WHERE 1 = 0;

-- ====================================================================
-- For a tool that looks at every table: no row and a warning, no request
-- ====================================================================
SET apigouv_fdw.missing_key = 'empty';
SELECT * FROM entreprise.entreprise_attestation_fiscale LIMIT 100;
SELECT siret FROM entreprise.entreprise_attestation_fiscale;
SELECT DISTINCT siren FROM entreprise.entreprise_attestation_fiscale ORDER BY siren LIMIT 10;
SELECT siret FROM entreprise.entreprise_attestation_fiscale WHERE document_url IS NOT NULL;
-- as they wrap what is written in their editors
SELECT * FROM (SELECT siret FROM entreprise.entreprise_attestation_fiscale LIMIT 5) AS virtual_table LIMIT 1000;
WITH q AS (SELECT siret FROM entreprise.entreprise_attestation_fiscale) SELECT * FROM q LIMIT 1;
-- through a view, whose column has another name
CREATE VIEW outils.fiscale AS SELECT siret AS cle FROM entreprise.entreprise_attestation_fiscale;
SELECT * FROM outils.fiscale;
-- a union of sources, and a table whose own column has another name
SELECT * FROM entreprise.entreprise_attestations LIMIT 10;
ALTER FOREIGN TABLE entreprise.entreprise_numero_tva ALTER siret OPTIONS (ADD "column" 'siret');
ALTER FOREIGN TABLE entreprise.entreprise_numero_tva RENAME siret TO "Clé";
SELECT * FROM entreprise.entreprise_numero_tva;
-- a cursor and a prepared statement
BEGIN;
DECLARE c CURSOR FOR SELECT siret FROM entreprise.entreprise_attestation_fiscale;
FETCH 10 FROM c;
FETCH 10 FROM c;
COMMIT;
PREPARE tout AS SELECT siret FROM entreprise.entreprise_attestation_fiscale;
EXECUTE tout;
-- the plan says so; by the setting of the moment it runs
SELECT plan($$SELECT siret FROM entreprise.entreprise_attestation_fiscale$$);
SET apigouv_fdw.missing_key = 'error';
EXECUTE tout;
SELECT plan($$SELECT siret FROM entreprise.entreprise_attestation_fiscale$$);
SET apigouv_fdw.missing_key = 'empty';
\! $sent count

-- ====================================================================
-- What has a key is asked for
-- ====================================================================
SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siren = '000003012';
SELECT count(*) FROM entreprise.entreprise_pings;
\! $sent count

-- ====================================================================
-- A condition on a key that cannot be sent is an error, in any form
-- ====================================================================
\set VERBOSITY terse
SELECT siret FROM entreprise.entreprise_attestation_fiscale WHERE siret > '000003012';
SELECT siret FROM entreprise.entreprise_attestation_fiscale WHERE siret IS NULL;
SELECT siret FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000301200010' OR document_url IS NULL;
SELECT siret FROM entreprise.entreprise_attestation_fiscale WHERE upper(siret) = '00000301200010';
SELECT * FROM (SELECT siret FROM entreprise.entreprise_attestation_fiscale LIMIT 5) AS q WHERE siret = '00000301200010';
SELECT sector_slug FROM marche_inclusion.potentiel_inclusif WHERE sector_slug = 'peinture' AND budget > 1000;

-- ====================================================================
-- So is whatever could be taken for an answer: sums, joins, subqueries, unions
-- ====================================================================
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale;
SELECT count(*) FROM entreprise.entreprise_attestation_fiscale GROUP BY siren;
SELECT 'some' FROM entreprise.entreprise_attestation_fiscale HAVING count(*) > 0;
SELECT r.nom FROM registre AS r JOIN entreprise.entreprise_attestation_fiscale AS a ON a.document_url = r.nom;
SELECT r.nom FROM registre AS r LEFT JOIN entreprise.entreprise_attestation_fiscale AS a ON true;
SELECT r.nom FROM registre AS r FULL JOIN entreprise.entreprise_attestation_fiscale AS a ON a.siret = r.siret;
SELECT nom FROM registre WHERE NOT EXISTS (SELECT FROM entreprise.entreprise_attestation_fiscale);
SELECT nom FROM registre WHERE siret NOT IN (SELECT siret FROM entreprise.entreprise_attestation_fiscale);
SELECT nom, (SELECT siret FROM entreprise.entreprise_attestation_fiscale LIMIT 1) FROM registre;
SELECT EXISTS (SELECT FROM entreprise.entreprise_attestation_fiscale);
SELECT siret FROM entreprise.entreprise_attestation_fiscale UNION ALL SELECT siret FROM registre;
SELECT siret FROM registre EXCEPT SELECT siret FROM entreprise.entreprise_attestation_fiscale;
WITH q AS MATERIALIZED (SELECT siret FROM entreprise.entreprise_attestation_fiscale) SELECT * FROM q;

-- ====================================================================
-- And whatever keeps the rows
-- ====================================================================
INSERT INTO registre (siret) SELECT siret FROM entreprise.entreprise_attestation_fiscale;
CREATE TEMP TABLE copie AS SELECT siret FROM entreprise.entreprise_attestation_fiscale;
CREATE TEMP TABLE copie AS EXECUTE tout;
SELECT siret INTO TEMP copie FROM entreprise.entreprise_attestation_fiscale;
CREATE MATERIALIZED VIEW outils.copie AS SELECT siret FROM entreprise.entreprise_attestation_fiscale;
CREATE MATERIALIZED VIEW outils.copie AS SELECT siret FROM entreprise.entreprise_attestation_fiscale WITH NO DATA;
REFRESH MATERIALIZED VIEW outils.copie;
COPY (SELECT siret FROM entreprise.entreprise_attestation_fiscale) TO STDOUT;
WITH i AS (INSERT INTO registre VALUES ('1') RETURNING 1) SELECT siret FROM entreprise.entreprise_attestation_fiscale;
UPDATE registre SET nom = '' FROM entreprise.entreprise_attestation_fiscale;
-- in functions: a query, a loop, a cursor, a result
DO $$ BEGIN PERFORM siret FROM entreprise.entreprise_attestation_fiscale; END $$;
DO $$ DECLARE r record; BEGIN FOR r IN SELECT siret FROM entreprise.entreprise_attestation_fiscale LOOP END LOOP; END $$;
DO $$ DECLARE c CURSOR FOR SELECT siret FROM entreprise.entreprise_attestation_fiscale; r record; BEGIN OPEN c; FETCH c INTO r; END $$;
DO $$ BEGIN EXECUTE 'EXECUTE tout'; END $$;
CREATE FUNCTION outils.rend() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN RETURN QUERY SELECT siret FROM entreprise.entreprise_attestation_fiscale; END $$;
SELECT * FROM rend();
CREATE FUNCTION outils.rend_sql() RETURNS SETOF text LANGUAGE sql VOLATILE STRICT AS $$ SELECT siret FROM entreprise.entreprise_attestation_fiscale $$;
SELECT rend_sql();
SELECT plan($$SELECT siret FROM entreprise.entreprise_attestation_fiscale$$, 'ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF');
\! $sent count
SELECT count(*) FROM registre;

-- ====================================================================
-- No other error is meant
-- ====================================================================
SET apigouv_fdw.context = '';
SELECT siren FROM entreprise.entreprise_attestation_fiscale WHERE siren = '000003012';
DROP USER MAPPING FOR CURRENT_USER SERVER entreprise;
SELECT * FROM entreprise.entreprise_privileges;
SET apigouv_fdw.missing_key = 'rien';
\! $sent count
