"""API Particulier, played: the checks in the documented order, then what test/fixtures/exchanges holds.

A person exists for an operation when some exchange asks for exactly that civil status, INE or identifier; anybody
else gets 404 with code XX003 of the provider.  With FranceConnect, the bearer is the person's token (tokens.py): its
identity stands for the parameters, its scopes for those of an authorisation.  Keys of the reply whose scope is not
held are left out, as in production.  Latest versions only.
"""

import datetime
import re

from httpd import Response, dumps
from plateforme import JSON, JSON_API, Call, Plateforme, Refused
from territoires import COMMUNES
from tokens import FRANCE_CONNECT, JWT_FORM, person_of

TODAY = datetime.date(2026, 11, 16)    # whatever the clock says: nothing here gets too old by itself
REQUESTS, WINDOW_S = 20, 1         # April 2026; the strict counting of /_stub/strict plays other rules
# What of a FranceConnect identity a provider compares: all, all but the country, names and dates, nothing.
NAMES = ("nomNaissance", "nomUsage", "prenoms", "anneeDateNaissance", "moisDateNaissance", "jourDateNaissance")
BIRTH = (*NAMES, "sexeEtatCivil", "codeCogInseeCommuneNaissance")
COMPARED = ((*BIRTH, "codeCogInseePaysNaissance"), BIRTH, NAMES, ())
LETTERS = re.compile(r"[^\W\d_]+([ '’-]+[^\W\d_]+)*[ '-]*")
INE = re.compile(r"\d{9}[A-HJK]{2}|\d{10}[A-Z]|[0-9A-Z]{10}\d|\d{4}A\d{5}[A-Z]", re.IGNORECASE)
COMMUNE = re.compile(r"\d{5}|2[AB]\d{3}", re.IGNORECASE)


class Resource:
    """A resource of one provider: version, provider's number, what its civil status must hold, its masks.

    masks: key of data, or path in its objects and lists, to the scope that unmasks it.
    """

    def __init__(self, version, provider, number, modalities, masks, scopes=(), **civil):
        self.version, self.provider, self.number, self.modalities = version, provider, number, modalities
        self.masks, self.scopes, self.civil = masks, sorted({*masks.values(), *scopes}), civil


def under(prefix, keys):
    return {key: prefix + key for key in keys.split()}


def dss(masks, scopes=()):
    return Resource(3, "CNAV", "37", ("identite", "france_connect"), masks, scopes, loose=True, country=True)


def right(scope, *more):
    """The masks of a right: its keys, all under one scope."""
    return {key: scope for key in ("est_beneficiaire", "date_debut_droit", *more)}


FAMILY = {"allocataires": "cnaf_allocataires", "enfants": "cnaf_enfants", "adresse": "cnaf_adresse",
          "quotient_familial": "cnaf_quotient_familial"}
DSNJ = "dsnj_statut_service_national"
EAJE = "cnav_participation_familiale_eaje_"
CIVIQUE = "gip_mds_service_civique_"
ANTS = "ants_extrait_immatriculation_vehicule_"
RESOURCES = {
    "dss/quotient_familial": dss(FAMILY),
    "dss/participation_familiale_eaje": dss(under(EAJE, "allocataires enfants adresse") |
                                            {"parametres_calcul_participation_familiale": EAJE + "parametres_calcul"}),
    "dss/allocation_adulte_handicape": dss(right("allocation_adulte_handicape")),
    "dss/allocation_enfant_handicape": dss({}, ["cnav_allocation_enfant_handicape"]),
    "dss/allocation_soutien_familial": dss(right("allocation_soutien_familial")),
    "dss/allocation_rentree_scolaire": dss({}, ["cnav_allocation_rentree_scolaire"]),
    "dss/complementaire_sante_solidaire": dss(right("complementaire_sante_solidaire", "avec_participation")),
    "dss/prime_activite": dss(right("prime_activite") | {"avec_majoration": "prime_activite_majoration"}),
    "dss/revenu_solidarite_active": dss(right("revenu_solidarite_active") |
                                        {"avec_majoration": "revenu_solidarite_active_majoration"}),
    "dss/foyer_rsa": dss({}),
    "cnous/etudiant_boursier": Resource(
        4, "CNOUS", "26", ("identite", "ine", "france_connect"),
        {"statut_boursier": "cnous_statut_boursier", "echelon_bourse": "cnous_echelon_bourse", "email": "cnous_email",
         "periode_versement_bourse": "cnous_periode_versement", "etablissement_etudes": "cnous_ville_etudes",
         "identite": "cnous_identite"}, ["cnous_statut_bourse"], sex=False),
    "dsnj/service_national": Resource(3, "DSNJ", "39", ("identite", "france_connect"),
                                      {"statut_service_national": DSNJ, "commentaires": DSNJ}, country=True,
                                      ages=(16, 25)),
    "france_travail/indemnites": Resource(3, "France Travail", "24", ("identifiant",),
                                          {"paiements": "pole_emploi_paiements"}),
    "france_travail/statut": Resource(3, "France Travail", "24", ("identifiant",),
                                      under("pole_emploi_", "identifiant identite contact inscription adresse")),
    "gip_mds/service_civique": Resource(
        3, "GIP-MDS", "31", ("identite", "france_connect"),
        under(CIVIQUE, "statut_actuel statut_passe") |
        {f"{part}.{key}": CIVIQUE + scope for part in ("statut_actuel", "statut_passe")
         for key, scope in (("organisme_accueil", "organisme_accueil"), ("date_debut_contrat", "dates"),
                            ("date_fin_contrat", "dates"))},
        sex=None),
    "men/scolarites": Resource(
        5, "MEN", "30", ("identite",),
        {"identite": "men_statut_identite", "annee_scolaire": "men_statut_scolarite",
         "est_scolarise": "men_statut_scolarite", "statut_eleve": "men_statut_scolarite",
         "etablissement": "men_statut_etablissement",
         "module_elementaire_formation": "men_statut_module_elementaire_formation",
         "est_boursier": "men_statut_boursier", "echelon_bourse": "men_echelon_bourse",
         "regime_pensionnat": "men_regime_pensionnat"}),
    "mesri/statut_etudiant": Resource(
        3, "MESRI", "25", ("identite", "ine", "france_connect"),
        {"identite": "mesri_identite", "admissions": "mesri_admissions",
         "admissions.est_inscrit": "mesri_admission_inscrit",
         "admissions.regime_formation": "mesri_admission_regime_formation",
         "admissions.code_cog_insee_commune": "mesri_admission_commune_etudes",
         "admissions.etablissement_etudes": "mesri_admission_etablissement_etudes"}),
    "sdh/statut_sportif": Resource(
        3, "SDH", "41", ("identifiant",),
        under("sdh_statut_sportif_", "identite est_sportif_de_haut_niveau a_ete_sportif_de_haut_niveau"
                                     " informations_statut informations_statuts_precedents")),
    "ants/extrait_immatriculation_vehicule": Resource(
        3, "ANTS", "42", ("france_connect",),
        under(ANTS, "adresse_particulier statut_rattachement donnees_immatriculation_vehicule"
                    " caracteristiques_techniques_vehicule"),
        [ANTS + "identite_particulier"]),
}
PINGS = {"cnaf_msa_quotient_familial": "CNAF & MSA", "men_scolarite": "MEN", "cnous_statut_boursier": "CNOUS",
         "franceconnect": "FranceConnect"}
PING = {"status": "ok", "last_update": "2026-09-01T00:00:00Z", "last_ok_status": "2026-09-01T00:00:00Z"}


class Mistakes:
    """The parameters that are not right: code to parameter, told together."""

    def __init__(self):
        self.found = {}

    def unless(self, is_right, code, name):
        if not is_right:
            self.found.setdefault(code, name)

    def told(self):
        if self.found:
            raise Refused(422, list(self.found), JSON_API, self.found)


class Particulier(Plateforme):
    PURPOSE = (("00210", "recipient"),)

    def __init__(self, strict, factor, exchanges):
        super().__init__("particulier", strict, factor)
        self.exchanges = exchanges

    # -- whose call, which one --------------------------------------------

    def call(self, path, request):
        if path == "/v3/token/introspect":
            return Call(lambda request, facts: self.introspect(facts), [], "json", REQUESTS, WINDOW_S, purpose=False)
        found = re.fullmatch(r"/v(\d+)/(\w+/\w+)/(\w+)", path)
        resource = RESOURCES.get(found[2]) if found else None
        if resource is None or found[3] not in resource.modalities:
            return None
        call = Call(lambda request, facts: self.provide(resource, found[2], found[3], path, request, facts),
                    resource.scopes, "json", REQUESTS, WINDOW_S, exists=int(found[1]) == resource.version)
        call.france_connect = found[3] == "france_connect"
        return call

    @staticmethod
    def no_such_address(path):
        return Response(404, b"Not Found\n", "text/plain; charset=utf-8")

    def known(self, token, call):
        if not getattr(call, "france_connect", False):
            return super().known(token, call)
        person = person_of(token)
        if person is None:
            return "", {}
        # What belongs to an identity is never given with FranceConnect.
        scopes = person.get("scopes") or call.scopes
        return token, person | {"scopes": [scope for scope in scopes if "_identite" not in scope]}

    def unknown(self, token, call):
        if not getattr(call, "france_connect", False):
            return "00101"
        return "50001" if not token or JWT_FORM.fullmatch(token) else "50002"

    def whose(self, request):
        token = self.token(request)
        names = [name for name, value in FRANCE_CONNECT.items() if value == token]
        return names[0] if names else super().whose(request)

    def open_routes(self, path, request):
        if path == "/api/ping":
            return Response(200, dumps({"status": "ok"}), JSON)
        if path == "/api/pings":
            return Response(200, dumps([{"name": name, "url": f"http://{request.host}/particulier/api/{ident}/ping"}
                                        for ident, name in PINGS.items()]), JSON)
        found = re.fullmatch(r"/api/(\w+)/ping", path)
        if found:
            return Response(200, dumps(PING), JSON) if found[1] in PINGS else Response(404, b"{}", JSON)
        if path == "/api/introspect":
            facts = super().known(self.token(request), None)[1]
            if not facts or "refusal" in facts:
                status, code = facts.get("refusal", (401, "00101"))
                return Refused(status, [code], JSON).response()
            return Response(200, dumps({"_id": facts["jti"], "name": "", "scopes": facts["scopes"]}), JSON)
        return None

    @staticmethod
    def introspect(facts):
        return {"data": {"id": facts["jti"], "type": "standard", "scopes": facts["scopes"], "datapass_id": "12345",
                         "siret_souscripteur": "00000900100017", "date_emission": "2025-01-01T00:00:00Z",
                         "date_expiration": "2036-01-01T00:00:00Z", "rate_limit_par_minute": 250, "delegation": None},
                "links": {"datapass": "https://datapass.example/demandes/12345"}, "meta": {}}

    # -- what the providers say -------------------------------------------

    def provide(self, resource, name, modality, path, request, facts):
        given = {key.removesuffix("[]"): values if key.endswith("[]") else values[-1]
                 for key, values in request.query.items() if key != "recipient"}
        scalars = {key for key in request.query if not key.endswith("[]")}
        if modality == "france_connect":
            if not facts.get("identity"):
                raise Refused(401, ["50003"], JSON)
            candidates = [{key: text for key, text in facts["identity"].items() if key in keys} | given
                          for keys in COMPARED]
        else:
            candidates = [given]
        check(resource, name, modality, given, scalars)
        found = [self.exchanges.find("particulier", "GET", path, one) for one in candidates]
        exchange = next((one for one in found if one is not None), None)
        if exchange is None and modality == "identite" and "ages" in resource.civil:
            check_age(resource, given)          # recorded replies are of persons of any age
        if exchange is None:
            raise Refused(404, [resource.number + "003"], meta={"provider": resource.provider})
        if exchange.status >= 400:
            refusal = Refused(exchange.status, [])
            refusal.errors = exchange.body["errors"]
            raise refusal
        return masked(exchange.body, resource.masks, facts)


def masked(body, masks, facts):
    """A copy of a reply without the keys whose scope is not held."""
    def without(value, prefix):
        if isinstance(value, list):
            return [without(one, prefix) for one in value]
        if not isinstance(value, dict):
            return value
        return {key: without(one, f"{prefix}{key}.") for key, one in value.items()
                if is_held(masks.get(f"{prefix}{key}"))}

    def is_held(scope):
        return scope is None or facts.get("all_scopes") or scope in facts["scopes"]
    return body | {"data": without(body["data"], "")}


# -- the parameters --------------------------------------------------------

def check(resource, name, modality, given, scalars):
    """Refuse with 422 what the service refuses, all mistakes together; a commune's name becomes its code."""
    mistakes = Mistakes()
    if modality == "identite":
        check_civil(resource, given, scalars, mistakes)
    elif modality == "ine":
        mistakes.unless(INE.fullmatch(given.get("ine", "")), "00360", "ine")
    elif modality == "identifiant":
        right_form = r"\d+" if resource.provider == "SDH" else r".*\S.*"
        mistakes.unless(re.fullmatch(right_form, given.get("identifiant", "")), "00380", "identifiant")
    if name == "dss/quotient_familial":
        check_month(given, mistakes)
    elif resource.provider == "CNOUS":
        mistakes.unless(number(given, "campaignYear", 2021, TODAY.year - 1, True), "00368", "campaignYear")
    elif resource.provider == "MEN":
        check_school(given, mistakes)
    elif resource.provider == "ANTS":
        mistakes.unless(given.get("immatriculation", "").strip(), "00430", "immatriculation")
    mistakes.told()
    if modality == "identite" and "nomCommuneNaissance" in given:
        wanted = (given.pop("nomCommuneNaissance").casefold(), given.pop("codeCogInseeDepartementNaissance", ""))
        found = [commune.code for commune in COMMUNES if (commune.nom.casefold(), commune.departement) == wanted]
        mistakes.unless(found and "anneeDateNaissance" in given, "00365", "nomCommuneNaissance")
        mistakes.told()
        given["codeCogInseeCommuneNaissance"] = found[0]


def check_civil(resource, given, scalars, mistakes):
    loose = resource.civil.get("loose", False)
    mistakes.unless(LETTERS.fullmatch(given.get("nomNaissance", "")), "00420", "nomNaissance")
    first = given.get("prenoms", [])
    is_right = "prenoms" not in scalars and (first or loose) and all(LETTERS.fullmatch(one) for one in first)
    mistakes.unless(is_right, "00367" if loose else "00421", "prenoms")
    check_birth(resource, given, loose, mistakes)
    sex = resource.civil.get("sex", not loose)
    if sex is not None:
        mistakes.unless(given.get("sexeEtatCivil", "" if sex else "M").upper() in ("M", "F"), "00427", "sexeEtatCivil")
    if resource.civil.get("country"):
        country = given.get("codeCogInseePaysNaissance", "")
        mistakes.unless(re.fullmatch(r"99\d{3}|92352", country), "00400", "codeCogInseePaysNaissance")
    commune = given.get("codeCogInseeCommuneNaissance")
    mistakes.unless(commune is None or COMMUNE.fullmatch(commune), "00365", "codeCogInseeCommuneNaissance")


def check_birth(resource, given, loose, mistakes):
    parts = (("anneeDateNaissance", "00422"), ("moisDateNaissance", "00423"), ("jourDateNaissance", "00424"))
    for part, code in parts:
        mistakes.unless(number(given, part, 1, 9999, loose), "00363" if loose else code, part)
    if mistakes.found or any(part not in given for part, _ in parts):
        return
    try:
        birth = datetime.date(*(int(given[part]) for part, _ in parts))
    except ValueError:
        birth = None
    if loose:
        mistakes.unless(birth and datetime.date(1900, 1, 1) <= birth < TODAY, "00363", "anneeDateNaissance")
    else:
        mistakes.unless(birth, "00425", "jourDateNaissance")


def check_age(resource, given):
    """Refuse a person whom the service does not cover."""
    birth = datetime.date(*(int(given[part]) for part in NAMES[-3:]))
    age = TODAY.year - birth.year - ((TODAY.month, TODAY.day) < (birth.month, birth.day))
    least, most = resource.civil["ages"]
    if not least <= age <= most:
        raise Refused(422, ["39400"], JSON_API, "anneeDateNaissance")


def check_month(given, mistakes):
    mistakes.unless(number(given, "annee", TODAY.year - 2, TODAY.year, True), "00356", "annee")
    year = int(given.get("annee", TODAY.year)) if not mistakes.found else TODAY.year
    mistakes.unless(number(given, "mois", 1, 12 if year < TODAY.year else TODAY.month, True), "00354", "mois")


def check_school(given, mistakes):
    mistakes.unless(re.fullmatch(r"\d{4}(-\d{4})?", given.get("anneeScolaire", "")), "00411", "anneeScolaire")
    places = [name for name in ("codesBcnDepartements", "codesBcnRegions") if name in given]
    if "codeEtablissement" in given:
        mistakes.unless(not places, "00419", "codeEtablissement")
        mistakes.unless(re.fullmatch(r"\d{7}[A-Za-z]", given["codeEtablissement"]), "00410", "codeEtablissement")
        return
    mistakes.unless(given.get("degreEtablissement") in ("1D", "2D"), "00412", "degreEtablissement")
    mistakes.unless(len(places) == 1, "00413", "codesBcnDepartements")
    for name, code, form in (("codesBcnDepartements", "00416", r"\d{3}|02[AB]"),
                             ("codesBcnRegions", "00417", r"\d{2}")):
        mistakes.unless(name not in given or all(given[name]), "00414", name)
        mistakes.unless(all(re.fullmatch(form, one) for one in given.get(name, [])), code, name)


def number(given, name, least, most, optional):
    """Whether a parameter is a number within bounds, or absent when it may be."""
    if name not in given:
        return optional
    return re.fullmatch(r"\d{1,4}", given[name]) is not None and least <= int(given[name]) <= most
