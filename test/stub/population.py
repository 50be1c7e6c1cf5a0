"""Made-up companies, shared by the APIs so that their tables join.

A SIRET here starts with 0, as no real one does, and passes the checksum.  The
first companies are fixed, whatever the seed: README.md lists them, and
entreprise.py gives each of them its outcome.  The others come from the seed; a
larger population begins with the smaller one.
"""

import functools
import random

from territoires import COMMUNES, COMMUNE_BY_CODE, PREFECTURE


def luhn_sum(digits):
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = ord(char) - 48
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total


def luhn_ok(digits):
    return digits.isascii() and digits.isdigit() and luhn_sum(digits) % 10 == 0


def with_check(digits):
    """The digits followed by their check digit."""
    return digits + str(-luhn_sum(digits + "0") % 10)


def siren_of(number):
    return with_check("%08d" % number)


def siret_of(siren, rank):
    """The SIRET of a company's establishment number `rank`."""
    return with_check("%s%04d" % (siren, rank))


def is_siren(text):
    return len(text) == 9 and luhn_ok(text)


def is_siret(text):
    """La Poste's establishments need no checksum."""
    return len(text) == 14 and (luhn_ok(text) or (text.startswith("356000000") and text.isascii() and text.isdigit()))


# Fixed companies: number, name, commune of the head office, outcome at entreprise.
FIXED = [
    (301, "Ateliers du Phare", "35238", "conforme"),
    (302, "Chantier de l'Écluse", "59350", "non_conforme"),
    (303, "Régie de quartier « Les Tilleuls »", "69123", "inconnu"),
    (304, "Le Relais d'Ajaccio", "2A004", "examen"),
    (305, "ESAT des Mimosas", "13055", "indisponible"),
    (306, "Menuiserie Sol & Air", "44109", "expire"),
    (307, "Entr'aide 974", "97411", "partiel"),
    (308, "Interm'Aide Bastia", "2B033", "sans_siege"),
    (309, "Table & Partage", "75056", "redirige"),
    (310, "GEIQ Bâtiment Bretagne", "56260", "deux_sieges"),
    (311, "Traiteur \"Le Détour\"", "67482", "mixte"),
    (312, "Nettoyage Océan Indien", "97608", "listes_vides"),
]
FIXED_SIRENS = {siren_of(number): outcome for number, _, _, outcome in FIXED}
FIRST_NUMBER = 10000

_WORDS = ["Ateliers", "Chantiers", "Régie", "Atelier vert", "Entraide", "Tremplin", "Ressourcerie", "Jardins",
          "Recyclerie", "Fabrique", "Blanchisserie", "Menuiserie", "Table", "Passerelle", "Solidarité", "Éco-logis"]
_ENDS = ["du Phare", "des Deux Rives", "de l'Étang", "du Vieux Moulin", "d'Armor", "des Quatre Vents", "du Bocage",
         "Sainte-Anne", "de la Gare", "« Nouvel Élan »", "& Compagnons", "l'Ouvrage", "Côté Cour", "du Maquis"]


class Company:
    __slots__ = ("siren", "nom", "communes")

    def __init__(self, siren, nom, communes):
        self.siren = siren
        self.nom = nom
        self.communes = communes      # of its establishments; the first is the head office

    def siret(self, rank=1):
        return siret_of(self.siren, rank)


@functools.lru_cache(maxsize=2)
def companies(count, seed):
    """The fixed companies, then made-up ones, `count` in all at least; not to be changed."""
    found = []
    for number, nom, commune, _ in FIXED:
        places = [COMMUNE_BY_CODE.get(commune) or PREFECTURE[commune]]
        if number == 301:
            places += [COMMUNE_BY_CODE["29019"], COMMUNE_BY_CODE["56121"]]
        found.append(Company(siren_of(number), nom, places))
    rng = random.Random(seed * 7919)
    draw = rng.random
    number = FIRST_NUMBER
    while len(found) < count:
        nom = f"{_WORDS[int(draw() * len(_WORDS))]} {_ENDS[int(draw() * len(_ENDS))]}"
        places = [COMMUNES[int(draw() * len(COMMUNES))]]
        while draw() < 0.3 and len(places) < 4:
            places.append(COMMUNES[int(draw() * len(COMMUNES))])
        found.append(Company(siren_of(number), nom, places))
        number += 1
    return found


class Paged:
    """A list that tests may alter between two pages: rows added or taken away at the end.

    `visible` is how many of the rows made (`made`, a few spare ones included) are shown.
    """

    SPARE = 1000

    def start(self, count):
        self.count = count
        self.reset_paged()

    def reset_paged(self):
        self.visible = self.count
        self.pending = []          # [pages to come before, rows more]

    def plan_change(self, add, remove, after):
        if after <= 0:
            self.visible = max(0, min(self.count + self.SPARE, self.visible + add - remove))
        else:
            self.pending.append([after, add - remove])

    def page_given(self):
        """Count one page of the list; changes that were waiting for it happen."""
        for change in list(self.pending):
            change[0] -= 1
            if change[0] <= 0:
                self.pending.remove(change)
                self.plan_change(max(0, change[1]), max(0, -change[1]), 0)
