\i test/fixtures/regress_setup.sql
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
CREATE TEMP TABLE services AS SELECT * FROM data_inclusion.services;
\pset tuples_only on
\pset format unaligned
\! $sent count > /dev/null

-- ====================================================================
-- marche_inclusion filters by department: a region is its departments
-- ====================================================================
SELECT essai($$region = 'Bretagne'$$);
\! $sent
SELECT essai($$code_region = '53'$$);
\! $sent
SELECT essai($$code_departement = '35'$$);
\! $sent
SELECT essai($$department = '35'$$);
\! $sent
SELECT essai($$region IN ('Bretagne', 'Corse')$$);
\! $sent
SELECT essai($$code_region = ANY ('{53, 94, 53}')$$);
\! $sent
SELECT essai($$code_region = '53' AND region = 'Bretagne' AND kind = 'EI'$$);
\! $sent
SELECT essai($$region = 'Bretagne' AND code_departement = '35'$$);
\! $sent
SELECT essai($$region = 'Bretagne' AND code_departement = '75'$$);
\! $sent
SELECT essai($$code_departement IN ('35', '2B')$$);
\! $sent

-- ====================================================================
-- Corsica, overseas, and what belongs to no region
-- ====================================================================
SELECT essai($$region = 'Corse'$$);
\! $sent
SELECT essai($$code_departement = '20'$$);
\! $sent
SELECT essai($$region = 'La Réunion'$$);
\! $sent
SELECT essai($$code_region = '06'$$);
\! $sent
SELECT essai($$region = 'Collectivités d''outre-mer'$$);
\! $sent
SELECT essai($$code_departement = '987'$$);
\! $sent
SELECT essai($$code_region IS NULL AND department IS NOT NULL$$);
\! $sent

-- ====================================================================
-- Names that are no region's: checked here; codes that are none's: no row
-- ====================================================================
SELECT essai($$region = 'bretagne'$$);
\! $sent
SELECT essai($$region = 'BRETAGNE'$$);
\! $sent
SELECT essai($$region IN ('Bretagne', 'Breizh')$$);
\! $sent
SELECT essai($$code_region = '99'$$);
\! $sent count
SELECT essai($$region = ''$$);
\! $sent count
SELECT essai($$region <> 'Bretagne' AND kind = 'EA'$$);
\! $sent

-- ====================================================================
-- "derived" can be switched off: the rule is the site's, not the API's
-- ====================================================================
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (ADD derived 'false');
SELECT essai($$region = 'Bretagne'$$);
\! $sent
-- code_region is computed from the department here: exact in any case
SELECT essai($$code_region = '53'$$);
\! $sent
ALTER FOREIGN TABLE marche_inclusion.structures OPTIONS (DROP derived);

-- ====================================================================
-- Joins on the region's code or name
-- ====================================================================
SELECT r.code, count(*) = (SELECT count(*) FROM copie WHERE code_region = r.code) FROM (VALUES ('53'), ('94')) AS r (code)
	JOIN marche_inclusion.structures AS s ON s.code_region = r.code GROUP BY r.code ORDER BY 1;
\! $sent
SELECT d.code, count(s.id) = (SELECT count(*) FROM copie WHERE department = d.code) FROM apigouv_departements() AS d
	LEFT JOIN LATERAL (SELECT id FROM marche_inclusion.structures WHERE code_departement = d.code OFFSET 0) AS s ON true
WHERE d.region = 'Bretagne' GROUP BY d.code ORDER BY d.code;
\! $sent

-- ====================================================================
-- data_inclusion takes both codes
-- ====================================================================
SELECT code_region, count(*) = (SELECT count(*) FROM services WHERE code_region = '53') FROM data_inclusion.services WHERE code_region = '53' GROUP BY 1;
\! $sent
SELECT code_departement, count(*) = (SELECT count(*) FROM services WHERE code_departement = '2A') FROM data_inclusion.services WHERE code_departement = '2A' GROUP BY 1;
\! $sent
SELECT code_departement, count(*) = (SELECT count(*) FROM services WHERE code_departement IN ('974', '29')) FROM data_inclusion.services WHERE code_departement IN ('974', '29') GROUP BY GROUPING SETS ((code_departement), ()) HAVING code_departement IS NULL;
\! $sent
-- a commune by its code, and by the beginning of it
SELECT DISTINCT code_commune, code_departement, code_region FROM data_inclusion.services WHERE code_commune = '35238';
\! $sent
SELECT count(*) > 0, count(*) = (SELECT count(*) FROM services WHERE code_insee LIKE '352%') FROM data_inclusion.services WHERE code_insee LIKE '352%';
\! $sent
-- a department that the API does not take as a filter
SELECT count(*) = (SELECT count(*) FROM services WHERE code_departement = '975') FROM data_inclusion.services WHERE code_departement = '975';
\! $sent
-- the shared keys agree with each other in every table
SELECT count(*) FROM services AS s LEFT JOIN apigouv_departements() AS d ON d.code = s.code_departement
WHERE d.code_region IS DISTINCT FROM s.code_region;
SELECT count(*) FROM copie AS s LEFT JOIN apigouv_departements() AS d ON d.code = s.code_departement
WHERE d.code_region IS DISTINCT FROM s.code_region OR d.region IS DISTINCT FROM s.region;

SET apigouv_fdw.enable_pushdown = off;
SELECT count(*), essai(condition) ~ 'right' AS right FROM outils.conditions GROUP BY 2;
