\i test/fixtures/regress_setup.sql
\pset null '-'

-- ====================================================================
-- Every type of the definitions, as the API sent it
-- ====================================================================
SELECT id, slug, is_qpv, sectors_slugs, presta_types, updated_at AT TIME ZONE 'UTC' AS updated_at, reponse ->> 'updated_at' AS sent FROM marche_inclusion.structures WHERE id IN (1001, 1008) ORDER BY id;
SELECT longitude IS NOT DISTINCT FROM (reponse ->> 'longitude')::float8 AS longitude, date_maj = (reponse ->> 'date_maj')::date AS date_maj, score_qualite = (reponse ->> 'score_qualite')::float8 AS score,
	volume_horaire_hebdomadaire IS NOT DISTINCT FROM (reponse ->> 'volume_horaire_hebdomadaire')::numeric AS volume, pg_typeof(volume_horaire_hebdomadaire)
FROM data_inclusion.services WHERE id = 'dora--service-ateliers-du-phare-1-0';
-- a text that is empty upstream means unknown
SELECT brand, reponse ->> 'brand' AS sent FROM marche_inclusion.structures WHERE id = 1001;
-- columns that are not read are not converted; the row as sent holds them all
SELECT id, reponse ->> 'slug' = slug AS same, reponse ? 'created_at' AS whole FROM marche_inclusion.structures WHERE id = 1001;
SELECT count(*) FROM marche_inclusion.structures WHERE id = 1001;
-- conversions do not depend on the session
SET DateStyle = 'German';
SET TimeZone = 'Pacific/Kiritimati';
SET IntervalStyle = 'sql_standard';
SELECT updated_at = '2026-08-17 05:00:42.001001+00'::timestamptz AS same FROM marche_inclusion.structures WHERE id = 1001;
SELECT date_maj = (reponse ->> 'date_maj')::date AS same FROM data_inclusion.services WHERE id = 'dora--service-ateliers-du-phare-1-0';
RESET DateStyle;
RESET TimeZone;
RESET IntervalStyle;

-- ====================================================================
-- Other types than the definition's: the text is read by that type
-- ====================================================================
CREATE DOMAIN outils.siret AS text CHECK (VALUE ~ '^[0-9]{14}$');
CREATE TYPE outils.genre AS ENUM ('EI', 'ACI');
CREATE FOREIGN TABLE autres (id bigint, name varchar(8), kind genre, siret outils.siret, siren char(12), slug name, is_qpv text, presta_types varchar(5)[], sectors_slugs text,
	updated_at text, created_at date, reponse json, sectors jsonb) SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT id, siret, siren, kind, is_qpv, presta_types = ARRAY(SELECT unnest(presta_types) ORDER BY 1)::varchar[] AS sorted, left(sectors_slugs, 1) AS array, json_typeof(reponse) AS json, jsonb_typeof(sectors) AS jsonb
FROM autres WHERE id = 1001;
\! $sent
SELECT id FROM autres WHERE siret = '00000301200010' ORDER BY id;
\! $sent
SELECT id, updated_at FROM autres WHERE id = 1001;
-- what does not fit is an error that names column, table and path
SELECT name FROM autres WHERE id = 1001; -- ERROR
SELECT kind FROM autres WHERE id = 1006; -- ERROR
CREATE FOREIGN TABLE courts (id smallint, city int, nature date) SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT city FROM courts WHERE id = 1001; -- ERROR
SELECT nature FROM courts WHERE id = 1001; -- ERROR
-- only when the column is read
SELECT id FROM courts WHERE id = 1001;
-- a key of another type is checked here
CREATE FOREIGN TABLE cles (id text, siret bigint, siren varchar(9), code_departement char(3), is_active text) SERVER marche_inclusion OPTIONS ("table" 'structures');
\! $sent count > /dev/null
SELECT id FROM cles WHERE id = '1001';
\! $sent
SELECT id, siret FROM cles WHERE siret = 301200010 ORDER BY id;
\! $sent
SELECT id FROM cles WHERE siren = '000003012' ORDER BY id;
\! $sent
SELECT count(*) > 0 FROM cles WHERE code_departement = '35';
\! $sent
SELECT count(*) > 0 FROM cles WHERE is_active = 'true';
\! $sent

-- ====================================================================
-- Columns: other names, another order, dropped, added, generated
-- ====================================================================
CREATE FOREIGN TABLE noms (nom text OPTIONS ("column" 'name'), numero int OPTIONS ("column" 'id'), "SIRET" text OPTIONS ("column" 'siret'), ville text OPTIONS ("column" 'city'))
	SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT * FROM noms WHERE "SIRET" = '00000301200010' ORDER BY numero;
\! $sent
ALTER FOREIGN TABLE noms DROP COLUMN nom;
SELECT * FROM noms WHERE "SIRET" = '00000301200010' ORDER BY numero;
ALTER FOREIGN TABLE noms ADD COLUMN siren text, ADD COLUMN slug text NOT NULL;
SELECT * FROM noms WHERE siren = '000003012' ORDER BY numero;
\! $sent
ALTER FOREIGN TABLE noms RENAME COLUMN ville TO commune;
SELECT commune FROM noms WHERE numero = 1001;
ALTER FOREIGN TABLE noms ALTER COLUMN commune OPTIONS (SET "column" 'post_code');
SELECT commune FROM noms WHERE numero = 1001;
SELECT noms FROM noms WHERE numero = 1001;
SELECT tableoid::regclass FROM noms WHERE numero = 1001;
-- a column that the definition lacks
ALTER FOREIGN TABLE noms ADD COLUMN effectif int;
SELECT numero FROM noms WHERE numero = 1001; -- ERROR
ALTER FOREIGN TABLE noms DROP COLUMN effectif;
SELECT numero FROM noms WHERE numero = 1001;
CREATE FOREIGN TABLE sans (id int) SERVER marche_inclusion OPTIONS ("table" 'entreprises');
SELECT * FROM sans; -- ERROR
CREATE FOREIGN TABLE structures (id int) SERVER marche_inclusion;
SELECT * FROM structures WHERE id = 1001;

-- ====================================================================
-- Foreign tables as partitions and children
-- ====================================================================
CREATE TABLE tous (siret text, nom text) PARTITION BY LIST (siret);
CREATE TABLE tous_local PARTITION OF tous FOR VALUES IN ('local');
INSERT INTO tous VALUES ('local', 'Ici');
CREATE FOREIGN TABLE tous_api PARTITION OF tous DEFAULT SERVER marche_inclusion OPTIONS ("table" 'structures');
ALTER FOREIGN TABLE tous_api ALTER COLUMN nom OPTIONS (ADD "column" 'name');
\! $sent count > /dev/null
SELECT * FROM tous WHERE siret = '00000302000013';
SELECT * FROM tous WHERE siret IN ('local', '00000302000013') ORDER BY siret;
SELECT * FROM tous WHERE siret = 'local';
\! $sent
-- nothing is written
INSERT INTO structures VALUES (1); -- ERROR
UPDATE structures SET id = 2 WHERE id = 1001; -- ERROR
DELETE FROM structures WHERE id = 1001; -- ERROR
SET client_min_messages = warning;
DROP TABLE tous;
DROP FOREIGN TABLE autres, courts, cles, noms, sans, structures;
