\i test/fixtures/regress_setup.sql
SELECT :'entreprise_url' || '/proxy/files/' AS files, :'entreprise_url' || '/proxy/inpi/download/' AS inpi \gset
SET apigouv_fdw.context = 'Tests';
SET apigouv_fdw.object = 'documents';
-- a document of the local API server, by the digit of its uuid
CREATE FUNCTION outils.fichier(digit int) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s-%s-4%s-8%s-%s', repeat(d, 8), repeat(d, 4), repeat(d, 3), repeat(d, 3), repeat(d, 12))
	FROM CAST(digit AS text) AS d $$;
CREATE FUNCTION outils.debut(document bytea) RETURNS text LANGUAGE sql AS $$
	SELECT encode(substring(document FOR 5), 'escape') || ', ' || length(document) || ' bytes' $$;

-- ====================================================================
-- The document that a link of a table leads to; no token, no purpose
-- ====================================================================
SELECT type, outils.debut(apigouv_document('entreprise', document_url))
FROM entreprise.entreprise_attestations
WHERE siret = '00000301200010' AND type IN ('attestation_vigilance', 'attestation_fiscale') ORDER BY 1;
SELECT document_url AS link FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012' \gset
\! $sent count > /dev/null
SELECT outils.debut(apigouv_document('entreprise', :'link'));
\! $sent purpose | sed 's|files/[-0-9a-f]*|files/UUID|'
-- no link, no document; none is asked for
SELECT apigouv_document('entreprise', NULL) IS NULL AS none, apigouv_document('entreprise', :'link', NULL) IS NULL AS none;
SELECT count(*), count(apigouv_document('entreprise', document_url)) FROM entreprise.entreprise_attestation_vigilance
WHERE siret = '00000302000013';
\! $sent all
-- a type that is known, whatever the content type says; a ZIP; bytes of no known type
SELECT d, outils.debut(apigouv_document('entreprise', :'files' || outils.fichier(d))) FROM (VALUES (1), (6), (2), (8)) AS v (d);
-- nothing is kept: the same link is asked again
BEGIN;
\! $sent count > /dev/null
SELECT length(apigouv_document('entreprise', :'files' || outils.fichier(1)));
SELECT length(apigouv_document('entreprise', :'files' || outils.fichier(1)));
COMMIT;
\! $sent

-- ====================================================================
-- The API's own address may be another: links of both are followed there
-- ====================================================================
SELECT outils.debut(apigouv_document('entreprise', 'https://entreprise.api.gouv.fr/proxy/files/' || outils.fichier(2)));
-- two steps: the first reply holds the link to the file, of either address
SELECT outils.debut(apigouv_document('entreprise', :'inpi' || 'pdf'));
SELECT outils.debut(apigouv_document('entreprise', 'https://entreprise.api.gouv.fr/proxy/inpi/download/officiel'));
\! $sent

-- ====================================================================
-- Only from the hosts that the definition lists; else nothing is sent
-- ====================================================================
CREATE FUNCTION outils.refus(link text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hidden text := '';
	f record;
BEGIN
	SELECT * INTO f FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', link));
	-- a refusal repeats nothing of the link
	IF position(substring(link FROM '.{12}$') IN concat(f.message, f.detail, f.hint)) > 0 THEN
		hidden := ' AND THE LINK IS TOLD';
	END IF;
	RETURN coalesce(f.state, '') || ' ' || f.message || hidden;
END $$;
SELECT * FROM outils.failure('SELECT apigouv_document(''entreprise'', ''https://example.org/attestation.pdf'')');
SELECT DISTINCT outils.refus(replace(link, 'UUID', outils.fichier(1))) FROM (VALUES
	('http://entreprise.api.gouv.fr/proxy/files/UUID'),
	('HTTPS://entreprise.api.gouv.fr/proxy/files/UUID'),
	('https://ENTREPRISE.api.gouv.fr/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr./proxy/files/UUID'),
	('https://entreprise.api.gouv.fr:443/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr:8443/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr@example.org/proxy/files/UUID'),
	('https://example.org@entreprise.api.gouv.fr/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr.example.org/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr\@example.org/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr\.example.org/proxy/files/UUID'),
	('https:\\entreprise.api.gouv.fr\proxy\files\UUID'),
	('https:entreprise.api.gouv.fr/proxy/files/UUID'),
	('https:///entreprise.api.gouv.fr/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr//proxy/files/UUID'),
	('//entreprise.api.gouv.fr/proxy/files/UUID'),
	('entreprise.api.gouv.fr/proxy/files/UUID'),
	(' https://entreprise.api.gouv.fr/proxy/files/UUID'),
	(E'https://entreprise.api.gouv.fr/proxy/files/UUID\n'),
	(E'https://entreprise.api.gouv.fr/proxy/files/UUID\r\nX-Autre: 1'),
	(E'https://entreprise.api.gouv.fr\t/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/UUID#UUID'),
	('https://entreprise.api.gouv.fr#.example.org/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr?.example.org/proxy/files/UUID'),
	('https://entrepriße.api.gouv.fr/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/é-UUID'),
	('https://xn--entreprise.api.gouv.fr/proxy/files/UUID'),
	('https://entreprise.api.gouv.fr/v4/urssaf/unites_legales/000003012/attestation_vigilance'),
	('https://entreprise.api.gouv.fr/proxy/filesUUID'),
	('https://entreprise.api.gouv.fr/proxy/files/../../privileges?UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/./UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/%2E%2e/%2e%2E/privileges?UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/..%2f..%2Fprivileges?UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/..%5c..%5Cprivileges?UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/..;/..;x/privileges?UUID'),
	('https://entreprise.api.gouv.fr/proxy/files/UUID/..'),
	('https://storage.entreprise.api.gouv.fr.evil.example/UUID'),
	('http://storage.entreprise.api.gouv.fr/UUID'),
	('ftp://storage.entreprise.api.gouv.fr/UUID'),
	('file:///etc/passwd-----------'),
	('http://127.0.0.1/proxy/files/UUID'),
	('http://localhost/entreprise/proxy/files/UUID'),
	('')) AS v (link);
SELECT outils.refus(replace(:'files', '/entreprise/', '/autre/') || outils.fichier(1)) AS other_path,
	outils.refus(replace(:'files', '127.0.0.1', '127.0.0.2') || outils.fichier(1)) AS other_address,
	outils.refus(:'files' || repeat('0123456789', 1000)) AS too_long;
\! $sent all
-- dots in a query, or inside a name, are no steps; the link goes on and is dead
SELECT outils.refus(:'files' || 'a..b/...?c=../..');
\! $sent
-- the second link is under the same rules, and there is no third
SELECT outils.refus(:'inpi' || 'dehors');
SELECT outils.refus(:'inpi' || 'encore');
\! $sent

-- ====================================================================
-- A dead link, a document that does not exist, what is no document
-- ====================================================================
\pset format unaligned
\pset tuples_only on
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'files' || outils.fichier(0)));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'inpi' || 'mort'));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'inpi' || 'inconnu'));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'files' || outils.fichier(7)));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'files' || outils.fichier(3)));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'files' || outils.fichier(4)));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'files' || outils.fichier(5)));
SELECT * FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'inpi' || 'rien'));
\pset format aligned
\pset tuples_only off
\! $sent

-- ====================================================================
-- A link past its time: read the table again, past the upstream's cache
-- ====================================================================
SELECT document_url AS link FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012' \gset
\! $stub options '{"expire_documents": true}'
SELECT outils.refus(:'link');
SELECT document_url = :'link' AS same FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
SET apigouv_fdw.fresh = on;
SELECT document_url = :'link' AS same FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
SELECT outils.debut(apigouv_document('entreprise', document_url))
FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
-- within a transaction, a question asked fresh has one reply, and it is not that of the same question before
BEGIN;
\! $sent count > /dev/null
SET LOCAL apigouv_fdw.fresh = off;
SELECT count(document_url) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
SET LOCAL apigouv_fdw.fresh = on;
SELECT count(document_url) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
SELECT count(document_url) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
SET LOCAL apigouv_fdw.fresh = off;
SELECT count(document_url) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
COMMIT;
\! $sent
RESET apigouv_fdw.fresh;

-- ====================================================================
-- Who may: whoever may use the server; bounds are those of any request
-- ====================================================================
SELECT :'files' || outils.fichier(1) AS link \gset
DROP ROLE IF EXISTS regress_lecteur;
CREATE ROLE regress_lecteur;
GRANT USAGE ON SCHEMA outils TO regress_lecteur;
SET ROLE regress_lecteur;
SELECT apigouv_document('entreprise', :'link'); -- ERROR
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER entreprise TO regress_lecteur;
SET ROLE regress_lecteur;
-- it has no user mapping: none is needed
SELECT outils.debut(apigouv_document('entreprise', :'link'));
RESET ROLE;
DROP OWNED BY regress_lecteur;
DROP ROLE regress_lecteur;
SELECT apigouv_document('inconnu', :'link'); -- ERROR
SELECT apigouv_document('marche_inclusion', :'link'); -- ERROR
CREATE FOREIGN DATA WRAPPER autre;
CREATE SERVER autre FOREIGN DATA WRAPPER autre;
SELECT apigouv_document('autre', :'link'); -- ERROR
DROP FOREIGN DATA WRAPPER autre CASCADE;
\! $sent all
SET apigouv_fdw.max_requests_per_query = 2;
SELECT count(apigouv_document('entreprise', :'link')) FROM generate_series(1, 2);
SELECT count(apigouv_document('entreprise', :'link')) FROM generate_series(1, 3); -- ERROR
SELECT length(apigouv_document('entreprise', :'inpi' || 'pdf'));
SET apigouv_fdw.max_requests_per_query = 1;
SELECT length(apigouv_document('entreprise', :'inpi' || 'pdf')); -- ERROR
SET apigouv_fdw.max_requests_per_query = 0;
SELECT apigouv_document('entreprise', :'link'); -- ERROR
RESET apigouv_fdw.max_requests_per_query;
\! $sent
-- a limit of its own, for everybody at this address
ALTER SERVER entreprise OPTIONS (SET limits 'fichiers=1/60s', ADD quota_wait_ms '0');
SELECT apigouv_quota_forget() AS forgotten \gset
SELECT length(apigouv_document('entreprise', :'link'));
SELECT state, message FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'link'));
SELECT count(document_url) FROM entreprise.entreprise_attestation_vigilance WHERE siren = '000003012';
SELECT "limit", counted_by, allowed, used FROM apigouv_quota WHERE api = 'entreprise' AND "limit" = 'fichiers';
SET apigouv_fdw.max_duration_ms = '1s';
SELECT state, message FROM outils.failure(format('SELECT apigouv_document(''entreprise'', %L)', :'link'));
RESET apigouv_fdw.max_duration_ms;
SELECT proname, provolatile, proisstrict, proparallel FROM pg_proc WHERE proname = 'apigouv_document';
