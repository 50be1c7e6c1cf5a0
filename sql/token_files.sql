\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

CREATE ROLE regress_greffe;
GRANT USAGE ON SCHEMA outils, entreprise TO regress_greffe;
GRANT SELECT ON entreprise.entreprise_conformite_cotisations_msa TO regress_greffe;
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Dossier 1';
\set msa 'SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = ''00000301200010'''

-- ====================================================================
-- token_file: who may name a file, and which
-- ====================================================================
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (ADD token_file '/x'); -- ERROR
CREATE USER MAPPING FOR regress_greffe SERVER entreprise OPTIONS (client_id 'a', client_secret 'b', token_file '/x'); -- ERROR
CREATE USER MAPPING FOR regress_greffe SERVER entreprise OPTIONS (token_file 'x'); -- ERROR
CREATE USER MAPPING FOR regress_greffe SERVER entreprise OPTIONS (token_file ''); -- ERROR
ALTER SERVER entreprise OPTIONS (ADD token_file '/x'); -- ERROR
CREATE USER MAPPING FOR regress_greffe SERVER entreprise OPTIONS (token_file '/nowhere/token');
GRANT USAGE ON FOREIGN SERVER entreprise TO regress_greffe;
SET ROLE regress_greffe;
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token_file '/dev/null'); -- ERROR
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (ADD token 'abc'); -- ERROR
CREATE USER MAPPING FOR CURRENT_USER SERVER marche_travail OPTIONS (token_file '/x'); -- ERROR
-- what pg_user_mappings shows it: the name
SELECT umoptions FROM pg_user_mappings WHERE usename = current_user;
-- it may have a token of its own instead
ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (DROP token_file, ADD token 'abc');
RESET ROLE;

-- ====================================================================
-- token_file: files that do not serve; neither rows nor a request
-- ====================================================================
CREATE FUNCTION outils.with_file(path text, OUT state text, OUT message text, OUT shown text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('DROP USER MAPPING IF EXISTS FOR regress_greffe SERVER entreprise;
		CREATE USER MAPPING FOR regress_greffe SERVER entreprise OPTIONS (token_file %L)', path);
	SET LOCAL ROLE regress_greffe;
	SELECT f.state, f.message INTO state, message
		FROM outils.failure('SELECT FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = ''00000301200010''') AS f;
	SELECT coalesce(error, kind) INTO shown FROM apigouv_tokens AS t WHERE t.user_name = current_user;
	RESET ROLE;
END
$$;
SELECT * FROM with_file('/nowhere/token');
SELECT * FROM with_file('/etc/passwd/token');
SELECT * FROM with_file('/etc');
SELECT * FROM with_file('/dev/null');
SELECT * FROM with_file('/dev/tty');
SELECT * FROM with_file('/etc/passwd');
SET ROLE regress_greffe;
SELECT detail, hint FROM failure(:'msa');
RESET ROLE;
\! $sent count
-- an API that wants no such token does not read it
CREATE USER MAPPING FOR regress_greffe SERVER marche_travail OPTIONS (token_file '/nowhere/token');
GRANT USAGE ON SCHEMA marche_travail TO regress_greffe;
GRANT SELECT ON marche_travail.marche_travail_activites TO regress_greffe;
SET ROLE regress_greffe;
SELECT message FROM failure('SELECT FROM marche_travail.marche_travail_activites WHERE code_rome = ''J1501''');
SELECT server, kind, in_file, error FROM apigouv_tokens WHERE user_name = current_user ORDER BY 1;
RESET ROLE;
-- nor does a plan; what was kept is cleared as far as it can be found
SELECT count(*) > 0 FROM plan('SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = ''00000301200010''');
DROP USER MAPPING FOR regress_greffe SERVER marche_travail;
SELECT apigouv_clear_cache('entreprise');

DROP OWNED BY regress_greffe;
DROP ROLE regress_greffe;
