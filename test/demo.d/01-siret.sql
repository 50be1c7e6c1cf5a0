-- One establishment, by its SIRET: one request.
SELECT id, name, kind, city, region, is_active
FROM marche_inclusion.structures
WHERE siret = '00000301200010';
