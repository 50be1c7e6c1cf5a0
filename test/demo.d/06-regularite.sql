-- Everything that says whether one company is in order; each source asked gives a row.
SET apigouv_fdw.context = 'Marchés publics';
SET apigouv_fdw.object = 'Dossier 2026-017';
SELECT type, fournisseur, statut, a_jour, motif
FROM entreprise.entreprise_attestations
WHERE siret = '00000302000013' AND categorie = 'regularite'
ORDER BY type;
