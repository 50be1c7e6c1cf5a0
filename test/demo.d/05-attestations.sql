-- Who of the registry is in order with its social contributions? No certificate is not a no.
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Dossier 2026-017';
SELECT e.siret, e.denomination, a.statut, a.a_jour, a.motif, a.date_fin
FROM (SELECT DISTINCT ON (siret) siret, denomination FROM registre.entreprises ORDER BY siret, denomination) AS e
     JOIN entreprise.entreprise_attestations AS a ON a.siret = e.siret
WHERE a.type = 'attestation_vigilance'
ORDER BY a.statut, e.siret;
