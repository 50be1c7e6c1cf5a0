\i test/fixtures/regress_setup.sql
CREATE SCHEMA essai;
SET client_min_messages = warning;

-- ====================================================================
-- The foreign schema is the API's name; every table of the definition
-- ====================================================================
IMPORT FOREIGN SCHEMA marche_travail FROM SERVER marche_travail INTO essai;
SELECT c.relname, t.ftoptions FROM pg_foreign_table AS t JOIN pg_class AS c ON c.oid = t.ftrelid
WHERE c.relnamespace = 'essai'::regnamespace AND c.relname IN ('marche_travail_tensions', 'marche_travail_territoires') ORDER BY 1;
-- a table twice is core's error
IMPORT FOREIGN SCHEMA marche_travail FROM SERVER marche_travail INTO essai; -- ERROR

-- ====================================================================
-- Columns: the API's own words, in the order and types of the definition
-- ====================================================================
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'essai.marche_travail_tensions'::regclass AND attnum > 0 ORDER BY attnum;
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'entreprise.entreprise_attestations'::regclass AND attnum > 0 ORDER BY attnum;
-- the shared keys are spelled and typed alike in all tables; reponse is everywhere
SELECT DISTINCT a.attname, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_attribute AS a JOIN pg_foreign_table AS t ON t.ftrelid = a.attrelid
WHERE a.attname IN ('siren', 'siret', 'code_region', 'code_departement', 'code_commune', 'obtenu_le', 'reponse', 'objet', 'contexte', 'destinataire')
  AND a.attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = ANY
	(ARRAY['marche_inclusion', 'data_inclusion', 'entreprise', 'marche_travail']::regnamespace[]))
ORDER BY 1, 2;
SELECT t.ftrelid::regclass AS without_reponse FROM pg_foreign_table AS t
WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = t.ftrelid AND a.attname = 'reponse');
-- what is imported is what apigouv_tables lists
SELECT api, count(*) FILTER (WHERE c.oid IS NULL) AS not_imported
FROM apigouv_tables LEFT JOIN pg_class AS c ON c.relkind = 'f' AND c.relname = "table" AND c.relnamespace::regnamespace::text = api
WHERE api IN ('marche_inclusion', 'data_inclusion', 'entreprise', 'marche_travail') GROUP BY 1 ORDER BY 1;

-- ====================================================================
-- LIMIT TO and EXCEPT
-- ====================================================================
DROP SCHEMA essai CASCADE;
CREATE SCHEMA essai;
IMPORT FOREIGN SCHEMA marche_travail LIMIT TO (marche_travail_activites, marche_travail_tensions)
	FROM SERVER marche_travail INTO essai;
IMPORT FOREIGN SCHEMA entreprise EXCEPT (entreprise_attestations, entreprise_certification_qualiopi)
	FROM SERVER entreprise INTO essai;
SELECT relname FROM pg_class WHERE relnamespace = 'essai'::regnamespace AND relname ~ 'marche_travail' ORDER BY relname COLLATE "C";
SELECT relname AS missing FROM pg_class WHERE relnamespace = 'entreprise'::regnamespace AND relkind = 'f'
EXCEPT SELECT relname FROM pg_class WHERE relnamespace = 'essai'::regnamespace ORDER BY 1;
-- a table that the API lacks: of no consequence in EXCEPT, a mistake in LIMIT TO
IMPORT FOREIGN SCHEMA data_inclusion EXCEPT (structures, personnes) FROM SERVER data_inclusion INTO essai;
IMPORT FOREIGN SCHEMA data_inclusion LIMIT TO (structures, personnes) FROM SERVER data_inclusion INTO essai; -- ERROR
-- nothing of the failed statement is left
SELECT relname FROM pg_class WHERE relnamespace = 'essai'::regnamespace AND relname IN ('services', 'structures');

-- ====================================================================
-- Refusals
-- ====================================================================
IMPORT FOREIGN SCHEMA public FROM SERVER marche_travail INTO essai; -- ERROR
IMPORT FOREIGN SCHEMA entreprise FROM SERVER marche_travail INTO essai; -- ERROR
IMPORT FOREIGN SCHEMA marche_travail FROM SERVER marche_travail INTO essai OPTIONS (import_default 'true'); -- ERROR

-- ====================================================================
-- Names are quoted: a server of any name serves
-- ====================================================================
CREATE SERVER "Marché ""2""" FOREIGN DATA WRAPPER apigouv_fdw
	OPTIONS (api 'marche_inclusion', base_url :'marche_inclusion_url');
CREATE USER MAPPING FOR CURRENT_USER SERVER "Marché ""2""" OPTIONS (token :'marche_inclusion');
CREATE SCHEMA "Essai ""2""";
IMPORT FOREIGN SCHEMA marche_inclusion FROM SERVER "Marché ""2""" INTO "Essai ""2""";
SELECT name FROM "Essai ""2""".structures WHERE id = 1001;

-- importing asks nothing of the API
\! $sent count > /dev/null
DROP SCHEMA essai, "Essai ""2""" CASCADE;
CREATE SCHEMA essai;
IMPORT FOREIGN SCHEMA entreprise FROM SERVER entreprise INTO essai;
\! $sent all
DROP SCHEMA essai CASCADE;
