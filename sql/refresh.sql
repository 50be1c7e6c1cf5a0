\i test/fixtures/regress_setup.sql
SET apigouv_fdw.context = 'Registre';
SET apigouv_fdw.object = 'Nuit';
\set SHOW_CONTEXT never
CREATE SCHEMA registre;
SET search_path = registre, public, outils;
-- sirens of the made-up companies: found, found, unavailable, found, redirected
CREATE TABLE tiers (siren text, nom text);
INSERT INTO tiers VALUES ('000003012', 'Phare'), ('000003020', 'Écluse'), ('000003053', 'Mimosas'), ('000003087', 'Bastia');
CREATE TABLE sieges (LIKE entreprise.entreprise_siege_social);
CREATE INDEX ON sieges (siren);

-- ====================================================================
-- What is refused before anything is asked
-- ====================================================================
CALL apigouv_refresh(NULL, 'entreprise.entreprise_siege_social', 'TABLE tiers'); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', NULL); -- ERROR
CALL apigouv_refresh('sieges', 'tiers', 'SELECT siren FROM tiers'); -- ERROR
CALL apigouv_refresh('entreprise.entreprise_siege_social', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers'); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'TABLE tiers'); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM nulle_part'); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', batch_size => 0); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', max_age => '-1 day'); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', max_requests => -1); -- ERROR
-- it commits, so it is no part of a transaction
BEGIN;
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers'); -- ERROR
ROLLBACK;
SELECT to_regclass('sieges_refresh');
\! $sent

-- ====================================================================
-- Filled once; then what is too old, and nothing twice
-- ====================================================================
\x on
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers');
\! $sent
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers');
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', max_age => NULL);
\! $sent
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', max_age => '0');
\! $sent
\x off
SELECT siren, siret FROM sieges ORDER BY siren;
SELECT siren, fetched_at IS NOT NULL AS fetched, "rows", attempts, sqlstate, message ~ '^foreign server "entreprise" is unavailable: HTTP 504'
FROM sieges_refresh ORDER BY siren;
SELECT count(*) FROM sieges_refresh AS e JOIN sieges AS s USING (siren) WHERE e.fetched_at <> s.obtenu_le;

-- ====================================================================
-- A key that fails keeps its rows, and waits: twice as long each time
-- ====================================================================
INSERT INTO sieges (siren, siret) VALUES ('000003053', '00000305300014');
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', retry_after => '0') \gset
SELECT :seen, :fresh, :waiting, :renewed, :failed;
UPDATE sieges_refresh SET tried_at = now() - interval '25 minutes' WHERE attempts = 2;
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers') \gset
SELECT :fresh, :waiting, :failed;
UPDATE sieges_refresh SET tried_at = now() - interval '35 minutes' WHERE attempts = 2;
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers') \gset
SELECT :fresh, :waiting, :failed;
SELECT s.siret, e.attempts FROM sieges AS s JOIN sieges_refresh AS e USING (siren) WHERE siren = '000003053';

-- ====================================================================
-- What the API does not know any more goes, and is known to be nothing
-- ====================================================================
INSERT INTO tiers VALUES ('000009999', 'Radiée');
INSERT INTO sieges (siren, siret) SELECT apigouv_siren('000009993'), 'ancien' FROM generate_series(1, 2);
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', $$SELECT '000009993' AS siren$$) \gset
SELECT :seen, :renewed, :empty, :requests;
SELECT count(*) FROM sieges WHERE siren = '000009993';
SELECT "rows", fetched_at IS NOT NULL FROM sieges_refresh WHERE siren = '000009993';

-- ====================================================================
-- Keys: NULL is none, twice is once, malformed costs nothing
-- ====================================================================
\! $sent > /dev/null
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social',
	$$VALUES (NULL), ('000003038'), ('000003038'), ('000003039'), ('x'), ('') -- or none$$); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social',
	$$SELECT * FROM (VALUES (NULL), ('000003038'), ('000003038'), ('000003039'), ('x'), ('')) AS v (siren) -- or none$$) \gset
SELECT :seen, :renewed, :empty, :requests;
\! $sent
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers WHERE false') \gset
SELECT :seen, :'stopped';
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT NULL AS siren') \gset
SELECT :seen, :'stopped';

-- ====================================================================
-- A budget of requests: the oldest first, then the next
-- ====================================================================
TRUNCATE sieges, sieges_refresh;
CREATE TABLE demandes AS SELECT siren, n FROM unnest('{000003012,000003020,000003038,000003046,000003061,000003079}'::text[])
	WITH ORDINALITY AS u (siren, n);
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes', max_requests => 2) \gset
SELECT :renewed, :left, :requests, :'stopped';
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes', max_requests => 0) \gset
SELECT :renewed, :left, :requests, :'stopped';
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes', max_requests => 3) \gset
SELECT :renewed, :left, :requests, :'stopped';
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes', max_requests => 3) \gset
SELECT :renewed, :left, :requests, :'stopped';
\! $sent
-- never fetched, then fetched longest ago
UPDATE sieges_refresh SET fetched_at = fetched_at - interval '2 days' - n * interval '1 minute' FROM demandes
WHERE demandes.siren = sieges_refresh.siren;
DELETE FROM sieges_refresh WHERE siren = '000003012';
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes', max_requests => 3) \gset
\! $sent
SELECT siren FROM sieges_refresh WHERE fetched_at > now() - interval '1 day' ORDER BY siren;

-- ====================================================================
-- An end: a moment that has come stops before the next batch
-- ====================================================================
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes', ends_at => now()) \gset
SELECT :renewed, :left, :requests, :'stopped';
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes',
	ends_at => current_date + 1 + time '06:00') \gset
SELECT :renewed + :unchanged, :left, :requests, :'stopped';

-- ====================================================================
-- Columns: by name; other types, columns of one's own, columns left out
-- ====================================================================
CREATE DOMAIN siren AS varchar(9) CHECK (VALUE ~ '^[0-9]{9}$');
CREATE TABLE lettres (disparue integer, n integer GENERATED ALWAYS AS IDENTITY, diffusable_commercialement text, vu date DEFAULT '2026-11-01',
	siren siren NOT NULL, adresse_code_commune varchar(5), siret char(14) UNIQUE, double text GENERATED ALWAYS AS (siren || '!') STORED);
ALTER TABLE lettres DROP COLUMN disparue;
CALL apigouv_refresh('lettres', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes') \gset
SELECT :renewed, :failed, :requests;
SELECT siren, siret, vu, double FROM lettres ORDER BY siren LIMIT 2;
-- a value that the local table does not take: the failure of its key alone, without a request more
TRUNCATE lettres, lettres_refresh;
ALTER TABLE lettres ADD CHECK (siren <> '000003038');
CALL apigouv_refresh('lettres', 'entreprise.entreprise_siege_social', 'SELECT siren FROM demandes') \gset
SELECT :renewed, :failed, :requests, :'stopped';
SELECT siren, sqlstate, message FROM lettres_refresh WHERE sqlstate IS NOT NULL;

-- ====================================================================
-- Several key columns; a foreign table without the column "erreur"
-- ====================================================================
CREATE FOREIGN TABLE attestations (siret text, type text, statut text, erreur text) SERVER entreprise
	OPTIONS ("table" 'entreprise_attestations');
CREATE TABLE certifications (type text, siret text, statut text);
CREATE VIEW couples AS SELECT siret, type FROM unnest('{00000301200010,00000305300014}'::text[]) AS siret,
	unnest('{certification_rge,certification_qualibat}'::text[]) AS type;
CALL apigouv_refresh('certifications', 'attestations', 'SELECT * FROM couples') \gset
SELECT :seen, :renewed, :failed, :requests;
SELECT DISTINCT siret, type, statut FROM certifications ORDER BY type;
SELECT siret, type, "rows", sqlstate FROM certifications_refresh ORDER BY siret, type;
CALL apigouv_refresh('certifications', 'attestations', 'SELECT siret FROM couples'); -- ERROR
CALL apigouv_refresh('certifications', 'attestations', 'SELECT siret FROM couples', state => 'certifications_par_siret', batch_size => 1) \gset
SELECT :seen, :renewed, :failed;

CREATE FOREIGN TABLE sans_erreur (siren text, siret text) SERVER entreprise OPTIONS ("table" 'entreprise_siege_social');
TRUNCATE sieges;
CALL apigouv_refresh('sieges', 'sans_erreur', 'SELECT siren FROM tiers', state => 'autre') \gset
SELECT :seen, :renewed, :empty, :failed, :left;
SELECT siren, siret, commune_adresse FROM (SELECT siren, siret, adresse_libelle_commune AS commune_adresse FROM sieges) AS s ORDER BY siren;
SELECT siren, "rows", sqlstate FROM autre ORDER BY siren;

-- ====================================================================
-- Several rows of a key; replies that are kept for the cluster are as old as they are
-- ====================================================================
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD cache_ttl_s '600');
CREATE TABLE structures (LIKE marche_inclusion.structures);
CREATE VIEW sirets AS SELECT unnest('{00000301200010,00000302000013,00000399900099}'::text[]) AS siret;
CALL apigouv_refresh('structures', 'marche_inclusion.structures', 'SELECT siret FROM sirets') \gset
SELECT :seen, :renewed, :empty, :requests;
CREATE TABLE premiers AS SELECT siret, fetched_at FROM structures_refresh;
CALL apigouv_refresh('structures', 'marche_inclusion.structures', 'SELECT siret FROM sirets', max_age => '0') \gset
SELECT :seen, :unchanged, :empty, :requests;
SELECT siret, "rows", s.fetched_at = p.fetched_at AS as_old FROM structures_refresh AS s JOIN premiers AS p USING (siret) ORDER BY siret;
SELECT siret, id, obtenu_le = fetched_at AS dated FROM structures JOIN structures_refresh USING (siret) ORDER BY id;
-- a row less: all are replaced
INSERT INTO structures (siret, id) VALUES ('00000301200010', 1);
CALL apigouv_refresh('structures', 'marche_inclusion.structures', 'SELECT siret FROM sirets', max_age => '0') \gset
SELECT :renewed, :unchanged, (SELECT count(*) FROM structures);
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP cache_ttl_s);

-- the keys of a list of another API: its requests are the run's
CREATE TABLE inscrites (LIKE entreprise.entreprise_siege_social);
CALL apigouv_refresh('inscrites', 'entreprise.entreprise_siege_social',
	$$SELECT siren FROM marche_inclusion.structures WHERE siret IN (SELECT siret FROM registre.sirets)$$, max_requests => 0); -- ERROR
\! $sent > /dev/null
CALL apigouv_refresh('inscrites', 'entreprise.entreprise_siege_social',
	$$SELECT siren FROM marche_inclusion.structures WHERE siret = ANY (SELECT siret FROM registre.sirets)$$, max_requests => 5) \gset
SELECT :seen, :renewed, :requests;
\! $sent

-- an access token is a request, too: without another one, no key is asked, and none has failed
CREATE TABLE activites (LIKE marche_travail.marche_travail_activites);
CALL apigouv_refresh('activites', 'marche_travail.marche_travail_activites',
	$$SELECT unnest('{D1102,F1703}'::text[]) AS code_rome$$, max_requests => 1) \gset
SELECT :renewed, :failed, :left, :requests, :'stopped';
CALL apigouv_refresh('activites', 'marche_travail.marche_travail_activites',
	$$SELECT unnest('{D1102,F1703}'::text[]) AS code_rome$$, max_requests => 2) \gset
SELECT :renewed, :failed, :left, :requests, :'stopped';
\! $sent > /dev/null

-- ====================================================================
-- The search_path is the caller's for the query of the keys, and for nothing else
-- ====================================================================
CREATE SCHEMA piege;
CREATE FUNCTION piege.non(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE OPERATOR piege.= (LEFTARG = text, RIGHTARG = text, FUNCTION = piege.non);
CREATE OPERATOR piege.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = piege.non);
CREATE FUNCTION piege.non(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE OPERATOR piege.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = piege.non);
CREATE OPERATOR piege.+ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = piege.non);
CREATE OPERATOR piege.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = pg_catalog.timestamptz_lt);
CREATE FUNCTION piege.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION piege.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE TYPE piege.text AS ENUM ('trapped');
CREATE VIEW piege.les_miens AS SELECT siren FROM registre.tiers;
TRUNCATE registre.sieges, registre.sieges_refresh;
SET search_path = piege, pg_catalog;
CALL public.apigouv_refresh('registre.sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM les_miens',
	batch_size => 1) \gset
SET search_path = registre, public, outils;
SELECT :seen, :renewed, :failed, :left;
-- where the extension was moved to
CREATE SCHEMA ailleurs;
ALTER EXTENSION apigouv_fdw SET SCHEMA ailleurs;
CALL ailleurs.apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', 'SELECT siren FROM tiers', max_age => '0') \gset
SELECT :seen, :renewed, :unchanged, :waiting;
ALTER EXTENSION apigouv_fdw SET SCHEMA public;

-- ====================================================================
-- Rights are the caller's; a table of states that somebody else has laid out is not used
-- ====================================================================
CREATE ROLE refresh_nuit;
GRANT USAGE ON SCHEMA registre, entreprise TO refresh_nuit;
GRANT CREATE ON SCHEMA registre TO refresh_nuit;
SET ROLE refresh_nuit;
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', $$SELECT '000003012' AS siren$$); -- ERROR
RESET ROLE;
GRANT SELECT, INSERT, DELETE ON sieges TO refresh_nuit;
GRANT SELECT ON entreprise.entreprise_siege_social TO refresh_nuit;
SET ROLE refresh_nuit;
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', $$SELECT '000003012' AS siren$$); -- ERROR
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', $$SELECT '000003012' AS siren$$, state => 'de_nuit'); -- ERROR
CREATE TABLE lettres_par_siret (siret text PRIMARY KEY);
RESET ROLE;
CALL apigouv_refresh('lettres', 'entreprise.entreprise_siege_social', $$SELECT '00000301200010' AS siret$$,
	state => 'lettres_par_siret'); -- ERROR
DROP OWNED BY refresh_nuit;
DROP ROLE refresh_nuit;
-- what lacks for every key is the error of the run
RESET apigouv_fdw.context;
CALL apigouv_refresh('sieges', 'entreprise.entreprise_siege_social', $$SELECT '000003012' AS siren$$, max_age => '0'); -- ERROR

-- ====================================================================
-- Requests of the session, and a bound on them until the transaction ends
-- ====================================================================
SET apigouv_fdw.context = 'Registre';
SELECT apigouv_bound_requests(-1); -- ERROR
SELECT apigouv_session_requests() AS before \gset
BEGIN;
SELECT apigouv_bound_requests(1);
SELECT count(*) FROM entreprise.entreprise_siege_social WHERE siren = '000003012';
SAVEPOINT s;
SELECT count(*) FROM entreprise.entreprise_siege_social WHERE siren = '000003020'; -- ERROR
ROLLBACK TO s;
SELECT count(*) FROM entreprise.entreprise_siege_social WHERE siren = '000003012';
SELECT apigouv_bound_requests(NULL);
SELECT count(*) FROM entreprise.entreprise_siege_social WHERE siren = '000003020';
SELECT apigouv_bound_requests(0);
COMMIT;
SELECT count(*) FROM entreprise.entreprise_siege_social WHERE siren = '000003038';
SELECT apigouv_session_requests() - :before;
SET client_min_messages = error;
DROP SCHEMA registre, piege, ailleurs CASCADE;
