-- How hard it is to recruit, all jobs together, where the companies of the registry are.
SELECT t.lib_territoire, t.code_periode, t.niveau, t.niveau_libelle, count(*) AS entreprises
FROM (SELECT DISTINCT siret, code_departement FROM registre.entreprises WHERE length(siret) = 14) AS e
     JOIN marche_travail.marche_travail_tensions AS t
       ON t.code_type_territoire = 'DEP' AND t.code_territoire = e.code_departement
WHERE t.code_indicateur = 'PERSPECTIVE' AND t.derniere_periode
GROUP BY t.lib_territoire, t.code_periode, t.niveau, t.niveau_libelle
ORDER BY t.niveau DESC, t.lib_territoire;
