"""API data·inclusion v1, played: structures, services, search, sources, reference lists.

Traps kept: unknown parameters are ignored; `publics` returns more than asked;
two categories of topics crash; `size` in a page is the number of its rows; the
set-valued arrays change order; an unknown value of a closed list is a 422.
"""

import functools
import math
import random
import re

from httpd import Response, dumps
from population import Paged, companies, siret_of
from territoires import COMMUNE_BY_CODE, DEPARTEMENTS, REGIONS, REGION_OF, slugify
from tokens import by_value

SOURCES = [("action-logement", "Action Logement"), ("agefiph", "AGEFIPH"), ("carif-oref", "Réseau des CARIF OREF"),
           ("dora", "DORA"), ("emplois-de-linclusion", "Emplois de l’inclusion"), ("finess", "FINESS"),
           ("france-travail", "Offre nationale de services de France Travail"), ("fredo", "Fredo"),
           ("ma-boussole-aidants", "Ma Boussole Aidants"), ("mediation-numerique", "Médiation numérique"),
           ("mes-aides", "Mes Aides France Travail"), ("mission-locale", "Mission Locale"),
           ("monenfant", "Monenfant.fr"), ("reseau-alpha", "Réseau Alpha"), ("soliguide", "Soliguide")]
DRAWN_SOURCES = ("dora", "fredo", "emplois-de-linclusion", "mission-locale", "soliguide", "reseau-alpha")
FRAIS = ["gratuit", "payant"]
MODES_ACCUEIL = ["a-distance", "en-presentiel"]
MODES_MOBILISATION = ["envoyer-un-courriel", "se-presenter", "telephoner", "utiliser-lien-mobilisation"]
MOBILISABLE_PAR = ["professionnels", "usagers"]
TYPES = ["accompagnement", "aide-financiere", "aide-materielle", "atelier", "formation", "information"]
PUBLICS = ["actifs", "beneficiaires-des-minimas-sociaux", "demandeurs-emploi", "etudiants", "familles", "femmes",
           "jeunes", "personnes-en-situation-de-handicap", "personnes-en-situation-durgence",
           "personnes-en-situation-juridique-specifique", "personnes-exilees", "residents-qpv-frr", "seniors",
           "tous-publics"]
_TOPICS = {
    "choisir-un-metier": "confirmer-son-choix-de-metier connaitre-les-opportunites-demploi decouvrir-un-metier-ou-un-secteur-dactivite identifier-ses-points-forts-et-ses-competences",
    "creer-une-entreprise": "definir-son-projet-de-creation-dentreprise developper-son-entreprise structurer-son-projet-de-creation-dentreprise",
    "difficultes-administratives-ou-juridiques": "accompagnement-aux-demarches-administratives accompagnement-pour-lacces-a-la-citoyennete accompagnement-pour-lacces-aux-droits beneficier-dune-mesure-daccompagnement-adapte connaitre-ses-droits-face-a-une-discrimination prendre-en-compte-une-problematique-judiciaire",
    "difficultes-financieres": "acquerir-une-autonomie-budgetaire ameliorer-sa-gestion-budgetaire mettre-en-place-une-mesure-de-protection-financiere prevenir-une-degradation-de-la-situation-financiere situation-dendettement-surendettement",
    "equipement-et-alimentation": "aide-menagere alimentation electromenager habillement",
    "famille": "garde-denfants prise-en-charge-personne-dependante soutien-a-la-parentalite-et-a-leducation soutien-aidants surmonter-conflits-separation-violence",
    "lecture-ecriture-calcul": "maitriser-le-calcul maitriser-le-francais",
    "logement-hebergement": "acheter-un-logement changer-de-logement louer-un-logement rechercher-une-solution-dhebergement-temporaire reduire-les-impayes-de-loyer se-maintenir-dans-le-logement sinformer-sur-les-demarches-liees-a-lacces-au-logement",
    "mobilite": "acceder-a-un-vehicule entretenir-reparer-son-vehicule etre-accompagne-dans-son-parcours-mobilite financer-ma-mobilite mobilite-douce-partagee-collective preparer-un-permis",
    "numerique": "acceder-a-des-services-en-ligne acceder-a-une-connexion-internet acquerir-un-equipement maitriser-les-fondamentaux-du-numerique",
    "preparer-sa-candidature": "developper-son-reseau organiser-ses-demarches-de-recherche-demploi realiser-un-cv-et-ou-une-lettre-de-motivation valoriser-ses-competences",
    "remobilisation": "activites-sportives-et-culturelles benevolat-action-citoyenne bien-etre-confiance-en-soi lien-social",
    "sante": "acces-aux-soins addictions constituer-un-dossier-mdph-invalidite sante-mentale sante-sexuelle",
    "se-former": "monter-son-dossier-de-formation trouver-sa-formation",
    "souvrir-a-linternational": "connaitre-les-opportunites-demploi-a-letranger sinformer-sur-les-aides-pour-travailler-a-letranger sorganiser-suite-a-son-retour-en-france",
    "trouver-un-emploi": "convaincre-un-recruteur-en-entretien faire-des-candidatures-spontanees maintien-dans-lemploi repondre-a-des-offres-demploi suivre-ses-candidatures-et-relancer-les-employeurs",
}
THEMATIQUES = [f"{category}--{topic}" for category, topics in _TOPICS.items() for topic in topics.split()]
RESEAUX = """60000-rebonds aci action-logement adie afpa agefiph ai aidants-connect alliance-villes-emploi anlci
apprentis-dauteuil ase banques-alimentaires caarud cada caf campus-connecte cap-emploi-reseau-cheops cava ccas-cias
chambres-consulaires chantier-ecole chrs chu cidff cmp cms cnam collectif-emploi communes conseillers-numeriques coorace
cpam cph creches-avip crepi cresus croix-rouge csapa delegataire-conseil-departemental departements duo-for-a-job ea eatt
ecoles-de-la-deuxieme-chance egee ei eiti emmaus epide esat espaces-publics-numeriques etcld etti fabrique-de-territoire
face fcsf federation-des-acteurs-de-la-solidarite federation-professionnelle-femmes france-active france-service
france-travail french-tech geiq grandes-ecoles-du-numerique huda hup inae initiative-france konexio la-cravate-solidaire
la-poste les-premieres maison-departementale-de-lautonomie maisons-de-l-emploi maisons-des-solidarites mdph
mission-locale mjc mobin msap mutualite-sociale-agricole nqt pimms-mediation pjj plie points-conseil-budget
points-justice positive-planet regions reseau-app reseau-bge reseau-entreprendre reseau-information-jeunesse
residences-fjt ressourceries restos-du-coeur secours-populaire siao simplon singa snc spip tous-tes-possibles unaf unea
unis-cite wimoov""".split()
DOC = {"frais": FRAIS, "modes-accueil": MODES_ACCUEIL, "modes-mobilisation": MODES_MOBILISATION,
       "personnes-mobilisatrices": MOBILISABLE_PAR, "publics": PUBLICS, "reseaux-porteurs": RESEAUX,
       "thematiques": THEMATIQUES, "types-services": TYPES}
DEP_CODES = [code for code in DEPARTEMENTS]
DEP_SLUGS = {slugify(name): code for code, name in DEPARTEMENTS.items()}
REGION_SLUGS = {slugify(name): code for code, name in REGIONS.items()}
CATEGORIES = list(_TOPICS)
SPREAD = 50                 # km: search radius


class Invalid(Exception):
    """A parameter error: what goes in `detail`."""

    def __init__(self, detail):
        super().__init__(detail)
        self.detail = detail


class Crash(Exception):
    """The upstream fails on this request."""


@functools.lru_cache(maxsize=8192)
def quoted(text):
    return "null" if text is None else dumps(text).decode()


@functools.lru_cache(maxsize=8192)
def array(values, salt):
    if values is None:
        return "null"
    return "[" + ",".join(f'"{value}"' for value in (values[::-1] if salt else values)) + "]"


def enum_error(loc, known, given):
    words = [f"'{value}'" for value in known]
    expected = ", ".join(words[:-1]) + " or " + words[-1]
    return {"type": "enum", "loc": loc, "msg": f"Input should be {expected}", "input": given, "ctx": {"expected": expected}}


class Parameters:
    """Reads the parameters of one request; collects what is wrong with them."""

    def __init__(self, request):
        self.request = request
        self.errors = []

    def end(self):
        if self.errors:
            raise Invalid(self.errors)

    def whole(self, name, default, least=None, most=None):
        text = self.request.last(name)
        if text is None:
            return default
        if not re.fullmatch(r"\s*[+-]?\d+(\.0+)?\s*", text):
            self.errors.append({"type": "int_parsing", "loc": ["query", name], "input": text,
                                "msg": "Input should be a valid integer, unable to parse string as an integer"})
            return default
        value = int(text.split(".")[0])
        if least is not None and value < least:
            self.errors.append({"type": "greater_than_equal", "loc": ["query", name], "input": text, "ctx": {"ge": least},
                                "msg": f"Input should be greater than or equal to {least}"})
        elif most is not None and value > most:
            self.errors.append({"type": "less_than_equal", "loc": ["query", name], "input": text, "ctx": {"le": most},
                                "msg": f"Input should be less than or equal to {most}"})
        return value

    def number(self, name):
        text = self.request.last(name)
        if text is None:
            return None
        try:
            return float(text)
        except ValueError:
            self.errors.append({"type": "float_parsing", "loc": ["query", name], "input": text,
                                "msg": "Input should be a valid number, unable to parse string as a number"})
            return None

    def truth(self, name):
        text = self.request.last(name)
        if text is None:
            return False
        if text.lower() in ("true", "1", "yes", "on", "t", "y"):
            return True
        if text.lower() not in ("false", "0", "no", "off", "f", "n"):
            self.errors.append({"type": "bool_parsing", "loc": ["query", name], "input": text,
                                "msg": "Input should be a valid boolean, unable to interpret input"})
        return False

    def choice(self, name, known):
        text = self.request.last(name)
        if text is not None and text not in known:
            self.errors.append(enum_error(["query", name], list(known), text))
        return text

    def choices(self, name, known):
        values = self.request.query.get(name)
        if values is None:
            return None
        for place, value in enumerate(values):
            if value not in known:
                self.errors.append(enum_error(["query", name, place], list(known), value))
        return values

    def commune(self):
        text = self.request.last("code_commune")
        if text is None:
            return None
        error = None
        if len(text) < 5:
            error = ("string_too_short", "String should have at least 5 characters", {"min_length": 5})
        elif len(text) > 5:
            error = ("string_too_long", "String should have at most 5 characters", {"max_length": 5})
        elif not re.fullmatch(r"\w{5}", text):
            error = ("string_pattern_mismatch", "String should match pattern '^\\w{5}$'", {"pattern": "^\\w{5}$"})
        if error:
            self.errors.append({"type": error[0], "loc": ["query", "code_commune"], "msg": error[1], "input": text, "ctx": error[2]})
        return text


class Place:
    """What structures and services share."""

    __slots__ = ("id", "source", "nom", "commune", "draw", "siret", "reseaux", "score", "doublon", "services",
                 "structure", "type", "thematiques", "frais", "publics", "modes", "zone", "group")

    def code_insee(self):
        return self.commune.code if self.commune else None


class DataInclusion(Paged):
    def __init__(self, count, seed):
        self.control = None
        self.tokens = by_value("data_inclusion")
        self.rng = random.Random(seed)
        self.size = count
        self.seed = seed
        self.made = False
        self.start(count)

    def reset(self):
        self.reset_paged()

    def look(self):
        """Make the rows when first asked (a large population takes a second), then follow `visible`."""
        if not self.made:
            self.make(self.size + self.SPARE)
            self.made = True
            self.arranged = None
        if self.arranged == self.visible:
            return
        self.arranged = self.visible
        self.structures = sorted(self.all_structures[:self.visible], key=lambda row: row.id)
        self.services = sorted((service for row in self.structures for service in row.services), key=lambda row: row.id)

    # -- data -------------------------------------------------------------

    def make(self, count):
        people = companies(count, self.seed)
        draw = random.Random(self.seed * 15485863).random
        self.all_structures = []
        self.structure_by_id, self.service_by_id = {}, {}
        self.texts = {}
        pairs = ((who, rank) for who, company in enumerate(people) for rank in range(1, len(company.communes) + 1))
        previous = None
        for place in range(count):
            if previous is not None and previous.doublon is None and draw() < 0.05:
                row = self.add_structure(place, previous.nom, previous.siret, previous.commune, draw)
                row.doublon, previous.doublon = previous, row
                row.group = previous.group
            else:
                who, rank = next(pairs)
                company = people[who]
                row = self.add_structure(place, company.nom, siret_of(company.siren, rank), company.communes[rank - 1], draw)
                if who < 12:
                    row.source = "dora"
                    row.id = f"dora--{slugify(row.nom)}-{rank}"
            previous = row
            self.structure_by_id[row.id] = row
            self.add_services(row, draw)

    def add_structure(self, place, nom, siret, commune, draw):
        row = Place()
        row.draw = bits = int(draw() * (1 << 40))
        row.source = DRAWN_SOURCES[bits % len(DRAWN_SOURCES)]
        row.id = f"{row.source}--{place:07}"
        row.nom, row.siret, row.commune = nom, siret, commune
        if place > 20:
            if (bits >> 3) % 9 == 0:
                row.siret = None
            if (bits >> 6) % 37 == 0:
                row.commune = None
        row.reseaux = (None if (bits >> 9) % 5 == 0 else
                       tuple(RESEAUX[(bits >> shift) % len(RESEAUX)] for shift in (11, 17)[:(bits >> 13) % 3]))
        if row.reseaux and len(set(row.reseaux)) < len(row.reseaux):
            row.reseaux = row.reseaux[:1]
        row.doublon, row.services, row.group = None, [], place
        self.all_structures.append(row)
        return row

    def add_services(self, structure, draw):
        bits = structure.draw
        for rank in range((bits >> 19) % 3 if structure.group > 20 else 2):
            row = Place()
            row.draw = sbits = int(draw() * (1 << 40))
            row.structure = structure
            row.source = structure.source if sbits % 17 else "mes-aides"
            row.id = f"{row.source}--service-{structure.id.split('--')[1]}-{rank}"
            row.nom = ("Atelier d’écriture", "Aide \"coup de pouce\"", "Permanence emploi & droits", "Cours de français",
                       "Prêt de matériel")[sbits % 5]
            row.commune = structure.commune if (sbits >> 4) % 7 else None
            row.type = None if (sbits >> 6) % 11 == 0 else TYPES[(sbits >> 6) % len(TYPES)]
            row.thematiques = (None if (sbits >> 8) % 13 == 0 else
                               tuple(sorted({THEMATIQUES[(sbits >> shift) % len(THEMATIQUES)] for shift in (8, 15)})))
            row.frais = (None, "gratuit", "gratuit", "payant")[(sbits >> 10) % 4]
            which = (sbits >> 12) % 5
            row.publics = (None if which == 0 else ("tous-publics",) if which == 1 else
                           tuple(sorted({PUBLICS[(sbits >> shift) % 13] for shift in (12, 19)})))
            row.modes = (None, MODES_ACCUEIL[:1], MODES_ACCUEIL[1:], MODES_ACCUEIL)[(sbits >> 14) % 4]
            row.modes = row.modes and tuple(row.modes)
            dep = structure.commune.departement if structure.commune else None
            row.zone = (None, ("france",), (dep,) if dep else None,
                        (structure.commune.code, dep) if dep else ("france",))[(sbits >> 16) % 4]
            row.score = ((sbits >> 18) % 101) / 100
            structure.services.append(row)
            self.service_by_id[row.id] = row
        scores = [service.score for service in structure.services]
        structure.score = round(sum(scores) / len(scores), 2) if scores else 0.0

    @staticmethod
    def date_of(bits):
        return f"{2022 + bits % 4}-{1 + (bits >> 5) % 12:02}-{1 + (bits >> 9) % 28:02}"

    def where(self, row):
        """The members about a place, as JSON text."""
        commune, bits = row.commune, row.draw
        if commune is None:
            return ('"commune":null,"code_postal":null,"code_insee":null,"adresse":null,"complement_adresse":null,'
                    '"longitude":null,"latitude":null')
        longitude, latitude = self.position(row)
        extra = '"Bâtiment B"' if (bits >> 4) % 4 == 0 else "null"
        return (f'"commune":{quoted(commune.nom)},"code_postal":"{commune.postal}","code_insee":"{commune.code}",'
                f'"adresse":"{1 + bits % 140} rue de l’Exemple","complement_adresse":{extra},'
                f'"longitude":{longitude},"latitude":{latitude}')

    @staticmethod
    def position(row):
        spot = sum(ord(char) * (place + 7) for place, char in enumerate(row.commune.code))
        return round(-3.5 + spot % 1000 / 100 + row.draw % 100 / 2000, 5), round(43.0 + spot % 777 / 100 + row.draw % 90 / 2000, 5)

    def structure_start(self, row, salt):
        bits = row.draw
        ident = row.id.split("--")[1]
        return (f'{{"source":"{row.source}","id":"{row.id}","nom":{quoted(row.nom)},"date_maj":"{self.date_of(bits)}",'
                f'"description":{quoted(None) if (bits >> 2) % 6 == 0 else quoted("Structure fictive de l’insertion." + chr(10) + "Accueil, conseil & suivi.")},'
                f'"lien_source":{quoted(None) if bits & 16 else chr(34) + "https://" + row.source + ".example/structures/" + ident + chr(34)},'
                f'"siret":{quoted(None) if row.siret is None else chr(34) + row.siret + chr(34)},{self.where(row)},'
                f'"telephone":{"null" if bits & 32 else chr(34) + "+331990" + str(10000 + bits % 89999) + chr(34)},'
                f'"courriel":{"null" if bits & 64 else chr(34) + "contact@s" + str(bits % 9999) + ".example" + chr(34)},'
                f'"site_web":{"null" if bits & 128 else chr(34) + "https://s" + str(bits % 9999) + ".example/" + chr(34)},'
                f'"horaires_accueil":{"null" if bits & 256 else chr(34) + "Mo-Fr 09:00-12:00,14:00-17:30; PH off" + chr(34)},'
                f'"accessibilite_lieu":null,"reseaux_porteurs":{array(row.reseaux, salt)}')

    def structure_listed(self, row, salt):
        key = (row.id, salt)
        found = self.texts.get(key)
        if found is None:
            twins = f'{{"source":"{row.doublon.source}","id":"{row.doublon.id}"}}' if row.doublon else ""
            found = self.texts[key] = (f'{self.structure_start(row, salt)},"adresse_certifiee":{"true" if row.draw & 512 else "false"},'
                                       f'"score_qualite":{row.score},"doublons":[{twins}]}}').encode()
        return found

    def structure_detailed(self, row, salt):
        twins = self.structure_start(row.doublon, salt) + "}" if row.doublon else ""
        services = b",".join(self.service_text(service, salt) for service in row.services)
        return (f'{self.structure_start(row, salt)},"adresse_certifiee":{"true" if row.draw & 512 else "false"},'
                f'"score_qualite":{row.score},"doublons":[{twins}],"services":['.encode() + services + b"]}")

    def service_text(self, row, salt, extra=False, structure=False):
        key = (row.id, salt)
        found = self.texts.get(key)
        if found is None:
            found = self.texts[key] = self.encode_service(row, salt)
        if extra:
            found = found[:-1] + (b',"extra":null}' if row.draw & 1024 else b',"extra":{"origine":"exemple","rang":%d}}' % (row.draw % 10))
        if structure:
            found = (found[:-1] + b',"structure":' + self.structure_start(row.structure, salt).encode() +
                     (b',"adresse_certifiee":true}}' if row.structure.draw & 512 else b',"adresse_certifiee":false}}'))
        return found

    def encode_service(self, row, salt):
        bits = row.draw
        moyens = tuple(mode for place, mode in enumerate(MODES_MOBILISATION) if (bits >> (20 + place)) & 1) or None
        par = (None, ("usagers",), ("professionnels",), ("professionnels", "usagers"))[(bits >> 24) & 3]
        link = f'"https://{row.source}.example/services/{row.id.split("--")[1]}"'
        return (f'{{"source":"{row.source}","structure_id":"{row.structure.id}","id":"{row.id}","nom":{quoted(row.nom)},'
                f'"description":"Service fictif, « sur rendez-vous ».","lien_source":{link if bits & 1 else "null"},'
                f'"date_maj":"{self.date_of(bits)}","type":{quoted(row.type)},"thematiques":{array(row.thematiques, salt)},'
                f'"frais":{quoted(row.frais)},"frais_precisions":{quoted("2 € par séance" if row.frais == "payant" else None)},'
                f'"publics":{array(row.publics, salt)},"publics_precisions":{quoted("Habitants du quartier" if bits & 2 else None)},'
                f'"conditions_acces":{quoted("Sur inscription" if bits & 4 else None)},{self.where(row)},'
                f'"telephone":{quoted("+33199000101" if bits & 8 else None)},"courriel":null,'
                f'"modes_accueil":{array(row.modes, salt)},"zone_eligibilite":{array(row.zone, 0)},'
                f'"contact_nom_prenom":null,"lien_mobilisation":{link if bits & 16 else "null"},'
                f'"modes_mobilisation":{array(moyens, salt)},"mobilisable_par":{array(par, salt)},'
                f'"mobilisation_precisions":null,"volume_horaire_hebdomadaire":{(None, 2.5, 4.0, 35.0)[(bits >> 26) & 3] or "null"},'
                f'"nombre_semaines":{(bits >> 27) % 20 or "null"},"horaires_accueil":null,'
                f'"adresse_certifiee":{"true" if bits & 32 else "false"},"score_qualite":{row.score}}}').encode()

    # -- requests ---------------------------------------------------------

    ROUTES = [
        (r"/structures", "list_structures", True), (r"/structures/([^/]+)", "one_structure", True),
        (r"/services", "list_services", True), (r"/services/([^/]+)", "one_service", True),
        (r"/search/services", "search_services", True), (r"/search", "search", True),
        (r"/sources", "list_sources", True), (r"/doc/([a-z-]+)", "doc", False),
    ]

    def answer(self, path, request):
        response = self.reply(path, request)
        response.headers.append(("Vary", "Accept-Encoding"))
        response.gzip = len(response.body) >= 500 and "gzip" in request.header("accept-encoding")
        return response

    @staticmethod
    def failure(status, detail, headers=()):
        return Response(status, dumps({"detail": detail}), "application/json", headers)

    def reply(self, path, request):
        inside = path.removeprefix("/api/v1")
        name, values, closed = None, (), True
        if inside != path:
            for pattern, handler, needs_token in self.ROUTES:
                found = re.fullmatch(pattern, inside)
                if found and not (handler == "doc" and found.group(1) not in DOC):
                    name, values, closed = handler, found.groups(), needs_token
                    break
                if inside.endswith("/") and re.fullmatch(pattern, inside[:-1]):
                    base, _, query = request.target.partition("?")
                    where = f"http://{request.host}{base[:-1]}" + (f"?{query}" if query else "")
                    return Response(307, b"", None, [("Location", where)])
        if name is None:
            return self.failure(404, "Not Found")
        if request.method != "GET":
            return self.failure(405, "Method Not Allowed", [("Allow", "GET")])
        scopes, self.sees_soliguide = (), False
        if closed:
            scheme, _, token = request.header("authorization").partition(" ")
            if scheme.lower() != "bearer" or not token:
                return self.failure(401, "Not authenticated", [("WWW-Authenticate", "Bearer")])
            if token not in self.tokens:
                return self.failure(401, "Unauthorized")
            facts = self.tokens[token][1]
            scopes, self.sees_soliguide = facts["scopes"], facts.get("soliguide", False)
            if "api" not in scopes:
                return self.failure(403, "Forbidden")
        self.look()
        try:
            body = getattr(self, name)(request, *values)
        except Invalid as invalid:
            return self.failure(422, invalid.detail)
        except Crash:
            return Response(500, b"Internal Server Error", "text/plain; charset=utf-8")
        if body is None:
            return self.failure(404, "Not Found")
        return Response(200, body, "application/json")

    def page(self, rows, page, size, text):
        """The envelope; `text` makes the JSON of a row."""
        if page * size > 2 ** 63:
            raise Crash()
        salt = self.rng.getrandbits(1)
        start = (page - 1) * size
        chosen = rows[start:start + size]
        texts = b",".join([text(row, salt) for row in chosen])
        return b'{"items":[%s],"total":%d,"page":%d,"size":%d,"pages":%d}' % (
            texts, len(rows), page, len(chosen), math.ceil(len(rows) / size))

    def territory(self, read):
        """Reads the territory parameters; a test of a row, or None."""
        region = read.choice("code_region", REGIONS)
        region_slug = read.choice("slug_region", REGION_SLUGS)
        departement = read.choice("code_departement", DEP_CODES)
        departement_slug = read.choice("slug_departement", DEP_SLUGS)
        commune = read.commune()
        region = region or (region_slug and REGION_SLUGS.get(region_slug))
        departement = departement or (departement_slug and DEP_SLUGS.get(departement_slug))
        tests = []
        if region:
            tests.append(lambda row: row.commune is not None and REGION_OF[row.commune.departement] == region)
        if departement:
            tests.append(lambda row: row.commune is not None and row.commune.code.startswith(departement))
        if commune:
            tests.append(lambda row: row.commune is not None and row.commune.code == commune)
        return tests

    def sources_seen(self, rows, sources):
        if not self.sees_soliguide:
            rows = [row for row in rows if row.source != "soliguide"]
        if sources is not None:
            rows = [row for row in rows if row.source in sources]
        return rows

    def list_structures(self, request):
        read = Parameters(request)
        page = read.whole("page", 1, 1)
        size = read.whole("size", 5000, 1, 10000)
        networks = read.choices("reseaux_porteurs", RESEAUX)
        tests = self.territory(read)
        unique = read.truth("exclure_doublons")
        read.end()
        rows = self.sources_seen(self.structures, request.query.get("sources"))
        if networks is not None:
            wanted = set(networks)
            tests.append(lambda row: bool(row.reseaux) and not wanted.isdisjoint(row.reseaux))
        for test in tests:
            rows = [row for row in rows if test(row)]
        if unique:
            best = {}
            for row in rows:
                key = (-row.score, [-int(part) for part in self.date_of(row.draw).split("-")], row.id)
                if row.group not in best or key < best[row.group][0]:
                    best[row.group] = (key, row)
            rows = [row for _, row in sorted(best.values(), key=lambda pair: (pair[1].group, pair[1].id))]
        body = self.page(rows, page, size, self.structure_listed)
        self.page_given()
        return body

    def one_structure(self, request, ident):
        row = self.structure_by_id.get(ident)
        return None if row is None else self.structure_detailed(row, self.rng.getrandbits(1))

    def one_service(self, request, ident):
        row = self.service_by_id.get(ident)
        return None if row is None else self.service_text(row, self.rng.getrandbits(1), structure=True)

    def service_filters(self, read, rows, recherche=True):
        """Reads and applies the filters that the service lists share."""
        topics = read.choices("thematiques", CATEGORIES + THEMATIQUES)
        frais = read.choices("frais", FRAIS)
        publics = read.choices("publics", PUBLICS)
        modes = read.choices("modes_accueil", MODES_ACCUEIL)
        types = read.choices("types", TYPES)
        least = read.number("score_qualite_minimum")
        read.end()
        tests = []
        if topics is not None:
            categories = [topic for topic in topics if "--" not in topic]
            if categories and len(topics) > 1:
                raise Crash()
            wanted = {topic for topic in THEMATIQUES if topic.split("--")[0] in categories} | set(topics)
            tests.append(lambda row: row.thematiques is not None and not wanted.isdisjoint(row.thematiques))
        if frais is not None:
            tests.append(lambda row: row.frais in frais)
        if publics is not None and "tous-publics" not in publics:
            who = set(publics) | {"tous-publics"}
            tests.append(lambda row: row.publics is not None and not who.isdisjoint(row.publics))
        if modes is not None:
            ways = set(modes)
            tests.append(lambda row: row.modes is not None and not ways.isdisjoint(row.modes))
        if types is not None:
            tests.append(lambda row: row.type in types)
        if least is not None:
            tests.append(lambda row: row.score >= least)
        text = read.request.last("recherche_public") if recherche else None
        if text is not None:
            words = slugify(text).split("-")
            tests.append(lambda row: bool(text) and all(
                any(word.rstrip("s") in one for one in (row.publics or ()) + (("habitants-du-quartier",) if row.draw & 2 else ()))
                for word in words))
        rows = self.sources_seen(rows, read.request.query.get("sources"))
        for test in tests:
            rows = [row for row in rows if test(row)]
        return rows

    def list_services(self, request):
        read = Parameters(request)
        page = read.whole("page", 1, 1)
        size = read.whole("size", 5000, 1, 10000)
        tests = self.territory(read)
        rows = self.service_filters(read, self.services)
        for test in tests:
            rows = [row for row in rows if test(row)]
        extra = (request.last("extra") or "").lower() == "true"
        body = self.page(rows, page, size, lambda row, salt: self.service_text(row, salt, extra=extra))
        self.page_given()
        return body

    def distance(self, row, longitude, latitude):
        east, north = self.position(row)
        return math.hypot((east - longitude) * 73, (north - latitude) * 111)

    def both(self, read):
        latitude, longitude = read.number("lat"), read.number("lon")
        read.end()
        if (latitude is None) != (longitude is None):
            raise Invalid("The `lat` and `lon` must be simultaneously filled.")
        return latitude, longitude

    def search_services(self, request):
        read = Parameters(request)
        page = read.whole("page", 1, 1)
        size = read.whole("size", 5000, 1, 10000)
        code = read.commune()
        unique = read.truth("exclure_doublons")
        rows = self.service_filters(read, self.services)
        latitude, longitude = self.both(read)
        found = [(None, row) for row in rows]
        if code is not None:
            commune = COMMUNE_BY_CODE.get(code)
            if commune is None:
                raise Invalid("This `code_commune` does not exist.")
            if latitude is None:
                centre = Place()
                centre.commune, centre.draw = commune, 0
                longitude, latitude = self.position(centre)
            zones = {code, commune.departement, "france", "99100"}
            found = []
            for row in rows:
                if row.zone is not None and zones.isdisjoint(row.zone):
                    continue
                onsite = row.modes is None or "en-presentiel" in row.modes
                away = self.distance(row, longitude, latitude) if row.commune else None
                if onsite and away is not None and away <= SPREAD:
                    found.append((round(away), row))
                elif row.modes is not None and "a-distance" in row.modes:
                    found.append((None, row))
        if unique:
            seen = {}
            for away, row in found:
                seen.setdefault(row.structure.group, row.structure)
            found = [(away, row) for away, row in found if seen[row.structure.group] is row.structure]
        found.sort(key=lambda pair: (pair[0] is None, pair[0] or 0, pair[1].id))
        return self.page(found, page, size, lambda pair, salt: b'{"service":%s,"distance":%s}' % (
            self.service_text(pair[1], salt, structure=True), b"null" if pair[0] is None else b"%d" % pair[0]))

    def search(self, request):
        read = Parameters(request)
        page = read.whole("page", 1, 1)
        size = read.whole("size", 5000, 1, 10000)
        radius = read.whole("distance", SPREAD, 1)
        tests = self.territory(read)
        rows = self.service_filters(read, self.services, recherche=False)
        latitude, longitude = self.both(read)
        for test in tests:
            rows = [row for row in rows if test(row)]
        query = request.last("q")
        score = b"null"
        if query is not None:
            words = slugify(query).split("-")
            rows = [row for row in rows if query.strip() and row.thematiques and row.publics and
                    all(word in slugify(row.nom + " " + row.structure.nom + " " + " ".join(row.thematiques)) for word in words)]
            score = b"0.61"
        found = [(None, row) for row in rows]
        if latitude is not None:
            found = [(self.distance(row, longitude, latitude), row) for row in rows if row.commune]
            found = [(round(away), row) for away, row in found if away <= radius]
        self.rng.shuffle(found)
        found.sort(key=lambda pair: -pair[1].score)
        return self.page(found, page, size, lambda pair, salt: b'{"service":%s,"distance":%s,"score_recherche":%s}' % (
            self.service_text(pair[1], salt, structure=True), b"null" if pair[0] is None else b"%d" % pair[0], score))

    def list_sources(self, request):
        return dumps([{"slug": slug, "nom": nom, "description": f"Source fictive : {nom}."} for slug, nom in SOURCES])

    def doc(self, request, name):
        return dumps([{"value": value, "label": value.split("--")[-1].replace("-", " ").capitalize(),
                       "description": None if place % 2 else "Valeur du référentiel."} for place, value in enumerate(DOC[name])])
