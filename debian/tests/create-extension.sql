-- A failed check is an error: 1 / 0.
CREATE EXTENSION apigouv_fdw;
SELECT 1 / (count(DISTINCT api) >= 5)::int AS apis FROM apigouv_tables WHERE error IS NULL;
CREATE SERVER marche FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'marche_inclusion');
IMPORT FOREIGN SCHEMA marche_inclusion FROM SERVER marche INTO public;
SELECT 1 / (count(*) > 0)::int AS commented FROM pg_foreign_table WHERE obj_description(ftrelid, 'pg_class') <> '';
EXPLAIN (COSTS OFF) SELECT name FROM structures WHERE siret = '00000301200010';
SELECT 1 / (apigouv_siret('000 003 012 00010') = '00000301200010')::int AS siret;
DROP EXTENSION apigouv_fdw CASCADE;
CREATE EXTENSION apigouv_fdw VERSION '1.0';
ALTER EXTENSION apigouv_fdw UPDATE;
SELECT 1 / (e.extversion = a.default_version)::int AS updated
FROM pg_extension AS e JOIN pg_available_extensions AS a ON a.name = e.extname WHERE e.extname = 'apigouv_fdw';
DROP EXTENSION apigouv_fdw;
