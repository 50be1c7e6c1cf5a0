-- Five rows of a table of thousands: one small page.
SELECT id, name, city FROM marche_inclusion.structures LIMIT 5;
