"""API Entreprise, played: the thirteen sources of attestations, the head office, /privileges, pings.

Every other operation of the definitions is answered from files, see exchanges.py, after the same checks.

The checks run in the documented order.  What a company gets depends on its
SIREN alone (or on its SIRET, for sources that know establishments): the fixed
companies of population.py have the outcome their name says, every other valid
number has one drawn from its digits (`outcome`).
"""

import re

from documents import Files
from httpd import Response, dumps
from plateforme import JSON, JSON_API, Call, Plateforme, Refused
from population import FIXED_SIRENS, Paged, companies, is_siren, is_siret, siren_of, siret_of

PROVIDERS = {"01": "INSEE", "03": "DGFIP - Adélie", "04": "ACOSS", "06": "Qualibat", "08": "CNETP", "09": "ProBTP",
             "10": "MSA", "11": "OPQIBI", "12": "FNTP", "19": "ADEME", "32": "Qualifelec", "33": "CARIF-OREF",
             "38": "CIBTP"}
BTP_SCOPES = ("certificat_cnetp", "certification_cnetp", "attestation_cotisations_conges_payes_chomage_intemperies_cibtp_cnetp")


class Operation:
    """One data endpoint: its key, scopes, quota (group, calls a minute), provider number."""

    def __init__(self, name, version, path, key, scopes, group, per_minute, provider):
        self.name, self.version, self.key, self.scopes = name, version, key, scopes
        self.group, self.per_minute, self.provider = group, per_minute, provider
        self.pattern = re.compile(r"/v(\d+)" + path.replace("{key}", "([^/]+)"))


class FromFiles:
    """An operation that files answer: what the checks below need, taken from its definition."""

    name = None

    def __init__(self, route, keys, exchanges):
        self.route, self.keys, self.exchanges = route, keys, exchanges
        self.scopes, self.group = route.scopes, route.limit or "json"
        self.per_minute = route.per_window or 250
        found = re.match(r"/v(\d+)/", route.path)
        self.version = int(found.group(1)) if found else 0

    def code(self, nature):
        """A code of this operation's provider, as its files write them."""
        codes = [error["code"] for exchange in self.exchanges.of_operation("entreprise", self.route.operation)
                 if isinstance(exchange.body, dict) for error in exchange.body.get("errors", [])]
        own = [code for code in codes if not code.startswith("00")]
        return (own[0][:2] if own else "99") + nature

    def answer(self, path, request):
        """Its body; an error of its files, and what no file answers, is raised."""
        name = self.route.refused(path)
        if name is not None:
            raise Refused(422, ["00302" if self.route.checks[name] == "siret" else "00301"], JSON_API, name)
        exchange = self.exchanges.find("entreprise", request.method, path, request.query)
        if exchange is None:
            raise Refused(404, [self.code("003")])
        if exchange.status >= 400:
            refusal = Refused(exchange.status, [])
            refusal.errors = exchange.body["errors"]
            raise refusal
        return exchange.body


OPERATIONS = [
    Operation("vigilance", 4, "/urssaf/unites_legales/{key}/attestation_vigilance", "siren",
              ("attestations_sociales", "attestation_sociale_urssaf"), "urssaf", 100, "04"),
    Operation("fiscale", 4, "/dgfip/unites_legales/{key}/attestation_fiscale", "siren",
              ("attestations_fiscales", "attestation_fiscale_dgfip"), "dgfip", 5, "03"),
    Operation("msa", 3, "/msa/etablissements/{key}/conformite_cotisations", "siret",
              ("msa_cotisations", "cotisations_msa"), "json", 250, "10"),
    Operation("probtp_conformite", 3, "/probtp/etablissements/{key}/conformite_cotisations_retraite", "siret",
              ("probtp", "cotisations_probtp"), "json", 250, "09"),
    Operation("probtp_attestation", 3, "/probtp/etablissements/{key}/attestation_cotisations_retraite", "siret",
              ("probtp", "cotisations_probtp"), "documents", 50, "09"),
    Operation("cibtp", 3, "/cibtp/etablissements/{key}/attestation_cotisations_conges_payes_chomage_intemperies", "siret",
              BTP_SCOPES, "cibtp", 5, "38"),
    Operation("cnetp", 3, "/cnetp/unites_legales/{key}/attestation_cotisations_conges_payes_chomage_intemperies", "siren",
              BTP_SCOPES, "documents", 50, "08"),
    Operation("fntp", 3, "/fntp/unites_legales/{key}/carte_professionnelle_travaux_publics", "siren",
              ("fntp_carte_pro", "open_data"), "documents", 50, "12"),
    Operation("qualibat", 4, "/qualibat/etablissements/{key}/certification_batiment", "siret",
              ("qualibat", "open_data"), "documents", 50, "06"),
    Operation("rge", 3, "/ademe/etablissements/{key}/certification_rge", "siret",
              ("certificat_rge_ademe", "open_data"), "json", 250, "19"),
    Operation("opqibi", 3, "/opqibi/unites_legales/{key}/certification_ingenierie", "siren",
              ("certificat_opqibi", "certification_opqibi", "open_data"), "json", 250, "11"),
    Operation("qualifelec", 3, "/qualifelec/etablissements/{key}/certificats", "siret", ("open_data",), "json", 250, "32"),
    Operation("qualiopi", 3, "/carif_oref/etablissements/{key}/certifications_qualiopi_france_competences", "siret",
              ("certifications_qualiopi_france_competences",), "json", 250, "33"),
    Operation("siege", 4, "/insee/sirene/unites_legales/{key}/siege_social", "siren",
              ("etablissements", "unites_legales_etablissements_insee"), "json", 250, "01"),
]
SOURCES = [operation.name for operation in OPERATIONS[:-1]]

# What a number that is not a fixed company gets: weights of ten, by source.
DRAWN = {
    "vigilance": ["conforme"] * 6 + ["non_conforme", "inconnu", "inconnu", "expire"],
    "fiscale": ["conforme"] * 7 + ["inconnu"] * 3,
    "msa": ["inconnu"] * 5 + ["conforme"] * 3 + ["non_conforme", "examen"],
    "probtp_conformite": ["inconnu"] * 4 + ["conforme"] * 4 + ["non_conforme"] * 2,
    "probtp_attestation": ["inconnu"] * 4 + ["conforme"] * 6,
    "cibtp": ["inconnu"] * 4 + ["conforme"] * 4 + ["non_conforme"] * 2,
    "cnetp": ["inconnu"] * 7 + ["conforme"] * 3,
    "fntp": ["inconnu"] * 7 + ["conforme"] * 3,
    "qualibat": ["inconnu"] * 5 + ["conforme"] * 3 + ["expire", "partiel"],
    "rge": ["inconnu"] * 5 + ["conforme"] * 2 + ["expire"] + ["mixte"] * 2,
    "opqibi": ["inconnu"] * 8 + ["conforme"] * 2,
    "qualifelec": ["inconnu"] * 6 + ["conforme"] * 2 + ["mixte", "expire"],
    "qualiopi": ["inconnu"] * 7 + ["conforme"] * 2 + ["listes_vides"],
}
# How each source fails for the company "indisponible": status, code, seconds before a retry.
DOWN = {"vigilance": (502, "04001", None), "fiscale": (503, "03020", 3600), "msa": (504, "10002", None),
        "probtp_conformite": (502, "09999", None), "probtp_attestation": (502, "09999", None),
        "cibtp": (502, "38001", None), "cnetp": (503, "08020", 1800), "fntp": (502, "12051", None),
        "qualibat": (502, "06052", None), "rge": (502, "19999", None), "opqibi": (504, "11002", None),
        "qualifelec": (502, "32008", 30), "qualiopi": (502, "33999", None), "siege": (504, "01002", None)}
# Valid for long, so that nothing here expires by itself.
VALID_FROM, VALID_TO = "2026-06-30", "2098-12-31"
PAST_FROM, PAST_TO = "2020-12-31", "2021-06-30"


def outcome(source, siren, digits):
    """What a source says of a company: see FIXED and DRAWN."""
    fixed = FIXED_SIRENS.get(siren)
    if fixed is not None:
        return fixed
    if source == "siege":
        return "conforme"
    rank = int(digits[9:13]) - 1 if len(digits) == 14 else 0
    return DRAWN[source][(int(siren[:8]) + 3 * rank + 7 * SOURCES.index(source)) % 10]


class Entreprise(Plateforme):
    PURPOSE = (("00201", "context"), ("00203", "recipient"), ("00202", "object"))

    def __init__(self, count, seed, strict, factor, exchanges):
        super().__init__("entreprise", strict, factor)
        self.exchanges = exchanges
        self.files = Files()
        self.company = {company.siren: company for company in companies(count + Paged.SPARE, seed)}

    def call(self, path, request):
        operation, version, key = self.route(path)
        if operation is not None:
            return Call(lambda request, facts: self.provide(operation, key, request), operation.scopes, operation.group,
                        operation.per_minute, exists=version == operation.version)
        operation = self.in_files(path, request)
        if operation is not None:
            return Call(lambda request, facts: operation.answer(path, request), operation.scopes, operation.group,
                        operation.per_minute, purpose=operation.route.purpose)
        return None

    @staticmethod
    def no_such_address(path):
        gone = path.startswith("/v2/") or re.match(r"/v3/inpi/unites_legales/[^/]+/(actes|brevets|marques|modeles)$", path)
        return Response(410 if gone else 404, b"Gone\n" if gone else b"Not Found\n", "text/plain; charset=utf-8")

    @staticmethod
    def base(request):
        return f"http://{request.host}/entreprise"

    @staticmethod
    def route(path):
        for operation in OPERATIONS:
            found = operation.pattern.fullmatch(path)
            if found:
                return operation, int(found.group(1)), found.group(2)
        return None, 0, ""

    def in_files(self, path, request):
        """The operation of the definitions that asks at this path, or None."""
        route = self.exchanges.route("entreprise", request.method, path)
        return FromFiles(route, route.keys(path), self.exchanges) if route else None

    # -- without a key ----------------------------------------------------

    def open_routes(self, path, request):
        if self.control.options["expire_documents"]:
            self.control.options["expire_documents"] = False
            self.files.expire()
        document = self.files.answer(path, self.base(request))
        if document is not None:
            return document
        if re.fullmatch(r"/v\d+/ping", path):
            return Response(200, dumps({"status": "ok"}), JSON)
        if path == "/pings":
            return Response(200, dumps([{"name": PROVIDERS[operation.provider], "url": f"http://{request.host}/entreprise/ping/{operation.name}"}
                                        for operation in OPERATIONS]), JSON)
        if path.startswith("/ping/"):
            if path.count("/") < 2 or path[6:].split("/")[0] not in [operation.name for operation in OPERATIONS] + ["insee", "urssaf", "dgfip"]:
                return Response(404, b"{}", JSON)
            return Response(200, dumps({"status": "ok", "last_update": "2026-09-01T00:00:00Z", "last_ok_status": "2026-09-01T00:00:00Z"}), JSON)
        if path in ("/privileges", "/v2/privileges"):
            facts = self.tokens.get(self.token(request), ("", {}))[1]
            if not facts or "refusal" in facts:
                status, code = facts.get("refusal", (401, "00101"))
                return Refused(status, [code], JSON).response()
            return Response(200, dumps({"data": {"privileges": facts["scopes"]}}), JSON)
        operation = self.in_files(path, request) if self.route(path)[0] is None else None
        if operation is not None and operation.route.open:
            return self.open_reply(operation, path, request)
        return None

    def open_reply(self, operation, path, request):
        """The reply of an operation that asks no token."""
        try:
            return Response(200, dumps(operation.answer(path, request)), JSON)
        except Refused as refusal:
            return refusal.response()

    # -- what the providers say -------------------------------------------

    def provide(self, operation, key, request):
        if operation.key == "siren" and not is_siren(key):
            raise Refused(422, ["00301"], JSON_API, "siren")
        if operation.key == "siret" and not is_siret(key):
            raise Refused(422, ["00302"], JSON_API, "siret")
        if operation.name == "rge":
            limit = request.last("limit", "1000")
            if not limit.isdigit() or not 1 <= int(limit) <= 1000:
                raise Refused(422, ["00313"], JSON_API, "limit")
        found = outcome(operation.name, key[:9], key)
        meta = {"provider": PROVIDERS[operation.provider]}
        if found == "indisponible":
            status, code, retry_in = DOWN[operation.name]
            raise Refused(status, [code], meta=meta | ({"retry_in": retry_in} if retry_in else {}))
        self.number = int(key[:8])
        self.documents = self.files.link(f"{operation.name}-{key}", self.base(request),
                                         "no-cache" in request.header("cache-control"))
        value = getattr(self, operation.name)(key, found, meta)
        if value is None:
            raise Refused(404, [operation.provider + "003"], meta=meta)
        if isinstance(value, list):
            if operation.name == "rge":
                value = value[:int(limit)]
            rows = [{"data": row, "links": {}, "meta": {}} for row in value]
            return {"data": rows, "meta": {"total": len(rows)} if operation.name == "qualifelec" else {}, "links": {}}
        extra = value.pop("_meta", {})
        return {"data": value, "links": value.pop("_links", {}), "meta": extra}

    def vigilance(self, siren, found, meta):
        if found in ("inconnu", "listes_vides"):
            raise Refused(404, ["04003"], meta=meta | {"provider_errors": [{"code": "FUNC501"}]})
        if found == "examen":
            raise Refused(502, ["04501"], meta=meta | {"retry_in": 172800})
        refused = found == "non_conforme"
        plain = found != "partiel" and not refused
        late = found == "expire"
        return {"entity_status": {
                    "code": "refus_de_delivrance" if refused else "ok",
                    "libelle": "Délivrance refusée" if refused else "Attestation délivrée",
                    "description": "L'entreprise fictive n'est pas à jour." if refused else "L'entreprise fictive est à jour."},
                "date_debut_validite": (PAST_FROM if late else VALID_FROM) if plain else None,
                "date_fin_validite": (PAST_TO if late else VALID_TO) if plain else None,
                "code_securite": f"STUB{self.number:08}ABC" if plain else None,
                "document_url": None if refused else self.documents,
                "document_url_expires_in": None if refused else 86400}

    def fiscale(self, siren, found, meta):
        if found in ("non_conforme", "inconnu", "examen", "listes_vides"):
            return None
        late = found == "expire"
        return {"document_url": self.documents, "document_url_expires_in": 86400,
                "date_delivrance_attestation": "2021-02-10" if late else "2026-09-01",
                "date_periode_analysee": "2021-01-31" if late else "2026-08-31"}

    def msa(self, siret, found, meta):
        if found in ("inconnu", "listes_vides"):
            return None
        return {"status": {"non_conforme": "outdated", "examen": "under_investigation"}.get(found, "up_to_date")}

    def probtp_conformite(self, siret, found, meta):
        if found in ("inconnu", "listes_vides"):
            return None
        return {"eligible": None if found == "partiel" else found != "non_conforme"}

    def probtp_attestation(self, siret, found, meta):
        if found in ("inconnu", "non_conforme", "listes_vides"):
            return None
        if found == "examen":
            raise Refused(502, ["09000"], meta=meta)
        return {"document_url": self.documents, "expires_in": 86400}

    def cibtp(self, siret, found, meta):
        if found in ("inconnu", "examen"):
            return None
        if found in ("non_conforme", "listes_vides"):
            raise Refused(404, ["38422"], meta=meta)
        return {"document_url": None if found == "partiel" else self.documents, "expires_in": None if found == "partiel" else 600}

    def cnetp(self, siren, found, meta):
        if found in ("inconnu", "non_conforme", "examen", "listes_vides"):
            return None
        return {"document_url": self.documents, "expires_in": 86400}

    fntp = cnetp

    def qualibat(self, siret, found, meta):
        if found in ("inconnu", "non_conforme", "examen", "listes_vides"):
            return None
        late, broken = found == "expire", found == "partiel"
        insurance = {"nom": None, "numero": None} if broken else {"nom": "ASSUREUR EXEMPLE", "identifiant": f"{self.number:010}"}
        value = {"document_url": self.documents, "document_url_expires_in": 86400,
                 "date_emission": None if broken else "2020-01-01" if late else "2026-01-01",
                 "date_fin_validite": None if broken else PAST_TO if late else VALID_TO,
                 "entity": {"assurance_responsabilite_travaux": insurance, "assurance_responsabilite_civile": dict(insurance),
                            "certifications": [] if broken else [
                                {"code": "4322", "libelle": "Fabrication et pose de menuiserie « bois »", "rge": False, "date_attribution": "2022-03-03"},
                                {"code": "8611", "libelle": "Efficacité énergétique - \"Les Pros\"", "rge": True, "date_attribution": "2023-03-03"}]}}
        if broken:
            value["_meta"] = {"extractor_error": "invalid_file"}
        return value

    def rge(self, siret, found, meta):
        if found in ("inconnu", "non_conforme", "examen"):
            return None
        labels = {"conforme": (0, 0), "expire": (1, 1), "mixte": (0, 1, 0), "listes_vides": (), "partiel": (0,)}.get(found, (0,))
        return [{"url": self.documents, "nom_certificat": ("Qualisol", "QualiPV", "Éco Artisan")[place % 3],
                 "domaine": "Fenêtres, volets, portes donnant sur l'extérieur", "meta_domaine": "Travaux d'efficacité énergétique",
                 "qualification": {"code": str(32 + place), "nom": f"Qualification {place + 1}"}, "organisme": "qualibat",
                 "date_attribution": "2016-05-01" if late else "2025-05-01", "date_expiration": PAST_TO if late else VALID_TO,
                 "meta": {"internal_id": f"Q{self.number}-{place}", "updated_at": "2026-08-30", "archived": bool(late)}}
                for place, late in enumerate(labels)]

    def opqibi(self, siren, found, meta):
        if found in ("inconnu", "non_conforme", "examen", "listes_vides"):
            return None
        late = found == "expire"
        skill = {"nom": "Étude thermique \"maison individuelle\"", "code_qualification": "1331", "definition": "Calculs réglementaires.", "rge": False}
        return {"numero_certificat": f"OP{self.number:08}", "url": f"https://opqibi.example/fiche/{self.number}",
                "date_delivrance_certificat": "2020-01-28" if late else "2026-01-28", "duree_validite_certificat": "valable un an",
                "assurances": "ASSUREUR EXEMPLE - AUTRE", "qualifications": [skill],
                "date_validite_qualifications": PAST_TO if late else VALID_TO,
                "qualifications_probatoires": [] if found == "partiel" else [dict(skill, rge=True)],
                "date_validite_qualifications_probatoires": None if found == "partiel" else PAST_TO if late else VALID_TO}

    def qualifelec(self, siret, found, meta):
        if found in ("inconnu", "non_conforme", "examen"):
            return None
        certificates = {"conforme": (0, 0), "expire": (1,), "mixte": (0, 1, 0), "listes_vides": ()}.get(found, (0,))
        return [{"document_url": self.documents, "numero": 2840 + place, "rge": place == 0,
                 "date_debut": PAST_FROM if late else VALID_FROM, "date_fin": PAST_TO if late else VALID_TO,
                 "qualification": {"label": "Installations Électriques", "date_debut": PAST_FROM if late else VALID_FROM,
                                   "date_fin": PAST_TO if late else VALID_TO, "indices": [{"code": "LCPT", "label": "Logement & petit tertiaire"}],
                                   "mentions": [{"code": "ATC", "label": "Autocontrôle"}], "domaines": None if found == "partiel" else [],
                                   "classification": {"code": None if found == "partiel" else 1, "label": None if found == "partiel" else "Classe 1"}},
                 "assurance_decennale": {"nom": "ASSUREUR EXEMPLE", "date_debut": None, "date_fin": None},
                 "assurance_civile": {"nom": "AUTRE ASSUREUR", "date_debut": VALID_FROM, "date_fin": VALID_TO}}
                for place, late in enumerate(certificates)]

    def qualiopi(self, siret, found, meta):
        if found in ("inconnu", "non_conforme", "examen"):
            return None
        late = found == "expire"
        empty = found == "listes_vides"
        topic = {"code": "313", "libelle": "Finances, banque, assurances"}
        nothing = {"code": None, "libelle": None}
        return {"siret": siret, "code_uai": None if found == "partiel" else "0351234A", "unite_legale_avec_plusieurs_nda": False,
                "declarations_activites_etablissement": [] if empty else [{
                    "numero_de_declaration": f"53{self.number:09}", "actif": not late, "date_derniere_declaration": "2026-01-30",
                    "date_debut_exercice": "2025-01-01", "date_fin_exercice": "2025-12-31",
                    "certification_qualiopi": {"action_formation": not late, "bilan_competences": False, "validation_acquis_experience": False,
                                               "apprentissage": found == "mixte", "obtention_via_unite_legale": None if found == "partiel" else True},
                    "specialites": {"specialite_1": topic, "specialite_2": nothing, "specialite_3": nothing}}],
                "habilitations_france_competence": [] if empty or found == "partiel" else [{
                    "code": "RNCP10013", "actif": True, "date_actif": "2020-01-30", "date_fin_enregistrement": "2098-01-30", "date_decision": None,
                    "habilitation_pour_former": True, "habilitation_pour_organiser_l_evaluation": False,
                    "sirets_organismes_certificateurs": [siret]}]}

    def siege(self, siren, found, meta):
        if found == "deux_sieges":
            raise Refused(502, ["01501"], meta=meta)
        company = self.company.get(siren)
        if found == "sans_siege" or company is None:
            return None
        asked = siren
        if found == "redirige":
            company = self.company[siren_of(301)]
            siren = company.siren
        commune = company.communes[0]
        naf = {"code": "88.99B", "libelle": "Action sociale sans hébergement n.c.a.", "nomenclature": "NAFRev2"}
        nobody = {name: None for name in ("pseudonyme", "prenom_usuel", "prenom_1", "prenom_2", "prenom_3", "prenom_4", "nom_usage", "nom_naissance", "sexe")}
        staff = {"de": 10, "a": 19, "code": "11", "date_reference": "2024", "intitule": "10 à 19 salariés"}
        siret = siret_of(siren, 1)
        return {"siret": siret, "siege_social": True, "etat_administratif": "A", "date_fermeture": None, "enseigne": None,
                "activite_principale": naf, "activite_principale_naf_rev2": naf, "tranche_effectif_salarie": staff,
                "status_diffusion": "diffusible", "diffusable_commercialement": True, "date_creation": 1138143600,
                "unite_legale": {"siren": siren, "rna": None, "siret_siege_social": siret, "type": "personne_morale",
                                 "personne_morale_attributs": {"raison_sociale": company.nom.upper(), "sigle": None},
                                 "personne_physique_attributs": nobody, "categorie_entreprise": "PME", "status_diffusion": "diffusible",
                                 "diffusable_commercialement": True, "forme_juridique": {"code": "9220", "libelle": "Association déclarée"},
                                 "activite_principale": naf, "activite_principale_naf_rev2": naf, "tranche_effectif_salarie": staff,
                                 "etat_administratif": "A", "economie_sociale_et_solidaire": True, "date_creation": -556765200},
                "adresse": {"numero_voie": "12", "indice_repetition_voie": None, "type_voie": "RUE", "libelle_voie": "DE L'EXEMPLE",
                            "complement_adresse": None, "code_commune": commune.code, "code_postal": commune.postal, "distribution_speciale": None,
                            "code_cedex": None, "libelle_cedex": None, "libelle_commune": commune.nom.upper(), "libelle_commune_etranger": None,
                            "code_pays_etranger": None, "libelle_pays_etranger": None, "status_diffusion": "diffusible",
                            "acheminement_postal": {"l1": company.nom.upper(), "l2": "", "l3": "", "l4": "12 RUE DE L'EXEMPLE", "l5": "",
                                                    "l6": f"{commune.postal} {commune.nom.upper()}", "l7": "FRANCE"}},
                "_links": {"unite_legale": f"https://entreprise.api.gouv.fr/v4/insee/sirene/unites_legales/{siren}"},
                "_meta": {"date_derniere_mise_a_jour": 1788220800, "redirect_from_siret": None} | ({"redirect_from_siren": asked} if asked != siren else {})}
