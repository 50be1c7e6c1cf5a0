-- The jobs of one region, the hardest to fill first.
SELECT t.code_rome, m.libelle_activite, t.niveau, t.indice
FROM marche_travail.marche_travail_activites AS m
     JOIN marche_travail.marche_travail_tensions AS t
       ON t.code_type_activite = m.code_type_activite AND t.code_activite = m.code_activite
WHERE m.code_type_activite = 'ROME' AND t.code_type_territoire = 'REG' AND t.code_territoire = '53'
  AND t.code_indicateur = 'PERSPECTIVE' AND t.derniere_periode
ORDER BY t.niveau DESC, t.indice DESC NULLS LAST, t.code_rome
LIMIT 10;
