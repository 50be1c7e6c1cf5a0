-- What an administrator prepares for a tool: a role with a token of its own, grants on the foreign tables, views with
-- their comments for tools that hide foreign tables, the purpose of its requests, what bounds it.
\set ON_ERROR_STOP 1
\set inclusion `"$PYTHON" "$STUB/tokens.py" marche_inclusion`
\set entreprise `"$PYTHON" "$STUB/tokens.py" entreprise`
CREATE ROLE outil LOGIN PASSWORD :'PASSWORD';
CREATE USER MAPPING FOR outil SERVER marche_inclusion OPTIONS (token :'inclusion');
CREATE USER MAPPING FOR outil SERVER entreprise OPTIONS (token :'entreprise');
GRANT USAGE ON SCHEMA marche_inclusion, entreprise, registre TO outil;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, entreprise, registre TO outil;
CREATE SCHEMA vues;
SELECT count(*) AS views FROM apigouv_create_views('marche_inclusion', 'vues') \gset
GRANT USAGE ON SCHEMA vues TO outil;
GRANT SELECT ON ALL TABLES IN SCHEMA vues TO outil;
ALTER ROLE outil SET apigouv_fdw.missing_key = 'empty';
ALTER ROLE outil SET apigouv_fdw.max_requests_per_query = 50;
ALTER ROLE outil SET apigouv_fdw.context = 'Tableaux de bord';
ALTER ROLE outil SET apigouv_fdw.object = 'Suivi 2026';
