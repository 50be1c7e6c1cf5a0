\i test/fixtures/regress_setup.sql
\pset tuples_only on
\pset format unaligned
\pset null '-'

-- a token with these claims; nobody checks its signature here
CREATE FUNCTION outils.jwt(claims text) RETURNS text LANGUAGE sql AS $$
	SELECT 'eyJhbGciOiJIUzI1NiJ9.' || translate(encode(convert_to(claims, 'UTF8'), 'base64'), E'+/=\n', '-_') || '.signature'
$$;
-- the same, by its end; days of 24 hours
CREATE FUNCTION outils.jwt_of(days_left interval) RETURNS text LANGUAGE sql AS $$
	SELECT outils.jwt(format('{"scopes": ["open_data"], "exp": %s}', (extract(epoch FROM now()) + extract(epoch FROM days_left))::bigint))
$$;
-- what a token makes of a user mapping
CREATE FUNCTION outils.says(token text, OUT kind text, OUT ends_at timestamp, OUT scopes text[], OUT error text)
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('ALTER USER MAPPING FOR CURRENT_USER SERVER entreprise OPTIONS (SET token %L)', token);
	SELECT t.kind, t.ends_at AT TIME ZONE 'UTC', t.scopes, t.error INTO kind, ends_at, scopes, error
	FROM apigouv_tokens AS t WHERE server = 'entreprise' AND user_name = current_user;
END
$$;

-- ====================================================================
-- A row for each user mapping; nothing is sent
-- ====================================================================
SELECT server, api, user_name = current_user AS mine, kind, in_file, ends_at AT TIME ZONE 'UTC', days_left > 1000 AS later,
	cardinality(scopes), error FROM apigouv_tokens ORDER BY server;
CREATE SERVER sans FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'entreprise');
CREATE USER MAPPING FOR PUBLIC SERVER sans;
CREATE SERVER travail FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'marche_travail');
CREATE USER MAPPING FOR PUBLIC SERVER travail OPTIONS (token 'abc');
SELECT server, user_name, kind, error FROM apigouv_tokens WHERE user_name = 'public' ORDER BY server;
SET client_min_messages = warning;
DROP SERVER sans, travail CASCADE;
-- those of other wrappers have none
CREATE FOREIGN DATA WRAPPER autre;
CREATE SERVER autre FOREIGN DATA WRAPPER autre;
CREATE USER MAPPING FOR PUBLIC SERVER autre OPTIONS (token 'abc');
SELECT count(*) FROM apigouv_tokens WHERE server = 'autre';
DROP FOREIGN DATA WRAPPER autre CASCADE;
RESET client_min_messages;
-- no part of a token is there
SELECT count(*) FROM apigouv_tokens AS t, unnest(string_to_array(concat_ws('.', :'entreprise', :'data_inclusion',
	:'marche_inclusion', :'client_secret', :'client_id'), '.')) AS part WHERE t::text LIKE '%' || part || '%';
\! $sent count

-- ====================================================================
-- What tokens say
-- ====================================================================
SELECT * FROM says(jwt('{"exp": 2082758400, "scopes": ["a", "b"]}'));
SELECT * FROM says(jwt('{"exp": 1704067200, "scopes": []}'));
SELECT * FROM says(jwt('{"exp": 2082758400.75}'));
-- claims that say nothing of an end, or of scopes
SELECT * FROM says(jwt('{}'));
SELECT * FROM says(jwt('{"exp": "2082758400", "scopes": "a b"}'));
SELECT * FROM says(jwt('{"exp": 0, "scopes": {"a": true}}'));
SELECT * FROM says(jwt('{"exp": -1, "scopes": [1, null, "c"]}'));
SELECT * FROM says(jwt('{"exp": 1e300}'));
SELECT * FROM says(jwt('{"exp": 9223372036854775807}'));
-- the second before an end so far that it is taken for none, and that end
SELECT * FROM says(jwt('{"exp": 9223371331199}'));
SELECT * FROM says(jwt('{"exp": 9223371331200}'));
SELECT * FROM says(jwt('{"exp": 0.5}'));
-- a scope is cleaned and cut
SELECT kind, scopes[1], length(scopes[2]) FROM says(jwt(format('{"scopes": ["a\u0001\nb", "%s"]}', repeat('x', 1000))));
-- not a JWT
SELECT * FROM says('opaque');
SELECT * FROM says('a.b.c');
SELECT * FROM says('...');
SELECT * FROM says(jwt('[]'));
SELECT * FROM says(jwt('{"exp": 1, "exp": 2}'));
SELECT * FROM says(split_part(:'entreprise', '.', 1));
SELECT * FROM says(left(:'entreprise', 100));
SELECT * FROM says('eyJ');
-- no longer than messages can hide
SELECT kind FROM says(repeat('a', 4096));
SELECT message, hint FROM failure(format('SELECT says(%L)', repeat('a', 4097)));

-- ====================================================================
-- Days left are whole days; below zero when the token has ended
-- ====================================================================
CREATE FUNCTION outils.days_left(span interval) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM says(jwt_of(span));
	RETURN (SELECT days_left FROM apigouv_tokens WHERE server = 'entreprise');
END
$$;
SELECT span, days_left(span)
FROM unnest('{40 days 1 hour, 1 day 23 hours, 1 hour, -1 hour, -23 hours, -25 hours}'::interval[]) AS span;

-- ====================================================================
-- Who sees which rows: the mapping's own role, without USAGE; everybody that
-- of PUBLIC; who owns the server, also as a member; superusers
-- ====================================================================
CREATE ROLE regress_agent;
CREATE ROLE regress_other;
CREATE ROLE regress_owners;
CREATE ROLE regress_owner IN ROLE regress_owners;
CREATE ROLE regress_set_only NOINHERIT IN ROLE regress_owners;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
CREATE ROLE regress_colleague IN ROLE regress_agent;
CREATE USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (token :'entreprise_peu');
CREATE USER MAPPING FOR regress_other SERVER data_inclusion OPTIONS (token 'abc');
CREATE USER MAPPING FOR PUBLIC SERVER marche_inclusion OPTIONS (token 'abc');
GRANT USAGE ON FOREIGN DATA WRAPPER apigouv_fdw TO regress_owners;
ALTER SERVER entreprise OPTIONS (DROP base_url);
ALTER SERVER entreprise OWNER TO regress_owners;
CREATE FUNCTION outils.seen_by(role name) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	RETURN QUERY SELECT format('%s of %s', server, CASE WHEN user_name = session_user THEN 'superuser' ELSE user_name END)
		FROM apigouv_tokens ORDER BY server, user_name;
	RESET ROLE;
END
$$;
GRANT USAGE ON SCHEMA outils TO PUBLIC;
SELECT * FROM seen_by('regress_agent');
SELECT * FROM seen_by('regress_other');
SELECT * FROM seen_by('regress_owners');
SELECT * FROM seen_by('regress_owner');
SELECT * FROM seen_by('regress_set_only');
SELECT * FROM seen_by('regress_monitor');
SELECT * FROM seen_by('regress_colleague');
SELECT count(*) FROM apigouv_tokens;
-- its own row, without any right on the server, and what pg_user_mappings hides
SET ROLE regress_agent;
SELECT has_server_privilege('entreprise', 'USAGE');
SELECT user_name, kind, ends_at AT TIME ZONE 'UTC', scopes FROM apigouv_tokens WHERE user_name = current_user;
SELECT umoptions FROM pg_user_mappings WHERE usename = current_user;
RESET ROLE;
-- a function of its owner's rights lets others watch
CREATE FUNCTION outils.soon() RETURNS TABLE (server name, user_name text, days_left int) LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS 'SELECT server, user_name, days_left FROM public.apigouv_tokens';
SET ROLE regress_monitor;
SELECT count(*) > 4 FROM soon();
RESET ROLE;
ALTER SERVER entreprise OWNER TO CURRENT_USER;
ALTER SERVER entreprise OPTIONS (ADD base_url :'entreprise_url');

-- ====================================================================
-- A token that has ended: refused without a request, with how to replace it
-- ====================================================================
GRANT USAGE ON SCHEMA entreprise TO PUBLIC;
GRANT SELECT ON entreprise.entreprise_conformite_cotisations_msa TO PUBLIC;
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Dossier 1';
\set msa 'SELECT status FROM entreprise.entreprise_conformite_cotisations_msa WHERE siret = ''00000301200010'''
SELECT jwt('{"exp": 1704067200}') AS ended, jwt_of('30 days -1 minute') AS soon, jwt_of('29 days') AS soon_too,
	jwt_of('30 days 1 minute') AS later, jwt('{"scopes": []}') AS without_end \gset
SET timezone = 'UTC';
ALTER USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (SET token :'ended');
CREATE USER MAPPING FOR PUBLIC SERVER entreprise OPTIONS (token :'ended');
SET ROLE regress_agent;
SELECT * FROM failure(:'msa');
SET ROLE regress_other;
SELECT * FROM failure(:'msa');
RESET ROLE;
\! $sent count

-- ====================================================================
-- Within 30 days of its end: a warning, once per session and token
-- ====================================================================
\set VERBOSITY terse
\! $stub faults '[{"api": "entreprise", "times": -1, "status": 200, "body": {"data": {"status": "up_to_date"}, "links": {}, "meta": {}}}]'
ALTER USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (SET token :'later');
SET ROLE regress_agent;
:msa;
RESET ROLE;
ALTER USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (SET token :'without_end');
SET ROLE regress_agent;
:msa;
RESET ROLE;
ALTER USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (SET token :'soon');
SET ROLE regress_agent;
:msa;
:msa;
RESET ROLE;
-- the same token of another mapping
ALTER USER MAPPING FOR PUBLIC SERVER entreprise OPTIONS (SET token :'soon');
SET ROLE regress_other;
:msa;
RESET ROLE;
-- another token that ends soon, also in the middle of a transaction
BEGIN;
ALTER USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (SET token :'soon_too');
SET LOCAL ROLE regress_agent;
:msa;
COMMIT;
-- the token before: it was warned about
ALTER USER MAPPING FOR regress_agent SERVER entreprise OPTIONS (SET token :'soon');
SET ROLE regress_agent;
:msa;
RESET ROLE;
\! $sent count
\! $stub faults '[]'

-- ====================================================================
-- Another token, in the middle of a transaction: the next statement has it
-- ====================================================================
\set other `python3 test/stub/tokens.py data_inclusion_dora`
ALTER USER MAPPING FOR CURRENT_USER SERVER data_inclusion OPTIONS (SET token :'other');
SET plan_cache_mode = force_generic_plan;
PREPARE soliguide AS SELECT count(*) > 0 FROM data_inclusion.structures WHERE source = 'soliguide';
BEGIN;
EXECUTE soliguide;
DECLARE c CURSOR FOR SELECT source FROM data_inclusion.structures WHERE source = 'soliguide';
FETCH 1 FROM c;
ALTER USER MAPPING FOR CURRENT_USER SERVER data_inclusion OPTIONS (SET token :'data_inclusion');
EXECUTE soliguide;
FETCH 1 FROM c;
-- the first token again: the transaction still has its reply
ALTER USER MAPPING FOR CURRENT_USER SERVER data_inclusion OPTIONS (SET token :'other');
\! $sent count
EXECUTE soliguide;
\! $sent count
COMMIT;
RESET plan_cache_mode;

DROP OWNED BY regress_agent, regress_other, regress_owners, regress_owner, regress_set_only, regress_monitor,
	regress_colleague;
DROP ROLE regress_agent, regress_other, regress_owners, regress_owner, regress_set_only, regress_monitor, regress_colleague;
