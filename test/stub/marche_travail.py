"""API Marché du travail of France Travail, played: token, the seven indicators, every reference list.

Traps kept: XML unless JSON is asked for by name; several faces of "no data"; the level of the tension and of the
dynamics under either of two names; fields without value left out; the salaries' other envelope.
What the catalogue, the lists and the codes are is in marche_travail_data.py.
"""

import hashlib
import json
import random
import time
import urllib.parse
from xml.sax.saxutils import escape

from httpd import Response, dumps
from marche_travail_data import (ACTIVITES, BY_PATH, CARACTERISTIQUES, INDICATEURS, NOMENCLATURES, OLD_LABELS, PERIODES,
                                 SINCE_REFORM, TYPES, WEIGHTS, crossings_of, published)
from territoires import COMMUNES, DEPARTEMENTS, REGIONS, REGION_OF, plain_upper
from tokens import CLIENTS, TRAVAIL_SCOPES

BASE = "/partenaire/stats-offres-demandes-emploi/v1"
PER_SECOND = 10
NO_STORE = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
BASSINS = [("1126", "PARIS", "11"), ("5312", "RENNES", "53"), ("3221", "LILLE", "32"), ("9404", "BASTIA", "94")]
# Territory type, code, name, region.
OTHERS = [("EPCI", "243500139", "RENNES METROPOLE", "53"), ("EPCI", "200046977", "METROPOLE DE LYON", "84"),
          ("AGC", "35012", "RENNES EXEMPLE", "53"), ("AGC", "2A001", "AJACCIO EXEMPLE", "94")]
METIERS = """A1101 Conducteur / Conductrice d'engins agricoles
A1201 Bûcheron / Bûcheronne
A1203 Agent / Agente d'entretien des espaces verts
A1204 Garde de parc naturel
A1401 Aide agricole de production fruitière ou viticole
A1416 Maraîcher / Maraîchère
B1803 Couturier / Couturière d'atelier
B1806 Tapissier / Tapissière d'ameublement
C1401 Gestionnaire  en banque et assurance
D1102 Boulanger / Boulangère
D1103 Charcutier-traiteur / Charcutière-traiteuse
D1106 Vendeur / Vendeuse en alimentation
D1211 Vendeur / Vendeuse en articles de sport
D1507 Employé / Employée de mise en rayon
E1101 Animateur / Animatrice de site web
E1308 Agent / Agente d'imprimerie
F1501 Monteur / Monteuse de structures bois
F1602 Électricien / Électricienne bâtiment
F1603 Plombier / Plombière chauffagiste
F1606 Peintre en bâtiment
F1607 Menuisier / Menuisière
F1702 Ouvrier / Ouvrière de la voirie
F1703 Maçon / Maçonne
F1704 Manœuvre du gros œuvre
G1203 Animateur / Animatrice de loisirs
G1501 Valet / Femme de chambre
G1602 Cuisinier / Cuisinière
G1603 Commis / Commise de restaurant
G1605 Plongeur / Plongeuse en restauration
G1803 Serveur / Serveuse
H1303 Technicien / Technicienne hygiène et sécurité
H2102 Conducteur / Conductrice de machine alimentaire
H2206 Menuisier / Menuisière d'agencement
H2402 Couturier / Couturière en confection
H2913 Soudeur / Soudeuse
H3302 Opérateur / Opératrice de tri et d'emballage
I1203 Agent / Agente de maintenance du bâtiment
I1304 Technicien / Technicienne de maintenance
I1604 Mécanicien / Mécanicienne automobile
J1301 Agent / Agente de service hospitalier
J1501 Aide-soignant / Aide-soignante
J1506 Infirmier / Infirmière
K1206 Animateur / Animatrice socioculturel
K1207 Éducateur / Éducatrice spécialisé
K1301 Accompagnant / Accompagnante médico-social
K1302 Assistant / Assistante auprès d'adultes
K1303 Assistant maternel / Assistante maternelle
K1304 Aide à domicile
K1801 Conseiller / Conseillère en emploi et insertion
K2204 Agent / Agente de nettoyage de locaux
K2304 Agent / Agente de tri des déchets
L1304 Caméraman / Camérawoman
L1401 Sportif professionnel / Sportive professionnelle
M1203 Comptable
M1601 Agent / Agente d'accueil
M1607 Secrétaire
M1801 Administrateur / Administratrice de systèmes
M1805 Développeur / Développeuse informatique
N1101 Conducteur / Conductrice d'engins de manutention
N1103 Magasinier / Magasinière
N1105 Manutentionnaire
N4101 Conducteur / Conductrice de poids lourd
N4105 Chauffeur-livreur / Chauffeuse-livreuse
N4110 Agent / Agente de transport de personnes"""
MODERN, LEGACY = "2026-03-09T11:54:30.000+01:00", "2023-03-15T19:03:02.000+01:00"
REQUIRED = ("codeTypeTerritoire", "codeTerritoire", "codeTypeActivite", "codeActivite", "codeTypePeriode")
NOT_VALID = "Les paramètres en entrée ne sont pas valides"
# Territories without values, and how the API says so.
SILENT = {("REG", "06"): "absent", ("DEP", "976"): "absent", ("DEP", "977"): "204", ("DEP", "978"): "204",
          ("REG", "03"): "empty", ("DEP", "973"): "empty"}
SILENT_NAT = ("NAT", "DOM")
NO_LIST = ("[FiltreErreurSldng] Erreur lors de l'appel de l'Api REST. Status code = 500, message = "
           "Le serveur n'a pas pu trouver la liste")


def draw(*words):
    """A number from words, the same in every run."""
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:6], "big")


def to_xml(name, value):
    if isinstance(value, dict):
        return f"<{name}>" + "".join(to_xml(key, item) for key, item in value.items()) + f"</{name}>"
    if isinstance(value, list):
        return "".join(to_xml(name, item) for item in value)
    if isinstance(value, bool):
        value = "true" if value else "false"
    return f"<{name}>{escape(str(value))}</{name}>"


class MarcheTravail:
    def __init__(self, seed, strict, metiers, factor, exchanges):
        self.control = None
        self.exchanges = exchanges
        self.strict = strict
        self.per_second = PER_SECOND * factor
        self.seed = str(seed)
        self.jobs = dict(line.split(" ", 1) for line in METIERS.splitlines())
        rng = random.Random(seed)
        while len(self.jobs) < len(METIERS.splitlines()) + metiers:
            code = f"{rng.choice('ABCDEFGHIJKLMN')}{rng.randint(5000, 9999)}"
            self.jobs.setdefault(code, f"Métier exemple {code}")
        self.activities = self.make_activities()
        self.territories = self.make_territories()
        self.issued = {}           # access token to (client name, scopes, end)
        self.last_token = 0
        self.reset()

    def reset(self):
        self.calls = {}            # client name to the times of its last calls

    @staticmethod
    def make_territories():
        found = {("NAT", code): {"libelle": name} for code, name in (("FR", "France"), ("FMO", "France métropolitaine"), ("DOM", "DOM"))}
        for code, name in REGIONS.items():
            found["REG", code] = {"libelle": plain_upper(name), "parent": ("NAT", "DOM" if code < "10" else "FMO")}
        for code, name in sorted(list(DEPARTEMENTS.items()) + [("977", "Saint-Barthélemy"), ("978", "Saint-Martin")]):
            found["DEP", code] = {"libelle": plain_upper(name), "parent": ("REG", REGION_OF.get(code, "01"))}
        for code, name, region in BASSINS:
            found["BASBMO", code] = {"libelle": name, "parent": ("REG", region)}
        for commune in COMMUNES:
            found["COM", commune.code] = {"libelle": plain_upper(commune.nom), "parent": ("DEP", commune.departement)}
        for kind, code, name, region in OTHERS:
            found[kind, code] = {"libelle": name, "parent": ("REG", region)}
        return found

    def territory(self, key):
        facts = self.territories[key]
        row = {"datMaj": "2023-02-25T17:35:46.000+01:00", "codeTypeTerritoire": key[0], "codeTerritoire": key[1],
               "libelleTerritoire": facts["libelle"]}
        if "parent" in facts:
            row["codeTypeTerritoireParent"], row["codeTerritoireParent"] = facts["parent"]
        return row

    def make_activities(self):
        """(type, code) to (label, attribute), in the order of the list."""
        found = {("CUMUL", "CUMUL"): ("Valeur cumulée toutes activités", None), ("MOYENNE", "MOYENNE"): ("Valeur moyenne toutes activités", None)}
        found.update({("ROME", job): (self.jobs[job], None) for job in sorted(self.jobs)})
        found.update({(kind, code): (label, attribute) for kind, code, label, attribute in ACTIVITES})
        return found

    def activity(self, key):
        label, attribute = self.activities[key]
        row = {"datMaj": MODERN, "codeTypeActivite": key[0], "codeActivite": key[1], "libelleActivite": label}
        return row if attribute is None else row | {"attribut": attribute}

    # -- token ------------------------------------------------------------

    def give_token(self, request):
        def refuse(error, text):
            return Response(400, dumps({"error": error, "error_description": text}), "application/json;charset=UTF-8", NO_STORE)
        if request.method != "POST":
            return Response(405, b"", "application/json", [("Allow", "POST")])
        if request.last("realm") != "/partenaire":
            return refuse("invalid_request", "Realm not found")
        if not request.header("content-type").startswith("application/x-www-form-urlencoded"):
            return refuse("invalid_request", "Content-Type must be application/x-www-form-urlencoded")
        form = {name: values[-1] for name, values in
                urllib.parse.parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True).items()}
        if form.get("grant_type") != "client_credentials":
            return refuse("unsupported_grant_type", f"Grant type is not supported: {form.get('grant_type', '')}")
        client = next((name for name, facts in CLIENTS.items()
                       if (facts[0], facts[1]) == (form.get("client_id"), form.get("client_secret"))), None)
        if client is None:
            return refuse("invalid_client", "Client authentication failed")
        scopes = form.get("scope", "").split()
        wrong = [scope for scope in scopes if scope not in CLIENTS[client][2]]
        if wrong or not scopes:
            return refuse("invalid_scope", f"Unknown/invalid scope(s): [{', '.join(wrong)}]")
        self.last_token += 1
        lifetime = self.control.options["token_lifetime_s"]
        token = "acces-" + hashlib.sha256(f"{self.seed}/{client}/{self.last_token}".encode()).hexdigest()[:24]
        self.issued[token] = (client, scopes, time.monotonic() + lifetime)
        return Response(200, dumps({"scope": " ".join(scopes), "expires_in": lifetime, "token_type": "Bearer", "access_token": token}),
                        "application/json;charset=UTF-8", NO_STORE)

    def whose(self, request):
        """The name of the client that a request's access token was given to."""
        return self.issued.get(request.header("authorization").partition(" ")[2], ("",))[0]

    def refusal(self, request):
        """The reply to a call that may not pass, or None and the client's rate headers."""
        if self.control.options["expire_tokens"]:
            self.control.options["expire_tokens"] = False
            self.issued.clear()
        scheme, _, token = request.header("authorization").partition(" ")
        facts = self.issued.get(token) if scheme.lower() == "bearer" else None
        if facts is None or facts[2] <= time.monotonic():
            return Response(401, b"", "application/json", NO_STORE), []
        client, scopes, _ = facts
        if set(TRAVAIL_SCOPES) - set(scopes) or not CLIENTS[client][3]:
            return Response(403, b""), []
        now = time.monotonic()
        recent = [moment for moment in self.calls.get(client, []) if moment > now - 1]
        self.calls[client] = recent + [now]
        rate = [("X-Ratelimit-Burst-Capacity-Clientidlimiter", self.per_second),
                ("X-Ratelimit-Remaining-Clientidlimiter", max(0, self.per_second - len(recent) - 1))]
        if self.strict and len(recent) >= self.per_second:
            self.calls[client] = recent
            return Response(429, b"", "text/plain", [("Retry-After", 1)] + NO_STORE + rate), rate
        return None, rate

    # -- requests ---------------------------------------------------------

    def answer(self, path, request):
        if path == "/connexion/oauth2/access_token":
            return self.give_token(request)
        if not path.startswith(BASE + "/"):
            return Response(404, b"")
        refusal, rate = self.refusal(request)
        if refusal is not None:
            return refusal
        inside = path[len(BASE):]
        kind, _, rest = inside.lstrip("/").partition("/")
        if kind == "indicateur" and rest in BY_PATH:
            result = self.indicator(BY_PATH[rest], request)
        elif kind == "indicateur" and rest.startswith("salaire-rome-fap/"):
            result = self.salary(rest.split("/")[1:], request)
        elif inside.startswith("/referentiel/") and request.method == "GET":
            result = self.reference(inside[len("/referentiel/"):].split("/"), request)
        else:
            result = Response(404, b"")
        if isinstance(result, Response) and result.status == 404:
            result = self.from_files(path, request) or Response(404, b"", None)
        if isinstance(result, Response):
            result.headers += rate
            return result
        accept = [one.split(";")[0].strip().lower() for one in request.header("accept").split(",")]
        if "application/json" in accept:
            return Response(200, dumps(result), "application/json;charset=UTF-8", rate)
        root = "IndicateurRetour" if inside.startswith("/indicateur/") else "ReferentielRetour"
        xml = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + to_xml(root, result)
        return Response(200, xml.encode(), "application/xml;charset=UTF-8", rate)

    def from_files(self, path, request):
        """What the files of exchanges say; 204 where they know the address only, None for another."""
        if self.exchanges.route("marche_travail", request.method, path) is None:
            return None
        try:
            asked = json.loads(request.body) if request.method == "POST" else request.query
        except ValueError:
            return self.error(400, "Les paramètres en entrée ne sont pas valides")
        exchange = self.exchanges.find("marche_travail", request.method, path, asked)
        if exchange is None:
            return Response(204, b"")
        body = b"" if exchange.body is None else dumps(exchange.body)
        return exchange.body if exchange.status == 200 and body else Response(exchange.status, body, "application/json")

    @staticmethod
    def error(status, message):
        return Response(status, dumps({"message": message, "codeHttp": status}), "application/json")

    def unavailable(self, what):
        return self.error(400, "[FiltreErreurSldng] Erreur lors de l'appel de l'Api REST. Status code = 400, message = "
                               f"{what} n'est pas disponible pour cet indicateur")

    def no_data(self, kind, code, activity, job):
        """Which face "no data" has for a territory and an activity; None when there are data."""
        face = SILENT.get((kind, code))
        if (kind, code) not in self.territories or (activity, job) not in self.activities:
            return "500"
        if face is None and kind != "NAT" and activity == "ROME" and draw(kind, code, job) % 13 == 0:
            return "500"
        return "absent" if (kind, code) == SILENT_NAT else face

    def silence(self, face):
        """The reply of a face of "no data", but for that of an absent list."""
        if face == "500":
            return self.error(500, NO_LIST)
        return Response(204 if face == "204" else 200, b"")

    @staticmethod
    def read_body(request, required):
        """The JSON body of an indicator's call, None when a member lacks or has another type."""
        try:
            body = json.loads(request.body)
        except ValueError:
            return None
        lists = ("listeCodePeriode", "listeCodeNomenclature", "listeCaracteristiques")
        if (not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in required)
                or not all(isinstance(body.get(name, []), list) for name in lists)
                or not all(isinstance(body.get(name, False), bool) for name in ("dernierePeriode", "sansCaracteristiques"))):
            return None
        for one in body.get("listeCaracteristiques", []):
            if not isinstance(one, dict) or {"codeTypeCaracteristique", "codeCaracteristique", "libelleCaracteristique"} - set(one):
                return None
        return body

    def indicator(self, indicator, request):
        """One of the six indicators asked by POST: an object, or the reply that says there is none."""
        if request.method != "POST":
            return Response(405, b"", None, [("Allow", "POST")])
        if not request.header("content-type").startswith("application/json"):
            return self.error(415, "Le type du contenu n'est pas pris en charge")
        body = self.read_body(request, REQUIRED + (("codeTypeNomenclature",) if indicator.nomenclature else ()))
        if body is None:
            return self.error(400, NOT_VALID)
        kind, code, activity, job, period = (body[name] for name in REQUIRED)
        for name, place, what in (("codeTypeTerritoire", 0, "Le type de territoire"), ("codeTypeActivite", 1, "Le type d'activité"),
                                  ("codeTypePeriode", 2, "Le type de période")):
            if body[name] not in indicator.kinds(place):
                return self.unavailable(f"{what} {body[name]}")
        if indicator.nomenclature and body["codeTypeNomenclature"] != indicator.nomenclature:
            return self.unavailable(f"Le type de nomenclature {body['codeTypeNomenclature']}")
        depth = indicator.depth(kind, activity, period)
        if depth == 0:
            return self.unavailable(f"Le croisement {kind}, {activity}, {period}")
        face = self.no_data(kind, code, activity, job)
        if face not in (None, "absent"):
            return self.silence(face)
        reply = {"datMaj": "2026-03-11T07:29:22.000+01:00", "codeIndicateur": indicator.code, "codeFamille": indicator.famille,
                 "libIndicateur": indicator.libelle}
        rows = [] if face == "absent" else self.rows(indicator, body, published(indicator, period, depth))
        return reply | self.named("listeValeursParPeriode", rows)

    def rows(self, indicator, body, periods):
        """The rows of an indicator, newest period first, as the body narrows them."""
        if body.get("dernierePeriode"):
            periods = periods[:1]
        elif "listeCodePeriode" in body:
            periods = [period for period in periods if period[0] in body["listeCodePeriode"]]
        kind, code, activity, job, period_kind = (body[name] for name in REQUIRED)
        legacy = kind == "BASBMO" or (indicator.code == "PERSP_2" and job[0] == "L")
        place, work = self.territories[kind, code]["libelle"], self.activities[activity, job][0]
        rows = []
        for period, period_label in periods:
            for nomenclature, label in indicator.codes():
                if "listeCodeNomenclature" in body and nomenclature is not None and nomenclature not in body["listeCodeNomenclature"]:
                    continue
                if legacy and nomenclature in SINCE_REFORM:
                    continue
                if nomenclature == "ATTR_SALARIALE" and (legacy or draw("attr", job) % 11 == 0):
                    continue
                row = {"datMaj": LEGACY if legacy else MODERN, "codeTypeTerritoire": kind, "codeTerritoire": code,
                       "libTerritoire": place, "codeTypeActivite": activity, "codeActivite": job, "libActivite": work}
                if nomenclature is not None:
                    row |= {"codeNomenclature": nomenclature, "libNomenclature": label}
                row |= {"codeTypePeriode": period_kind, "codePeriode": period, "libPeriode": period_label}
                row |= self.values(indicator, row, legacy)
                if indicator.caracteristiques and not body.get("sansCaracteristiques"):
                    row |= self.named("listeValeurParCaract", self.breakdown(indicator, row, legacy, body.get("listeCaracteristiques")))
                rows.append(row)
        return rows

    def values(self, indicator, row, legacy):
        """The values of a row: a level, with its index where the tension has one, or a count and its share."""
        key = [row["codeTypeTerritoire"], row["codeTerritoire"], row["codeActivite"], row["codePeriode"]]
        nomenclature = row.get("codeNomenclature")
        if indicator.code == "PERSP_2":
            value = draw(self.seed, *key, nomenclature)
            if legacy:
                return {"valeurPrincipaleNom": str(1 + value % 5)}
            return {"valeurPrincipaleDecimale": round((value % 900 - 250) / 100, 2), "valeurPrincipaleNombre": 1 + value % 5}
        if indicator.code == "DYN_1":
            level = 1 + draw(self.seed, "DYN_1", *key) % 5
            return {"valeurPrincipaleNombre": level} if row["codeTypeTerritoire"] == "NAT" else {"valeurPrincipaleNom": str(level)}
        scale = {"NAT": 60000, "REG": 5000, "DEP": 700}.get(row["codeTypeTerritoire"], 150) * (60 if row["codeTypeActivite"] != "ROME" else 1)
        whole = draw(self.seed, indicator.code, *key) % scale
        weight = WEIGHTS[indicator.code][nomenclature]
        if indicator.code == "DE_1":
            share = 100 * weight / (WEIGHTS["DE_1"]["ABCDE"] if legacy else 1)
        else:
            share = draw(self.seed, indicator.code, row["codeActivite"]) % 4
        return {"valeurPrincipaleNombre": 10 * round(whole * weight / 10), "valeurSecondairePourcentage": float(round(share))}

    def breakdown(self, indicator, row, legacy, wanted):
        """The characteristics of a row: parts of its count, rounded each, and two deciles in euros."""
        found = []
        asked = wanted and {(one["codeTypeCaracteristique"], one["codeCaracteristique"]) for one in wanted}
        for kind in indicator.caracteristiques:
            codes = CARACTERISTIQUES[kind]
            number = draw(self.seed, kind, row["codeTerritoire"], row["codeActivite"], row["codePeriode"], row["codeNomenclature"])
            parts = [1 + (number >> 3 * place) % 40 for place in range(len(codes))]
            for (code, label), part in zip(codes, parts):
                one = {"codeTypeCaract": kind, "codeCaract": code, "libCaract": OLD_LABELS.get(code, label) if legacy else label}
                if code in ("SAL_D10", "SAL_D90"):
                    if (indicator.code, row["codeNomenclature"]) != ("OFF_1", "PE"):
                        continue
                    one["nombre"] = (1750 if code == "SAL_D10" else 2400) + 7 * part
                elif code != "SAL_TR1":
                    one["nombre"] = 10 * round(row["valeurPrincipaleNombre"] * part / sum(parts) / 10)
                    one["pourcentage"] = float(round(100 * part / sum(parts)))
                if not legacy:
                    one["masque"] = False
                if not asked or (kind, code) in asked:
                    found.append(one)
        return found

    @staticmethod
    def fap_of(job):
        return "X" + job[1:4] + "Z"

    def salary(self, words, request):
        """Salaries of a job's family, in their own envelope: no territory, no code of the indicator."""
        job = request.last("codeRome")
        if request.method != "GET":
            return Response(405, b"", None, [("Allow", "GET")])
        if len(words) != 2 or not job:
            return self.error(400, NOT_VALID)
        kind, code = words
        if kind not in ("NAT", "REG"):
            return self.unavailable(f"Le type de territoire {kind}")
        face = self.no_data(kind, code, "ROME", job)
        if face not in (None, "absent"):
            return self.silence(face)
        lowest = 1700 + draw(self.seed, "SAL", kind, code, self.fap_of(job)) % 1500
        values = [{"codeNomenclature": name, "valeurPrincipaleMontant": float(lowest + more)}
                  for name, more in (("SAL1", 0), ("SAL2", 310), ("SAL3", 145))]
        rows = [{"datMaj": MODERN, "codeActivite": self.fap_of(job), "libActivite": f"Famille {self.fap_of(job)}",
                 "codeTypePeriode": "ANNEE", "codePeriode": "2022", "libPeriode": "ANNEE 2022", "salaireValeurMontant": values}]
        return {"datMaj": "2026-03-11T07:29:22.000+01:00", "libIndicateur": "Salaires par expérience",
                **self.named("valeursParPeriode", [] if face == "absent" else rows)}

    # -- references ---------------------------------------------------------

    def reference(self, words, request):
        """A reference list, its part, or one of its objects."""
        name, code = words[0], words[1] if len(words) == 2 else None
        if len(words) > 2:
            return Response(404, b"")
        for suffix, rows in TYPES.items():
            plural, single = f"type-{suffix.lower()}s", f"type-{suffix.lower()}"
            values = [{"datMaj": MODERN, f"codeType{suffix}": one, f"libelleType{suffix}": label} for one, label in rows]
            if name == plural and code is None:
                return self.named(f"type{suffix}s", values)
            if name == single and code is not None:
                return next((row for row in values if row[f"codeType{suffix}"] == code), Response(204, b""))
        for suffix, lister in (("Territoire", self.list_territories), ("Activite", self.list_activities), ("Periode", self.list_periods),
                               ("Nomenclature", self.list_nomenclatures), ("Caracteristique", self.list_characteristics)):
            if name == f"{suffix.lower()}s":
                return self.named(f"{suffix.lower()}s", lister(code, request))
            if name == suffix.lower() and code is None:
                return self.single(suffix, lister(None, None), request)
        if name == "territoires-communes" and code is not None:
            rows = [row | {"codeTerritoireParentEPCI": "243500139", "codeTerritoireParentBassin": "5312"}
                    for row in self.list_territories("COM", request) if code == "COM"]
            return self.named("territoiresCommunes", rows)
        if name == "rechercherActivitesRomeFap" and code is None:
            wanted = request.last("codeRome")
            return self.named("romeFapList", [{"datMaj": MODERN, "codeRome": job, "codeFap": self.fap_of(job)}
                                              for job in sorted(self.jobs) if wanted in (None, job)])
        return self.catalogue(name, code, request)

    def single(self, suffix, rows, request):
        """The object of a list that two codes name."""
        names = (f"codeType{suffix}", f"code{suffix}")
        key = tuple(request.last(name) for name in names)
        if None in key:
            return self.error(400, NOT_VALID)
        return next((row for row in rows if tuple(row[name] for name in names) == key), Response(204, b""))

    def list_territories(self, kind, request):
        start = plain_upper(request.last("filtreTerritoire") or "") if request and kind else ""
        return [self.territory(key) for key, facts in self.territories.items()
                if kind in (None, key[0]) and (key[1].startswith(start) or facts["libelle"].startswith(start))]

    def list_activities(self, kind, request):
        start = (request.last("filtreActivite") or "") if request and kind else ""
        return [self.activity(key) for key, (label, _) in self.activities.items()
                if kind in (None, key[0]) and (key[1].startswith(start) or label.startswith(start))]

    @staticmethod
    def list_periods(kind, request):
        """Periods, newest first.  What critereTemporel does is not known: nothing, here."""
        asked = request.last("codePeriode") if request and kind else None
        most = int(request.last("nbPeriode") or 1000) if request and kind else None
        rows = [{"datMaj": MODERN, "codeTypePeriode": one, "codePeriode": code, "ordrePeriode": place + 1, "libellePeriode": label}
                for one, periods in PERIODES.items() if kind in (None, one) for place, (code, label) in enumerate(periods)]
        return [row for row in rows if asked in (None, row["codePeriode"])][:most]

    @staticmethod
    def list_nomenclatures(kind, _):
        return [{"datMaj": MODERN, "codeTypeNomenclature": one, "codeNomenclature": code, "libelleNomenclature": label}
                for one, codes in NOMENCLATURES.items() if kind in (None, one) for code, label in codes]

    @staticmethod
    def list_characteristics(kind, _):
        return [{"datMaj": MODERN, "codeTypeCaracteristique": one, "codeCaracteristique": code, "libelleCaracteristique": label,
                 "masque": code == "AGC_BASS"}
                for one, codes in CARACTERISTIQUES.items() if kind in (None, one) for code, label in codes]

    def catalogue(self, name, code, request):
        """The four lists of indicators; only the detailed one has the combinations and the characteristics."""
        if name == "details-indicateurs" and code is None:
            family, indicator = request.last("codeFamille"), request.last("codeIndicateur")
            rows = [self.describe(one) | self.describe_more(one) for one in INDICATEURS
                    if family in (None, one.famille) and indicator in (None, one.code)]
        elif name == "indicateurs" and code is None:
            rows = [self.describe(one) for one in INDICATEURS]
        elif (name == "familles-indicateurs" and code is None) or (name == "famille-indicateur" and code is not None):
            rows = [{"datMaj": MODERN, "codeIndicateur": one.code, "libelleIndicateur": one.libelle, "codeFamille": one.famille}
                    for one in INDICATEURS if code in (None, one.famille)]
        else:
            return Response(404, b"")
        return self.named("listeIndicateurs", rows)

    @staticmethod
    def describe(indicator):
        """What any list of indicators says of one."""
        def kinds(place, suffix):
            labels = dict(TYPES[suffix])
            return [{"datMaj": MODERN, f"codeType{suffix}": kind, f"libelleType{suffix}": labels[kind]} for kind in indicator.kinds(place)]
        depths = {kind: max(depth for _, _, one, depth in indicator.crossings if one == kind) for kind in indicator.kinds(2)}
        row = {"datMaj": MODERN, "codeIndicateur": indicator.code, "libelleIndicateur": indicator.libelle,
               "descriptif": f"Exemple de définition de  {indicator.code}", "codeFamille": indicator.famille, "disponibiliteIndicateur": 1,
               "listeTypesValeurs": [{"datMaj": MODERN, "valeurPrincipale": "O", "codeTypeValeur": "NB_ET_PCT", "numOrdre": 1,
                                      "libValeur": "Nombre et part", "libelleValeurSpecifique": indicator.libelle}],
               "listeTypesTerritoiresIndicateur": kinds(0, "Territoire"), "listeTypesActivitesIndicateur": kinds(1, "Activite"),
               "listeTypesPeriodesIndicateur": [one | {"profondeurMax": str(depths[one["codeTypePeriode"]])} for one in kinds(2, "Periode")]}
        if indicator.nomenclature:
            codes = [{"datMaj": MODERN, "valeurNomenclature": code, "libelleNomenclature": label} for code, label in indicator.codes()]
            row["listeTypesNomenclaturesIndicateur"] = [{
                "datMaj": MODERN, "codeTypeNomenclature": indicator.nomenclature,
                "libelleTypeNomenclature": dict(TYPES["Nomenclature"])[indicator.nomenclature], "listeValeursNomenclaturesIndicateur": codes}]
        return row

    def describe_more(self, indicator):
        row = {"listeCroisementsIndicateur": [{"datMaj": MODERN} | crossing for crossing in crossings_of(indicator)]}
        if indicator.caracteristiques:
            labels = dict(TYPES["Caracteristique"])
            row["listeCaracteristiqueIndicateur"] = [{name: value for name, value in one.items() if name != "masque"}
                                                     for one in self.list_characteristics(None, None)
                                                     if one["codeTypeCaracteristique"] in indicator.caracteristiques]
            row["listeTypesCracteristiqueIndicateur"] = [
                {"datMaj": MODERN, "codeTypeCaracteristique": kind, "libelleTypeCaracteristique": labels[kind]}
                for kind in indicator.caracteristiques]
        return row

    @staticmethod
    def named(member, rows):
        """A list under its name; the name is left out when there is none."""
        return {member: rows} if rows else {}
