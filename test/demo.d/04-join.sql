-- The local registry, 20 rows holding 12 distinct SIRETs, beside the structures: twelve requests at most.
SELECT e.siret, min(e.denomination) AS denomination, count(*) AS lignes,
       string_agg(DISTINCT s.kind, ', ' ORDER BY s.kind) AS kinds, bool_or(s.is_active) AS active
FROM registre.entreprises AS e JOIN marche_inclusion.structures AS s ON s.siret = e.siret
GROUP BY e.siret
ORDER BY e.siret;
