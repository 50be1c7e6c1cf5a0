-- What an administrator prepares for a tool: views with their comments, owned by who holds a token; a role that reads
-- these, the purpose of its requests, what bounds it. To show foreign tables as well, it has a token of its own.
\set ON_ERROR_STOP 1
\set inclusion `"$PYTHON" "$STUB/tokens.py" marche_inclusion`
\set autre `"$PYTHON" "$STUB/tokens.py" marche_inclusion_autre`
\set entreprise `"$PYTHON" "$STUB/tokens.py" entreprise`
CREATE ROLE outil LOGIN PASSWORD :'PASSWORD';
CREATE USER MAPPING FOR outil SERVER marche_inclusion OPTIONS (token :'autre');
CREATE USER MAPPING FOR outil SERVER entreprise OPTIONS (token :'entreprise');
GRANT USAGE ON SCHEMA marche_inclusion, entreprise, registre TO outil;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, entreprise, registre TO outil;
CREATE ROLE titulaire NOLOGIN;
CREATE USER MAPPING FOR titulaire SERVER marche_inclusion OPTIONS (token :'inclusion');
GRANT USAGE ON SCHEMA marche_inclusion TO titulaire;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion TO titulaire;
CREATE SCHEMA vues AUTHORIZATION titulaire;
SET ROLE titulaire;
SELECT count(*) AS views FROM apigouv_create_views('marche_inclusion', 'vues') \gset
RESET ROLE;
GRANT USAGE ON SCHEMA vues TO outil;
GRANT SELECT ON ALL TABLES IN SCHEMA vues TO outil;
ALTER ROLE outil SET apigouv_fdw.missing_key = 'empty';
ALTER ROLE outil SET apigouv_fdw.max_requests_per_query = 50;
ALTER ROLE outil SET apigouv_fdw.context = 'Tableaux de bord';
ALTER ROLE outil SET apigouv_fdw.object = 'Suivi 2026';
