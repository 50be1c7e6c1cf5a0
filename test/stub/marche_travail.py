"""API Marché du travail of France Travail, played: token, recruitment tension, territories, activities.

Traps kept: XML unless JSON is asked for by name; several faces of "no data";
the tension level under either of two names; fields without value left out.
"""

import hashlib
import json
import random
import time
import urllib.parse
from xml.sax.saxutils import escape

from httpd import Response, dumps
from territoires import COMMUNES, DEPARTEMENTS, REGIONS, REGION_OF, plain_upper
from tokens import CLIENTS, TRAVAIL_SCOPES

BASE = "/partenaire/stats-offres-demandes-emploi/v1"
PER_SECOND = 10
NO_STORE = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
TYPE_TERRITOIRES = [("NAT", "Niveau National"), ("REG", "Région"), ("DEP", "Département"), ("BASBMO", "Bassin (BMO)"),
                    ("AGC", "Agence"), ("EPCI", "Etablissement public de coopération intercommunale"), ("COM", "Commune")]
TYPE_ACTIVITES = [("CUMUL", "Cumul"), ("MOYENNE", "Moyenne"), ("ROME", "Métier ROME"), ("DOMAINE", "Domaine professionnel"),
                  ("NAF88", "Division NAF")]
BASSINS = [("1126", "PARIS", "11"), ("5312", "RENNES", "53"), ("3221", "LILLE", "32"), ("9404", "BASTIA", "94")]
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
NOMENCLATURE = [("ATTR_SALARIALE", "Attractivité salariale"), ("COND_TRAVAIL", "Conditions de travail"),
                ("DUR_EMPL", "Durabilité de l'emploi"), ("INT_EMB", "Intensité d'embauche"),
                ("MAIN_OEUVRE", "Manque de main d'oeuvre"), ("MISMATCH_GEO", "Inadéquation géographique"),
                ("PERSPECTIVE", "Indicateur principal tension"), ("SPECIF_FORM_EMPL", "Lien formation - métier")]
YEARS = ["2024", "2023", "2022", "2021", "2020", "2019"]
MODERN, LEGACY = "2026-03-09T11:54:30.000+01:00", "2023-03-15T19:03:02.000+01:00"
REQUIRED = ("codeTypeTerritoire", "codeTerritoire", "codeTypeActivite", "codeActivite", "codeTypePeriode",
            "codeTypeNomenclature")
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
    def __init__(self, seed, strict, metiers, factor):
        self.control = None
        self.strict = strict
        self.per_second = PER_SECOND * factor
        self.seed = str(seed)
        self.jobs = dict(line.split(" ", 1) for line in METIERS.splitlines())
        rng = random.Random(seed)
        while len(self.jobs) < len(METIERS.splitlines()) + metiers:
            code = f"{rng.choice('ABCDEFGHIJKLMN')}{rng.randint(5000, 9999)}"
            self.jobs.setdefault(code, f"Métier exemple {code}")
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
        found["EPCI", "243500139"] = {"libelle": "RENNES METROPOLE", "parent": ("REG", "53")}
        return found

    def territory(self, key):
        facts = self.territories[key]
        row = {"datMaj": "2023-02-25T17:35:46.000+01:00", "codeTypeTerritoire": key[0], "codeTerritoire": key[1],
               "libelleTerritoire": facts["libelle"]}
        if "parent" in facts:
            row["codeTypeTerritoireParent"], row["codeTerritoireParent"] = facts["parent"]
        return row

    def activity(self, kind, code):
        label = {"CUMUL": "Valeur cumulée toutes activités", "MOYENNE": "Valeur moyenne toutes activités"}.get(kind) or self.jobs.get(code)
        return {"datMaj": MODERN, "codeTypeActivite": kind, "codeActivite": code, "libelleActivite": label}

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
        if inside == "/indicateur/stat-perspective-employeur":
            result = self.tension(request)
        elif inside.startswith("/referentiel/") and request.method == "GET":
            result = self.reference(inside[len("/referentiel/"):].split("/"), request)
        else:
            return Response(404, b"")
        if isinstance(result, Response):
            result.headers += rate
            return result
        accept = [one.split(";")[0].strip().lower() for one in request.header("accept").split(",")]
        if "application/json" in accept:
            return Response(200, dumps(result), "application/json;charset=UTF-8", rate)
        root = "IndicateurRetour" if inside.startswith("/indicateur/") else "ReferentielRetour"
        xml = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + to_xml(root, result)
        return Response(200, xml.encode(), "application/xml;charset=UTF-8", rate)

    @staticmethod
    def error(status, message):
        return Response(status, dumps({"message": message, "codeHttp": status}), "application/json")

    def unavailable(self, what):
        return self.error(400, "[FiltreErreurSldng] Erreur lors de l'appel de l'Api REST. Status code = 400, message = "
                               f"{what} n'est pas disponible pour cet indicateur")

    def tension(self, request):
        """The indicator PERSP_2: an object, or the reply that says there is none."""
        if request.method != "POST":
            return Response(405, b"", None, [("Allow", "POST")])
        if not request.header("content-type").startswith("application/json"):
            return self.error(415, "Le type du contenu n'est pas pris en charge")
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        lists = ("listeCodePeriode", "listeCodeNomenclature")
        if (not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in REQUIRED)
                or not all(isinstance(body.get(name, []), list) for name in lists)
                or not isinstance(body.get("dernierePeriode", False), bool)):
            return self.error(400, "Les paramètres en entrée ne sont pas valides")
        kind, code, activity, job = (body[name] for name in REQUIRED[:4])
        if kind not in ("NAT", "REG", "DEP", "BASBMO"):
            return self.unavailable(f"Le type de territoire {kind}")
        if activity not in ("CUMUL", "ROME"):
            return self.unavailable(f"Le type d'activité {activity}")
        if body["codeTypePeriode"] != "ANNEE":
            return self.unavailable(f"Le type de période {body['codeTypePeriode']}")
        if body["codeTypeNomenclature"] != "TYPE_TENSION":
            return self.unavailable(f"Le type de nomenclature {body['codeTypeNomenclature']}")
        face = SILENT.get((kind, code))
        if (kind, code) not in self.territories or (job != "CUMUL" if activity == "CUMUL" else job not in self.jobs):
            face = "500"
        elif face is None and kind != "NAT" and activity == "ROME" and draw(kind, code, job) % 13 == 0:
            face = "500"
        if face == "500":
            return self.error(500, NO_LIST)
        if face == "204":
            return Response(204, b"")
        if face == "empty":
            return Response(200, b"")
        reply = {"datMaj": "2026-03-11T07:29:22.000+01:00", "codeIndicateur": "PERSP_2", "codeFamille": "PERSPECTIVES",
                 "libIndicateur": "PERSPECTIVES Employeur"}
        rows = [] if face == "absent" or (kind, code) == SILENT_NAT else self.tension_rows(kind, code, activity, job)
        if body.get("dernierePeriode"):
            rows = [row for row in rows if row["codePeriode"] == YEARS[0]]
        elif "listeCodePeriode" in body:
            rows = [row for row in rows if row["codePeriode"] in body["listeCodePeriode"]]
        if "listeCodeNomenclature" in body:
            rows = [row for row in rows if row["codeNomenclature"] in body["listeCodeNomenclature"]]
        if rows:
            reply["listeValeursParPeriode"] = rows
        return reply

    def tension_rows(self, kind, code, activity, job):
        legacy = kind == "BASBMO" or job[0] == "L"
        place, work = self.territories[kind, code]["libelle"], self.activity(activity, job)["libelleActivite"]
        rows = []
        for year in YEARS:
            for nomenclature, label in NOMENCLATURE:
                if nomenclature == "ATTR_SALARIALE" and (legacy or draw("attr", job) % 11 == 0):
                    continue
                value = draw(self.seed, kind, code, job, year, nomenclature)
                row = {"datMaj": LEGACY if legacy else MODERN, "codeTypeTerritoire": kind, "codeTerritoire": code,
                       "libTerritoire": place, "codeTypeActivite": activity, "codeActivite": job, "libActivite": work,
                       "codeNomenclature": nomenclature, "libNomenclature": label, "codeTypePeriode": "ANNEE",
                       "codePeriode": year, "libPeriode": f"ANNEE {year}"}
                if legacy:
                    row["valeurPrincipaleNom"] = str(1 + value % 5)
                else:
                    row["valeurPrincipaleDecimale"] = round((value % 900 - 250) / 100, 2)
                    row["valeurPrincipaleNombre"] = 1 + value % 5
                rows.append(row)
        return rows

    def reference(self, words, request):
        """The reference families played here: territories and activities."""
        name, code = words[0], words[1] if len(words) == 2 else None
        if name == "territoires" and len(words) <= 2:
            start = plain_upper(request.last("filtreTerritoire") or "")
            return self.named("territoires", [self.territory(key) for key, facts in self.territories.items()
                                              if (code is None or key[0] == code) and (key[1].startswith(start) or facts["libelle"].startswith(start))])
        if name == "territoires-communes" and len(words) == 2:
            start = request.last("filtreTerritoire") or ""
            rows = [self.territory(key) | {"codeTerritoireParentEPCI": "243500139", "codeTerritoireParentBassin": "5312"}
                    for key in self.territories if key[0] == code == "COM" and key[1].startswith(start)]
            return self.named("territoiresCommunes", rows)
        if name == "territoire" and code is None:
            key = (request.last("codeTypeTerritoire"), request.last("codeTerritoire"))
            if None in key:
                return self.error(400, "Les paramètres en entrée ne sont pas valides")
            return self.territory(key) if key in self.territories else Response(204, b"")
        if name == "activites" and len(words) <= 2:
            start = request.last("filtreActivite") or ""
            found = [self.activity(kind, kind) for kind in ("CUMUL", "MOYENNE")] + [self.activity("ROME", job) for job in sorted(self.jobs)]
            return self.named("activites", [row for row in found if (code is None or row["codeTypeActivite"] == code)
                                            and (row["codeActivite"].startswith(start) or row["libelleActivite"].startswith(start))])
        if name == "activite" and code is None:
            kind, job = request.last("codeTypeActivite"), request.last("codeActivite")
            if kind is None or job is None:
                return self.error(400, "Les paramètres en entrée ne sont pas valides")
            known = job in self.jobs if kind == "ROME" else kind == job and kind in ("CUMUL", "MOYENNE")
            return self.activity(kind, job) if known else Response(204, b"")
        for family, member, singular, rows in (("type-territoires", "typeTerritoires", "type-territoire", TYPE_TERRITOIRES),
                                               ("type-activites", "typeActivites", "type-activite", TYPE_ACTIVITES)):
            suffix = family.split("-")[1][:-1].capitalize()
            values = [{"datMaj": MODERN, f"codeType{suffix}": one, f"libelleType{suffix}": label} for one, label in rows]
            if name == family and code is None:
                return self.named(member, values)
            if name == singular and code is not None:
                return next((row for row in values if row[f"codeType{suffix}"] == code), Response(204, b""))
        if name == "rechercherActivitesRomeFap" and code is None:
            wanted = request.last("codeRome")
            return self.named("romeFapList", [{"datMaj": MODERN, "codeRome": job, "codeFap": "X" + job[1:4] + "Z"}
                                              for job in sorted(self.jobs) if wanted in (None, job)])
        return Response(404, b"")

    @staticmethod
    def named(member, rows):
        """A list under its name; the name is left out when there is none."""
        return {member: rows} if rows else {}
