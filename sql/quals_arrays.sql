\i test/fixtures/regress_setup.sql
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
\! $sent count > /dev/null
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- Overlap: the API keeps the rows that hold one of the values
-- ====================================================================
SELECT essai($$presta_types && '{BUILD}'$$);
\! $sent
SELECT essai($$presta_types && '{BUILD, DISP}'$$);
\! $sent
SELECT essai($$'{BUILD}' && presta_types$$);
\! $sent
SELECT essai($$presta_types && ARRAY['BUILD', NULL]$$);
\! $sent
-- nothing overlaps an empty array: no request
SELECT essai($$presta_types && '{}'$$);
\! $sent
-- a value that the API would refuse is not sent, with none of the others
SELECT essai($$presta_types && '{BUILD, AUTRE}'$$);
\! $sent

-- ====================================================================
-- Containment: one of the values upstream, all of them here
-- ====================================================================
SELECT essai($$presta_types @> '{BUILD, DISP}'$$);
\! $sent
SELECT essai($$'{BUILD, DISP}' <@ presta_types$$);
\! $sent
SELECT essai($$presta_types @> '{BUILD}' AND kind = 'EA'$$);
\! $sent
-- every row holds nothing: not sent
SELECT essai($$presta_types @> '{}' AND kind = 'EA'$$);
\! $sent
-- another operator is not pushed
SELECT essai($$presta_types <@ '{BUILD, DISP}' AND kind = 'EA'$$);
\! $sent
SELECT essai($$presta_types = '{BUILD}' AND kind = 'EA'$$);
\! $sent

-- ====================================================================
-- A value that is an element of the column
-- ====================================================================
SELECT essai($$'BUILD' = ANY (presta_types)$$);
\! $sent
SELECT essai($$'blanchisserie' = ANY (sectors_slugs)$$);
\! $sent
SELECT essai($$'blanchisserie' = ANY (sectors_slugs) AND 'union-des-ateliers' = ANY (networks_slugs)$$);
\! $sent
SELECT essai($$'BUILD' = ALL (presta_types) AND kind = 'EA'$$);
\! $sent
SELECT essai($$'BUILD' <> ANY (presta_types) AND kind = 'EA'$$);
\! $sent

-- ====================================================================
-- Slugs: one request each, since an unknown one has all of them refused
-- ====================================================================
SELECT essai($$sectors_slugs && '{blanchisserie, peinture}'$$);
\! $sent
SELECT essai($$sectors_slugs && '{blanchisserie, secteur-inconnu}'$$);
\! $sent
SELECT essai($$sectors_slugs @> '{blanchisserie, peinture}'$$);
\! $sent
SELECT essai($$sectors_slugs @> '{blanchisserie, secteur-inconnu}'$$);
\! $sent
SELECT essai($$'secteur-inconnu' = ANY (sectors_slugs)$$);
\! $sent
-- one that cannot be a slug is not sent
SELECT essai($$sectors_slugs && '{"blanchisserie&kind=EA"}' AND kind = 'EA'$$);
\! $sent
SELECT essai($$networks_slugs && '{union-des-ateliers}' AND kind IN ('EA', 'ESAT')$$);
\! $sent

-- ====================================================================
-- An opaque key asks the API for its own meaning
-- ====================================================================
SELECT count(*) > 0, count(DISTINCT recherche_public) FROM data_inclusion.services WHERE recherche_public = 'jeunes' AND code_departement = '35';
\! $sent
SELECT count(*), count(recherche_public) FROM data_inclusion.services WHERE code_departement = '35' AND frais = 'gratuit' AND type = 'atelier';
\! $sent
SELECT count(extra) > 0, bool_and(avec_extra) FROM data_inclusion.services WHERE avec_extra AND code_departement = '35';
\! $sent
SELECT count(extra), bool_or(avec_extra) FROM data_inclusion.services WHERE code_departement = '35';
\! $sent
-- unordered arrays come sorted
SELECT bool_and(publics IS NULL OR publics = (SELECT array_agg(p ORDER BY p COLLATE "C") FROM unnest(publics) AS p)) FROM data_inclusion.services WHERE code_departement = '35';
-- "everybody" switches the API's filter off, so it is not sent
SELECT rows > 0, lost, gained FROM proof($$SELECT id FROM data_inclusion.services WHERE publics && '{tous-publics, femmes}' AND code_departement = '35'$$);
\! $sent
SELECT rows > 0, lost, gained FROM proof($$SELECT id FROM data_inclusion.services WHERE publics && '{jeunes, femmes}' AND code_departement = '35'$$);
\! $sent

-- ====================================================================
-- The same rows when optional conditions are kept here
-- ====================================================================
SET apigouv_fdw.enable_pushdown = off;
SELECT count(*), essai(condition) ~ 'right' AS right FROM outils.conditions GROUP BY 2;
