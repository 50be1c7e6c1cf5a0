"""What test/soak_sessions asks: local copies made in a calm, queries whose right rows the copies give, ways to run them.

A query names its tables as {name}: the foreign ones, or the copies. Columns that differ from one reading to the next
(moments, links) are never shown.
"""

import collections
import random

FOREIGN = {
    "ms": "marche_inclusion.structures", "di": "data_inclusion.structures", "ds": "data_inclusion.services",
    "ev": "entreprise.entreprise_attestation_vigilance", "msa": "entreprise.entreprise_conformite_cotisations_msa",
    "af": "entreprise.entreprise_attestation_fiscale", "at": "entreprise.entreprise_attestations",
    "mt": "marche_travail.marche_travail_tensions",
    "ine": "particulier.particulier_statut_etudiant_ine_admissions",
    "reg": "copie.registre", "lieux": "copie.lieux"}

# At least one answer of each source is a failure for good (an error) for other companies.
SIRETS = ("00000301200010", "00000302000013", "00000303800015", "00000306100017", "00000308700012", "00000311100010")
SIRENS = tuple(siret[:9] for siret in SIRETS)
JOBS, PLACES = ("D1102", "A1203"), (("REG", "53"), ("REG", "94"), ("DEP", "35"), ("DEP", "2A"))
INE = "0770770770K"


def texts(values):
    return ", ".join(f"'{one}'" for one in values)


def copies():
    """Statements that make the copies, one reading for all keys or for each."""
    yield "CREATE SCHEMA copie"
    yield "CREATE TABLE copie.registre (n int PRIMARY KEY, siret text, siren text, id int, dep text)"
    rows = [(place, siret, siret[:9], 1001 + place, ("35", "59", "69", "2A")[place % 4])
            for place, siret in enumerate(SIRETS + SIRETS[:3])]
    yield "INSERT INTO copie.registre VALUES " + ", ".join(f"({n}, '{a}', '{b}', {c}, '{d}')" for n, a, b, c, d in rows)
    yield "INSERT INTO copie.registre VALUES (90, NULL, NULL, NULL, NULL), (91, '', 'x', -1, 'XX'), " \
          "(92, '00000301200011', '000003013', 999999, '35 ')"
    yield "CREATE TABLE copie.lieux (n int, type text, code text)"
    yield "INSERT INTO copie.lieux VALUES " + ", ".join(f"({n}, '{a}', '{b}')" for n, (a, b) in enumerate(PLACES))
    yield "INSERT INTO copie.lieux VALUES (9, NULL, '35')"
    yield "ANALYZE copie.registre"
    for name in ("ms", "di", "ds"):
        yield f"CREATE TABLE copie.{name} AS SELECT * FROM {FOREIGN[name]}"
    for name in ("ev", "msa", "af", "at"):
        yield f"CREATE TABLE copie.{name} AS SELECT * FROM {FOREIGN[name]} WHERE siret IN ({texts(SIRETS)})"
    yield f"CREATE TABLE copie.ine AS SELECT * FROM {FOREIGN['ine']} WHERE ine = '{INE}'"
    yield f"CREATE TABLE copie.mt AS SELECT * FROM {FOREIGN['mt']} WITH NO DATA"
    for kind, code in PLACES:
        yield f"INSERT INTO copie.mt SELECT * FROM {FOREIGN['mt']} WHERE code_type_territoire = '{kind}'" \
              f" AND code_territoire = '{code}' AND code_rome IN ({texts(JOBS)})"
    yield "CREATE TABLE copie.recus (id int, siret text, nom text)"


# (form, text): a form says what is compared. `@` is a value of the registry drawn for the query, `%` a department.
TEMPLATES = (
    ("rows", "SELECT id, siret, kind, name FROM {ms} WHERE siret = '@siret'"),
    ("rows", "SELECT id, siret, kind, department FROM {ms} WHERE siren IN ('@siren', '@siren')"),
    ("rows", "SELECT id, name FROM {ms} WHERE department = '@dep'"),
    ("rows", "SELECT id, name, presta_types FROM {ms} WHERE kind IN ('EI', 'ACI') AND presta_types && ARRAY['BUILD']"),
    ("count", "SELECT count(*) FROM {ms} WHERE department = '@dep'"),
    ("count", "SELECT count(*) FROM {ds}"),
    ("ordered", "SELECT id, siret FROM {ms} ORDER BY id DESC LIMIT @n"),
    ("rows", "SELECT department, count(*), count(DISTINCT kind) FROM {ms} GROUP BY department HAVING count(*) > 1"),
    ("rows", "SELECT id, source, nom FROM {di} WHERE source = 'dora'"),
    ("rows", "SELECT id, structure_id, type, frais FROM {ds} WHERE type = 'formation' OR frais = 'gratuit'"),
    ("rows", "SELECT s.id, v.id, v.type FROM {di} s JOIN {ds} v ON v.structure_id = s.id WHERE s.source = 'dora'"),
    ("rows", "SELECT siren, entity_status_code, date_fin_validite FROM {ev} WHERE siret IN ('@siret', '@siret', '@siret')"),
    ("rows", "SELECT siret, status FROM {msa} WHERE siret = '@siret'"),
    ("rows", "SELECT r.n, a.entity_status_code FROM {reg} r JOIN {ev} a ON a.siret = r.siret WHERE r.n < @n"),
    ("rows", "SELECT r.n, a.status FROM {reg} r LEFT JOIN {msa} a ON a.siret = r.siret"),
    ("rows", "SELECT r.n FROM {reg} r WHERE EXISTS (SELECT FROM {ev} a WHERE a.siret = r.siret AND a.entity_status_code = 'ok')"),
    ("rows", "SELECT r.n FROM {reg} r WHERE NOT EXISTS (SELECT FROM {msa} a WHERE a.siret = r.siret)"),
    ("rows", "SELECT r.n, s.id, a.date_delivrance_attestation FROM {reg} r LEFT JOIN {ms} s ON s.siret = r.siret"
             " LEFT JOIN {af} a ON a.siret = r.siret AND r.n < @n"),
    ("ordered", "SELECT r.n, l.c FROM {reg} r CROSS JOIN LATERAL (SELECT count(*) AS c FROM {ev} a"
                " WHERE a.siret = r.siret) l ORDER BY r.n"),
    ("sources", "SELECT siret, type, statut, coalesce(erreur, '') FROM {at} WHERE siret = '@siret'"),
    ("sources", "SELECT r.siret, a.type, a.statut, coalesce(a.erreur, '') FROM {reg} r JOIN {at} a ON a.siret = r.siret"
                " WHERE r.n IN (0, 2) AND a.type IN ('attestation_vigilance', 'certification_rge')"),
    ("rows", "SELECT code_indicateur, code_periode, niveau FROM {mt} WHERE code_type_territoire = 'DEP'"
             " AND code_territoire IN ('35', '2A') AND code_rome = 'D1102'"),
    ("rows", "SELECT l.n, t.niveau, t.code_periode FROM {lieux} l JOIN {mt} t ON t.code_type_territoire = l.type"
             " AND t.code_territoire = l.code WHERE t.code_rome = 'A1203' AND t.code_indicateur = 'PERSPECTIVE'"),
    ("rows", "SELECT date_debut, est_inscrit, code_commune FROM {ine} WHERE ine = '" + INE + "'"),
    ("rows", "SELECT 'm', siret FROM {ms} WHERE department = '@dep' UNION ALL SELECT 'd', siret FROM {di}"
             " WHERE code_departement = '@dep' UNION ALL SELECT 'e', status FROM {msa} WHERE siret = '@siret'"),
    ("rows", "SELECT siret FROM {ms} INTERSECT SELECT siret FROM {di}"),
    ("rows", "SELECT siret FROM {ms} EXCEPT ALL SELECT siret FROM {di}"),
    ("rows", "SELECT s.kind, sum(1) OVER (PARTITION BY s.department), d.id FROM {ms} s FULL JOIN {di} d USING (siret)"),
    ("rows", "WITH c AS MATERIALIZED (SELECT * FROM {ms} WHERE is_active) SELECT a.id, b.id FROM c a JOIN c b"
             " ON a.siren = b.siren AND a.id < b.id"),
)


def pool(seed, number):
    """Queries: (form, text with {name}); the same seed gives the same."""
    draw = random.Random(seed)
    made = []
    for place in range(number):
        form, text = TEMPLATES[place % len(TEMPLATES)]
        while "@" in text:
            at = text.index("@")
            word = next(one for one in ("siret", "siren", "dep", "n") if text.startswith(one, at + 1))
            value = {"siret": lambda: draw.choice(SIRETS), "siren": lambda: draw.choice(SIRENS),
                     "dep": lambda: draw.choice(("35", "59", "69", "2A")), "n": lambda: str(draw.randint(1, 9))}[word]()
            text = text[:at] + value + text[at + 1 + len(word):]
        made.append((form, text))
    return made


def on_foreign(text):
    return text.format(**FOREIGN)


def on_copies(text):
    return text.format(**{name: f"copie.{name}" for name in FOREIGN} | {"reg": "copie.registre", "lieux": "copie.lieux"})


# -- what is right ---------------------------------------------------------------

def bag(rows):
    return collections.Counter(map(tuple, rows))


def wrong_rows(form, rows, right):
    """What of the rows is not right, or None."""
    if form == "sources":
        return wrong_sources(rows, right)
    if form == "ordered":
        return None if rows == right else f"{rows[:5]} instead of {right[:5]}"
    differ = collections.Counter(bag(rows))
    differ.subtract(bag(right))
    differ = {row: count for row, count in differ.items() if count}
    return f"{len(rows)} rows instead of {len(right)}: {list(differ.items())[:4]}" if differ else None


def wrong_sources(rows, right):
    """A source that failed has a row that says so; the other rows are the right ones, and no source lacks."""
    expected = bag(right)
    if {tuple(row[:2]) for row in rows} != {tuple(row[:2]) for row in right}:
        return f"sources {sorted({row[1] for row in rows})} instead of {sorted({row[1] for row in right})}"
    strange = [row for row in rows if not row[3] and not expected[tuple(row)]]
    return f"rows that are not of the source: {strange[:4]}" if strange else None


def wrong_part(rows, right, count):
    """Rows of a query under LIMIT: as many as there can be, each of the right ones."""
    if len(rows) != min(count, len(right)):
        return f"{len(rows)} rows under LIMIT {count} of {len(right)}"
    strange = bag(rows) - bag(right)
    return f"rows that are not of the query: {list(strange)[:4]}" if strange else None
