-- Free services of a department, from data·inclusion: both conditions go to the API.
SELECT id, nom, type, publics, commune
FROM data_inclusion.services
WHERE code_departement = '35' AND frais = 'gratuit'
ORDER BY score_qualite DESC, id
LIMIT 5;
