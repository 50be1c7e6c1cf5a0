"""Regions, departments and a few communes, for the made-up data."""

import re
import unicodedata

_REGIONS = """
01 Guadeloupe
02 Martinique
03 Guyane
04 La Réunion
06 Mayotte
11 Île-de-France
24 Centre-Val de Loire
27 Bourgogne-Franche-Comté
28 Normandie
32 Hauts-de-France
44 Grand Est
52 Pays de la Loire
53 Bretagne
75 Nouvelle-Aquitaine
76 Occitanie
84 Auvergne-Rhône-Alpes
93 Provence-Alpes-Côte d'Azur
94 Corse
"""

# Department, its region, one of its communes (INSEE code and postal code), its name; the commune's name.
_DEPARTEMENTS = """
01 84 01053 01000 Ain|Bourg-en-Bresse
02 32 02408 02000 Aisne|Laon
03 84 03190 03000 Allier|Moulins
04 93 04070 04000 Alpes-de-Haute-Provence|Digne-les-Bains
05 93 05061 05000 Hautes-Alpes|Gap
06 93 06088 06000 Alpes-Maritimes|Nice
07 84 07186 07000 Ardèche|Privas
08 44 08105 08000 Ardennes|Charleville-Mézières
09 76 09122 09000 Ariège|Foix
10 44 10387 10000 Aube|Troyes
11 76 11069 11000 Aude|Carcassonne
12 76 12202 12000 Aveyron|Rodez
13 93 13055 13001 Bouches-du-Rhône|Marseille
14 28 14118 14000 Calvados|Caen
15 84 15014 15000 Cantal|Aurillac
16 75 16015 16000 Charente|Angoulême
17 75 17300 17000 Charente-Maritime|La Rochelle
18 24 18033 18000 Cher|Bourges
19 75 19272 19000 Corrèze|Tulle
21 27 21231 21000 Côte-d'Or|Dijon
22 53 22278 22000 Côtes-d'Armor|Saint-Brieuc
23 75 23096 23000 Creuse|Guéret
24 75 24322 24000 Dordogne|Périgueux
25 27 25056 25000 Doubs|Besançon
26 84 26362 26000 Drôme|Valence
27 28 27229 27000 Eure|Évreux
28 24 28085 28000 Eure-et-Loir|Chartres
29 53 29232 29000 Finistère|Quimper
30 76 30189 30000 Gard|Nîmes
31 76 31555 31000 Haute-Garonne|Toulouse
32 76 32013 32000 Gers|Auch
33 75 33063 33000 Gironde|Bordeaux
34 76 34172 34000 Hérault|Montpellier
35 53 35238 35000 Ille-et-Vilaine|Rennes
36 24 36044 36000 Indre|Châteauroux
37 24 37261 37000 Indre-et-Loire|Tours
38 84 38185 38000 Isère|Grenoble
39 27 39300 39000 Jura|Lons-le-Saunier
40 75 40192 40000 Landes|Mont-de-Marsan
41 24 41018 41000 Loir-et-Cher|Blois
42 84 42218 42000 Loire|Saint-Étienne
43 84 43157 43000 Haute-Loire|Le Puy-en-Velay
44 52 44109 44000 Loire-Atlantique|Nantes
45 24 45234 45000 Loiret|Orléans
46 76 46042 46000 Lot|Cahors
47 75 47001 47000 Lot-et-Garonne|Agen
48 76 48095 48000 Lozère|Mende
49 52 49007 49000 Maine-et-Loire|Angers
50 28 50502 50000 Manche|Saint-Lô
51 44 51108 51000 Marne|Châlons-en-Champagne
52 44 52121 52000 Haute-Marne|Chaumont
53 52 53130 53000 Mayenne|Laval
54 44 54395 54000 Meurthe-et-Moselle|Nancy
55 44 55029 55000 Meuse|Bar-le-Duc
56 53 56260 56000 Morbihan|Vannes
57 44 57463 57000 Moselle|Metz
58 27 58194 58000 Nièvre|Nevers
59 32 59350 59000 Nord|Lille
60 32 60057 60000 Oise|Beauvais
61 28 61001 61000 Orne|Alençon
62 32 62041 62000 Pas-de-Calais|Arras
63 84 63113 63000 Puy-de-Dôme|Clermont-Ferrand
64 75 64445 64000 Pyrénées-Atlantiques|Pau
65 76 65440 65000 Hautes-Pyrénées|Tarbes
66 76 66136 66000 Pyrénées-Orientales|Perpignan
67 44 67482 67000 Bas-Rhin|Strasbourg
68 44 68066 68000 Haut-Rhin|Colmar
69 84 69123 69001 Rhône|Lyon
70 27 70550 70000 Haute-Saône|Vesoul
71 27 71270 71000 Saône-et-Loire|Mâcon
72 52 72181 72000 Sarthe|Le Mans
73 84 73065 73000 Savoie|Chambéry
74 84 74010 74000 Haute-Savoie|Annecy
75 11 75056 75001 Paris|Paris
76 28 76540 76000 Seine-Maritime|Rouen
77 11 77288 77000 Seine-et-Marne|Melun
78 11 78646 78000 Yvelines|Versailles
79 75 79191 79000 Deux-Sèvres|Niort
80 32 80021 80000 Somme|Amiens
81 76 81004 81000 Tarn|Albi
82 76 82121 82000 Tarn-et-Garonne|Montauban
83 93 83137 83000 Var|Toulon
84 93 84007 84000 Vaucluse|Avignon
85 52 85191 85000 Vendée|La Roche-sur-Yon
86 75 86194 86000 Vienne|Poitiers
87 75 87085 87000 Haute-Vienne|Limoges
88 44 88160 88000 Vosges|Épinal
89 27 89024 89000 Yonne|Auxerre
90 27 90010 90000 Territoire de Belfort|Belfort
91 11 91228 91000 Essonne|Évry-Courcouronnes
92 11 92050 92000 Hauts-de-Seine|Nanterre
93 11 93008 93000 Seine-Saint-Denis|Bobigny
94 11 94028 94000 Val-de-Marne|Créteil
95 11 95127 95000 Val-d'Oise|Cergy
2A 94 2A004 20000 Corse-du-Sud|Ajaccio
2B 94 2B033 20200 Haute-Corse|Bastia
971 01 97105 97100 Guadeloupe|Basse-Terre
972 02 97209 97200 Martinique|Fort-de-France
973 03 97302 97300 Guyane|Cayenne
974 04 97411 97400 La Réunion|Saint-Denis
976 06 97608 97600 Mayotte|Dzaoudzi
"""

# More communes: INSEE code, postal code, name.
_COMMUNES = """
29019 29200 Brest
35288 35400 Saint-Malo
56121 56100 Lorient
22113 22300 Lannion
59512 59100 Roubaix
59183 59140 Dunkerque
62193 62100 Calais
13001 13090 Aix-en-Provence
13004 13200 Arles
2A247 20137 Porto-Vecchio
2B096 20250 Corte
75111 75011 Paris 11e Arrondissement
75120 75020 Paris 20e Arrondissement
93066 93200 Saint-Denis
69266 69100 Villeurbanne
44184 44600 Saint-Nazaire
97120 97110 Pointe-à-Pitre
97416 97410 Saint-Pierre
97611 97600 Mamoudzou
67180 67500 Haguenau
"""

OUTRE_MER = "Collectivités d'outre-mer"
# Collectivities: in no region; known to marche_inclusion only.
COLLECTIVITES = {"975": ("97502", "97500", "Saint-Pierre"), "977": ("97701", "97133", "Saint-Barthélemy"),
                 "978": ("97801", "97150", "Saint-Martin"), "987": ("98735", "98714", "Papeete"),
                 "988": ("98818", "98800", "Nouméa")}


def slugify(text):
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "-")).strip("-")


def plain_upper(text):
    """As France Travail writes labels: upper case, no accent."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().upper()


class Commune:
    __slots__ = ("code", "postal", "nom", "departement")

    def __init__(self, code, postal, nom, departement):
        self.code, self.postal, self.nom, self.departement = code, postal, nom, departement


REGIONS = {line[:2]: line[3:] for line in _REGIONS.strip().splitlines()}
DEPARTEMENTS = {}         # code: name
REGION_OF = {}            # department: region code
COMMUNES = []
PREFECTURE = {}           # department: its first commune
for _line in _DEPARTEMENTS.strip().splitlines():
    _place, _commune = _line.split("|")
    _dep, _region, _insee, _postal, _name = _place.split(" ", 4)
    DEPARTEMENTS[_dep] = _name
    REGION_OF[_dep] = _region
    COMMUNES.append(Commune(_insee, _postal, _commune, _dep))
    PREFECTURE[_dep] = COMMUNES[-1]
for _line in _COMMUNES.strip().splitlines():
    _insee, _postal, _name = _line.split(" ", 2)
    COMMUNES.append(Commune(_insee, _postal, _name, _insee[:3] if _insee.startswith("97") else _insee[:2]))
for _dep, (_insee, _postal, _name) in COLLECTIVITES.items():
    PREFECTURE[_dep] = Commune(_insee, _postal, _name, _dep)
COMMUNE_BY_CODE = {commune.code: commune for commune in COMMUNES}


def region_name(departement):
    """The region's name as marche_inclusion writes it; "" for no department."""
    if departement in REGION_OF:
        return REGIONS[REGION_OF[departement]]
    return OUTRE_MER if departement else ""
