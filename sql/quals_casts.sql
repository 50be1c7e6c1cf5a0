\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

-- ====================================================================
-- A column under a cast that changes its comparison is compared here
-- ====================================================================
CREATE EXTENSION citext;
SELECT count(*) FROM marche_inclusion.structures WHERE slug::citext = (SELECT upper(slug) FROM marche_inclusion.structures WHERE id = 1001)::citext;
SELECT count(*) FROM marche_inclusion.structures WHERE siret::bpchar = '00000301200010  '::bpchar(16);
-- the text type itself, and what is taken for it, are sent
SELECT line FROM plan($$SELECT id FROM marche_inclusion.structures WHERE siret::varchar = '00000301200010'$$) AS line WHERE line ~ 'Route|Request:';
SELECT line FROM plan($$SELECT id FROM marche_inclusion.structures WHERE siret::bpchar = '00000301200010'$$) AS line WHERE line ~ 'Route|Full';

-- ====================================================================
-- A column that rounds the API's values is compared here
-- ====================================================================
CREATE FOREIGN TABLE arrondie (id int, updated_at timestamptz(0)) SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT line FROM plan($$SELECT id FROM arrondie WHERE updated_at <= '2026-08-17 05:00:42+00'$$) AS line WHERE line ~ 'Route|Full|Sent';
CREATE FOREIGN TABLE entiere (id int, updated_at timestamptz) SERVER marche_inclusion OPTIONS ("table" 'structures');
SELECT line FROM plan($$SELECT id FROM entiere WHERE updated_at <= '2026-08-17 05:00:42+00'$$) AS line WHERE line ~ 'Route|Full|Request:';
SELECT lost, gained FROM proof($$SELECT id FROM arrondie WHERE updated_at <= '2026-08-17 05:00:42+00'$$);

-- ====================================================================
-- The time of a reply is the same for all its rows, and read again
-- ====================================================================
BEGIN;
CREATE TEMP TABLE lue ON COMMIT DROP AS SELECT id, obtenu_le FROM marche_inclusion.structures;
SELECT count(DISTINCT obtenu_le) FROM lue;
SELECT count(*) FROM marche_inclusion.structures s JOIN lue USING (id) WHERE s.obtenu_le <> lue.obtenu_le;
ROLLBACK;
