"""The made-up catalogue and reference lists that marche_travail.py serves.

Codes are those of the API, since clients depend on them; labels and figures are our own.  What each indicator accepts
is the catalogue of 2022, plus the codes that appeared since.
"""

TYPES = {
    "Territoire": [("NAT", "Niveau National"), ("REG", "Région"), ("DEP", "Département"), ("BASBMO", "Bassin (BMO)"),
                   ("AGC", "Agence"), ("EPCI", "Etablissement public de coopération intercommunale"), ("COM", "Commune")],
    "Activite": [("CUMUL", "Cumul"), ("MOYENNE", "Moyenne"), ("ROME", "Métier ROME"), ("DOMAINE", "Domaine professionnel"),
                 ("NAF5", "Grand secteur"), ("NAF21", "Section NAF"), ("NAF88", "Division NAF"), ("FAP87", "Famille, 87 postes"),
                 ("FAP225", "Famille, 225 postes"), ("FORM", "Formation"), ("FORM14", "Formation, 14 postes"),
                 ("FORM65", "Formation, 65 postes"), ("ETRE", "Savoir-être"), ("RACINE", "Compétence racine"),
                 ("NOEUD", "Nœud de compétences")],
    "Periode": [("ANNEE", "Année"), ("MOIS", "Mois"), ("TRIMESTRE", "Trimestre")],
    "Nomenclature": [("CATCAND", "Catégorie de candidats"), ("CATCANDxDUREEEMP", "Catégorie de candidats x  durée d'emploi"),
                     ("ORIGINEOFF", "Origine des offres"), ("TYPE_TENSION", "Tension et ce qui l'explique")],
    "Caracteristique": [("GENRE", "Sexe"), ("AGE", "Âge en 3 tranches"), ("AGE_6T", "Âge en 6 tranches"), ("NIVFORM", "Niveau de formation"),
                        ("CHOMANC", "Ancienneté d'inscription"), ("NIVEXP", "Expérience"), ("NIVEXP7T", "Expérience en 7 tranches"),
                        ("CPDE", "Publics particuliers"), ("TYPECTR", "Contrat"), ("SALAIRE", "Salaire"), ("AGC_RAT", "Rattachement")],
}

# Activities that are neither totals nor jobs; the last member is the attribute (a training speciality).
ACTIVITES = [
    ("DOMAINE", "K22", "Nettoyage et propreté industriels", None), ("DOMAINE", "J15", "Soins paramédicaux", None),
    ("NAF5", "BE", "Industrie", None), ("NAF21", "I", "Hébergement et restauration", None), ("NAF21", "Q", "Santé et action sociale", None),
    ("NAF88", "02", "Sylviculture", None), ("NAF88", "56", "Restauration", None), ("NAF88", "88", "Action sociale sans hébergement", None),
    ("FAP87", "T4Z", "Agents d'entretien", None), ("FAP225", "T4Z60", "Agents d'entretien de locaux", None),
    ("FORM", "F042", "Cuisine", "334"), ("FORM14", "08", "Services aux personnes", "33"), ("FORM65", "31", "Hôtellerie, tourisme", "334"),
    ("ETRE", "SE01", "Sens de l'organisation", None), ("RACINE", "R101", "Accueillir du public", None), ("NOEUD", "N7", "Relation client", None),
]

NOMENCLATURES = {
    "CATCAND": [("A", "Catégorie A"), ("ABC", "Catégories A, B et C"), ("ABCDE", "Catégories A à E"), ("ABCDEFG", "Catégories A à G"),
                ("B", "Catégorie B"), ("C", "Catégorie C"), ("D", "Catégorie D"), ("E", "Catégorie E"), ("F", "Catégorie F"),
                ("G", "Catégorie G"), ("CUMUL 12 MOIS", "Somme des 12 derniers mois"), ("MOIS EN COURS", "Dernier mois connu")],
    "CATCANDxDUREEEMP": [("ABCDEFG-SUP1M", "Inscrits -  plus d'un mois"), ("ABCDEFG-TOUTE", "Inscrits -  toutes durées"),
                         ("TOUT-SUP1M", "Tous candidats -  plus d'un mois"), ("TOUT-TOUTE", "Tous candidats -  toutes durées")],
    "ORIGINEOFF": [("PE", "Offres recueillies"), ("PE-CUMUL12MOIS", "Offres recueillies, 12 mois"), ("TOFF", "Offres de toute origine"),
                   ("TOFF-CUMUL12MOIS", "Offres de toute origine, 12 mois")],
    "TYPE_TENSION": [("ATTR_SALARIALE", "Attractivité salariale"), ("COND_TRAVAIL", "Conditions de travail"),
                     ("DUR_EMPL", "Durabilité de l'emploi"), ("INT_EMB", "Intensité d'embauche"),
                     ("MAIN_OEUVRE", "Manque de main d'oeuvre"), ("MISMATCH_GEO", "Inadéquation géographique"),
                     ("PERSPECTIVE", "Indicateur principal tension"), ("SPECIF_FORM_EMPL", "Lien formation - métier")],
}

# Share of a whole that each code holds; DE_1 has more codes now than before the reform (F, G, ABCDEFG).
WEIGHTS = {
    "DE_1": {"A": .55, "ABC": .75, "ABCDE": .81, "ABCDEFG": 1, "B": .08, "C": .12, "D": .02, "E": .04, "F": .07, "G": .12},
    "DE_5": {"CUMUL 12 MOIS": 1, "MOIS EN COURS": .09},
    "OFF_1": {"PE": .12, "PE-CUMUL12MOIS": .45, "TOFF": .28, "TOFF-CUMUL12MOIS": 1},
    "EMB_1": {"ABCDEFG-SUP1M": .19, "ABCDEFG-TOUTE": .46, "TOUT-SUP1M": .41, "TOUT-TOUTE": 1},
}
SINCE_REFORM = ("ABCDEFG", "F", "G")

CARACTERISTIQUES = {
    "GENRE": [("H", "Hommes"), ("F", "Femmes")],
    "AGE": [("AGE1", "De 15 à 24 ans"), ("AGE2", "De 25 à 49 ans"), ("AGE3", "À partir de 50 ans")],
    "AGE_6T": [(f"AGE{n}", f"Tranche d'âge {n}") for n in range(1, 7)],
    "NIVFORM": [("SANS", "< CAP"), ("CAPBEP", "CAP ou BEP"), ("BAC", "Bac"), ("BAC2", "Bac + 2"), ("BAC3EP", ">= Bac + 3")],
    "CHOMANC": [(f"CHM{n}", f"Ancienneté {n}") for n in range(1, 6)],
    "NIVEXP": [(f"EXP{n}", f"Expérience {n}") for n in range(1, 6)],
    "NIVEXP7T": [(f"exp{n}", f"Expérience {n} sur 7") for n in range(2, 8)],
    "CPDE": [("JEUNE", "Moins de 26 ans"), ("SENIOR", "Séniors"), ("RSA", "Allocataires du RSA"), ("QPV", "Quartiers de la politique de la ville")],
    "TYPECTR": [("CDI", "CDI"), ("CDD1", "CDD  court"), ("CDD2", "CDD moyen"), ("CDD3", "CDD long"), ("AUTR", "Autre (intérim, aidé, apprentissage)")],
    "SALAIRE": [(f"SAL_TR{n}", f"Tranche de salaire {n}") for n in range(1, 7)] + [("SAL_D10", "Premier décile"), ("SAL_D90", "Dernier décile")],
    "AGC_RAT": [("AGC_COM", "Agence de la commune"), ("AGC_BASS", "Agence du bassin")],
}
OLD_LABELS = {"H": "Homme", "F": "Femme"}

ALL_BUT_COM = ("NAT", "REG", "DEP", "BASBMO", "AGC", "EPCI")
SKILLS = ("ETRE", "RACINE", "NOEUD")
SECTORS = ("NAF88", "NAF21", "NAF5")


class Indicateur:
    """One indicator: how it is called, what it accepts and what it counts.

    crossings: (territory types, activity types, period type, depth) that are published, each a full product.
    """

    def __init__(self, code, path, famille, libelle, nomenclature, caracteristiques, newest, crossings):
        self.code, self.path, self.famille, self.libelle = code, path, famille, libelle
        self.nomenclature, self.caracteristiques, self.newest, self.crossings = nomenclature, caracteristiques, newest, crossings

    def codes(self):
        """Its nomenclature's codes with their labels, in ascending order; one without code when it has none."""
        known = WEIGHTS.get(self.code)
        if self.nomenclature is None:
            return [(None, None)]
        return [pair for pair in sorted(NOMENCLATURES[self.nomenclature]) if known is None or pair[0] in known]

    def kinds(self, place):
        """Types of territories (0), activities (1) or periods (2) of any crossing, in order."""
        return list(dict.fromkeys(kind for crossing in self.crossings
                                  for kind in ((crossing[place],) if place == 2 else crossing[place])))

    def depth(self, territoire, activite, periode):
        """How many periods a combination has; 0: it is not published."""
        return max((depth for territoires, activites, kind, depth in self.crossings
                    if territoire in territoires and activite in activites and kind == periode), default=0)


INDICATEURS = [
    Indicateur("DE_1", "stat-demandeurs", "DEMANDEURS", "Demandeurs d'emploi par catégorie", "CATCAND",
               ("GENRE", "AGE", "NIVFORM", "CHOMANC", "NIVEXP", "CPDE"), "2025T4",
               [(ALL_BUT_COM, ("CUMUL", "ROME") + SKILLS, "TRIMESTRE", 12)]),
    Indicateur("DE_5", "stat-demandeurs-entrant", "DEMANDEURS", "Nouvelles inscriptions", "CATCAND",
               ("AGE_6T", "SALAIRE", "NIVEXP7T"), "2025T4",
               [(ALL_BUT_COM, ("CUMUL", "ROME"), "TRIMESTRE", 12), (("AGC", "COM"), ("DOMAINE", "ROME"), "MOIS", 8)]),
    Indicateur("OFF_1", "stat-offres", "OFFRES", "Offres d'emploi par origine", "ORIGINEOFF",
               ("TYPECTR", "NIVFORM", "SALAIRE", "NIVEXP7T", "AGC_RAT"), "2025T4",
               [(ALL_BUT_COM + ("COM",), ("CUMUL", "ROME", "DOMAINE") + SECTORS + SKILLS, "TRIMESTRE", 12),
                (ALL_BUT_COM + ("COM",), ("CUMUL", "ROME", "DOMAINE") + SECTORS + SKILLS, "MOIS", 24)]),
    Indicateur("EMB_1", "stat-embauches", "EMBAUCHES", "Embauches par type de candidat et durée d'emploi", "CATCANDxDUREEEMP",
               ("GENRE", "AGE", "TYPECTR", "NIVFORM"), "2025T3",
               [(ALL_BUT_COM, ("CUMUL", "ROME") + SECTORS, "TRIMESTRE", 12)]),
    Indicateur("PERSP_2", "stat-perspective-employeur", "PERSPECTIVES", "PERSPECTIVES Employeur", "TYPE_TENSION", (), "2024",
               [(("NAT", "REG", "DEP", "BASBMO"), ("CUMUL", "ROME"), "ANNEE", 6)]),
    Indicateur("DYN_1", "stat-dynamique-emploi", "DYNEMPLOI", "DYNEMPLOI", None, (), "2025T4",
               [(("NAT", "REG", "DEP", "BASBMO", "EPCI"), ("MOYENNE",), "TRIMESTRE", 17)]),
]
BY_PATH = {one.path: one for one in INDICATEURS}

MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")
LAST_FUTURE_YEAR = 2030


def make_periods():
    """Period type to (code, label), newest first, future ones included.  The code of a month is a guess."""
    years = range(LAST_FUTURE_YEAR, 2008, -1)
    return {
        "ANNEE": [(f"{year}", f"ANNEE {year}") for year in years],
        "TRIMESTRE": [(f"{year}T{n}", f"{n}{'er' if n == 1 else 'ème'} trimestre {year}")
                      for year in years if year > 2009 for n in (4, 3, 2, 1)],
        "MOIS": [(f"{year}M{n:02}", f"{MONTHS[n - 1]} {year}") for year in years if year > 2020 for n in range(12, 0, -1)],
    }


PERIODES = make_periods()


def published(indicator, kind, depth):
    """The periods of a type that an indicator has, newest first: (code, label)."""
    newest = indicator.newest
    if kind == "MOIS":
        newest = f"{newest[:4]}M{3 * int(newest[-1]):02}"
    start = next(place for place, (code, _) in enumerate(PERIODES[kind]) if code == newest)
    return PERIODES[kind][start:start + depth]


def crossings_of(indicator):
    """Rows of the catalogue: every published combination of types, with each code."""
    kind = indicator.nomenclature or "sans objet"
    return [{"codeTypeTerritoire": territoire, "codeTypeActivite": activite, "codeTypePeriode": periode,
             "codeTypeNomenclature": kind, "codeNomenclature": code or "sans objet"}
            for territoires, activites, periode, _ in indicator.crossings
            for territoire in territoires for activite in activites for code, _ in indicator.codes()]
