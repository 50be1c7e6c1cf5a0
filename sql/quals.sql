\i test/fixtures/regress_setup.sql
CREATE TEMP TABLE copie AS SELECT * FROM marche_inclusion.structures;
\! $sent
\pset tuples_only on
\pset format unaligned

-- ====================================================================
-- Equality of a key: one request, whichever side the column is on
-- ====================================================================
SELECT essai($$siret = '00000301200010'$$);
\! $sent
SELECT essai($$'00000301200010' = siret$$);
\! $sent
SELECT essai($$siret = '00000301200010'::varchar$$);
\! $sent
SELECT essai($$siret::varchar = '00000301200010'$$);
\! $sent
SELECT essai($$id = 1001$$);
\! $sent
SELECT essai($$id = 1001::bigint$$);
\! $sent
SELECT essai($$id = 1001::smallint$$);
\! $sent
SELECT essai($$siret IS NOT DISTINCT FROM '00000301200010'$$);
\! $sent count

-- ====================================================================
-- Several values: a request for each, none twice, nulls left out
-- ====================================================================
SELECT essai($$siret IN ('00000301200010', '00000302000013', '00000303800015')$$);
\! $sent
SELECT essai($$siret = ANY ('{00000301200010, 00000302000013, 00000301200010, NULL}')$$);
\! $sent
SELECT essai($$siret = ANY ('{}')$$);
\! $sent
SELECT essai($$siret = ANY (ARRAY[[ '00000301200010' ], [ '00000302000013' ]])$$);
\! $sent
SELECT essai($$id IN (1001, 1002, 99)$$);
\! $sent
-- an OR of equalities on one column is an IN
SELECT essai($$siret = '00000301200010' OR siret = '00000302000013' OR '00000303800015' = siret$$);
\! $sent
-- of two columns it is not: the whole table, in one request
SELECT essai($$siret = '00000301200010' OR id = 1005$$);
\! $sent
-- both must hold: the single value is asked
SELECT essai($$siret = '00000301200010' AND siret = ANY ('{00000301200010, 00000302000013}')$$);
\! $sent
SELECT essai($$siret = '00000301200010' AND siret = '00000302000013'$$);
\! $sent count
SELECT essai($$siret IN ('00000301200010', '00000302000013') AND kind = 'EI'$$);
\! $sent

-- ====================================================================
-- Stable expressions and arrays from an init plan are evaluated, then sent
-- ====================================================================
SET outils.siret = '00000301200010';
SELECT essai($$siret = current_setting('outils.siret')$$);
\! $sent
SELECT essai($$siret = (SELECT '0000030120' || '0010')$$);
\! $sent
SELECT essai($$siret = ANY (ARRAY(SELECT DISTINCT siret FROM copie WHERE siren = '000003012'))$$);
\! $sent
SELECT essai($$siret = ANY (string_to_array('00000301200010 00000302000013', ' '))$$);
\! $sent
SELECT essai($$siret = (SELECT siret FROM copie WHERE false)$$);
\! $sent

-- ====================================================================
-- Filters of the list: exactly those of the API
-- ====================================================================
SELECT essai($$kind = 'ESAT'$$);
\! $sent
SELECT essai($$kind IN ('ESAT', 'EATT')$$);
\! $sent
SELECT essai($$is_active$$);
\! $sent
SELECT essai($$NOT is_active$$);
\! $sent
SELECT essai($$is_active IS TRUE AND kind = 'EA'$$);
\! $sent
SELECT essai($$is_active IS FALSE$$);
\! $sent
SELECT essai($$is_active = false AND department = '67'$$);
\! $sent
-- null passes these, and the API's filter drops it: not sent
SELECT essai($$is_active IS NOT TRUE$$);
\! $sent
SELECT essai($$is_active IS NOT FALSE AND kind = 'SEP'$$);
\! $sent

-- ====================================================================
-- Ranges: bounds included are exact, others are checked here too
-- ====================================================================
SELECT essai($$updated_at >= '2026-08-17 05:01:20+00'$$);
\! $sent
SELECT essai($$updated_at > '2026-08-17 05:00:42.001001+00' AND updated_at <= '2026-08-17 05:00:42.001004+00'$$);
\! $sent
SELECT essai($$updated_at BETWEEN '2026-08-17 05:00:42.001001+00' AND '2026-08-17 05:00:42.001004+00'$$);
\! $sent
SELECT essai($$'2026-06-15 05:00:18+00' > updated_at$$);
\! $sent
-- a session's time zone changes nothing to what is sent
SET timezone = 'Indian/Reunion';
SELECT essai($$updated_at >= '2026-08-17 09:01:20'$$);
\! $sent
RESET timezone;
-- a date against a timestamptz depends on the session: checked here
SELECT essai($$updated_at >= date '2026-08-17' AND kind = 'EA'$$);
\! $sent
SELECT essai($$updated_at >= '-infinity' AND updated_at < 'infinity' AND kind = 'EA'$$);
\! $sent

-- ====================================================================
-- Prefixes
-- ====================================================================
SELECT essai($$siret LIKE '000003012%'$$);
\! $sent
SELECT essai($$siret LIKE '00000301200%'$$);
\! $sent
SELECT essai($$left(siret, 9) = '000003012'$$);
\! $sent
SELECT essai($$'000003012' = left(siret, 9)$$);
\! $sent
-- shorter than a SIREN, or not a prefix: the list
SELECT essai($$siret LIKE '0000030%'$$);
\! $sent
SELECT essai($$left(siret, 9) = '00000301'$$);
\! $sent

-- ====================================================================
-- The same rows when optional conditions are kept here
-- ====================================================================
SET apigouv_fdw.enable_pushdown = off;
SELECT count(*), essai(condition) ~ 'right' AS right FROM outils.conditions GROUP BY 2;
