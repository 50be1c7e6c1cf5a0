-- The structures of a region: the API filters by department only, so four requests at most.
SELECT code_departement, kind, count(*)
FROM marche_inclusion.structures
WHERE region = 'Bretagne'
GROUP BY code_departement, kind
ORDER BY count(*) DESC, code_departement, kind
LIMIT 8;
