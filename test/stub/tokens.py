"""The credentials that the local API server knows.  None opens anything real.

    python3 tokens.py            all names
    python3 tokens.py NAME       one value
    python3 tokens.py '{...}'    a FranceConnect token for that identity (parameters of API Particulier)
"""

import base64
import hashlib
import json
import re
import sys
import uuid

ENTREPRISE_SCOPES = [
    "open_data", "attestations_sociales", "attestation_sociale_urssaf", "attestations_fiscales",
    "attestation_fiscale_dgfip", "msa_cotisations", "cotisations_msa", "probtp", "cotisations_probtp",
    "certificat_cnetp", "certification_cnetp", "attestation_cotisations_conges_payes_chomage_intemperies_cibtp_cnetp",
    "fntp_carte_pro", "qualibat", "certificat_rge_ademe", "certificat_opqibi", "certification_opqibi",
    "certifications_qualiopi_france_competences", "etablissements", "entreprises", "unites_legales_etablissements_insee",
]
# Three authorisations of one administration, each for what its service does.
PREREMPLISSAGE = ["unites_legales_etablissements_insee"]
PREQUALIFICATION = ["open_data", "attestation_fiscale_dgfip", "attestation_sociale_urssaf"]
INSTRUCTION = PREQUALIFICATION + [
    "unites_legales_etablissements_insee", "cotisations_msa", "cotisations_probtp",
    "attestation_cotisations_conges_payes_chomage_intemperies_cibtp_cnetp",
    "certifications_qualiopi_france_competences",
]
PARTICULIER_SCOPES = ["cnaf_quotient_familial", "cnaf_adresse", "cnous_statut_boursier", "mesri_admissions",
                      "mesri_admission_inscrit", "gip_mds_service_civique_statut_actuel", "pole_emploi_identite"]
TRAVAIL_SCOPES = ("api_stats-offres-demandes-emploiv1", "offresetdemandesemploi")


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(claims):
    """A JWT whose signature nobody can check: the server compares whole tokens."""
    head = _b64(b'{"alg":"HS256","typ":"JWT"}')
    body = _b64(json.dumps(claims, separators=(",", ":")).encode())
    return f"{head}.{body}.{_b64(hashlib.sha256((head + body).encode()).digest())}"


def _ident(kind, name):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://stub.example/{kind}/{name}"))


def _particulier(name, scopes, exp=2082758400, **facts):
    """A row of TOKENS."""
    claims = {"uid": _ident("uid", name), "jti": _ident("jti", name), "scopes": scopes, "sub": "stub",
              "iat": 1735689600, "version": "1.0", "exp": exp}
    return "particulier", jwt(claims), {"scopes": scopes, "jti": claims["jti"]} | facts


def _entreprise(name, scopes, exp=2082758400, claim="scopes"):
    def ident(kind):
        return _ident(kind, name)
    return jwt({"uid": ident("uid"), "jti": ident("jti"), claim: scopes, "sub": "stub", "iat": 1735689600,
                "version": "1.0", "exp": exp})


def _alnum(name):
    return (name.replace("_", "") * 64)[:64]


# name: (api, value, what the server knows of it; all_scopes: those of the operations that files answer, too)
TOKENS = {
    "marche_inclusion": ("marche_inclusion", _alnum("marche_inclusion0"), {}),
    "marche_inclusion_autre": ("marche_inclusion", _alnum("marche_inclusion_autre0"), {}),
    "data_inclusion": ("data_inclusion", jwt({"sub": "stub", "scopes": ["api"], "created_at": "2025-05-01"}),
                       {"scopes": ["api"]}),
    "data_inclusion_dora": ("data_inclusion",
                            jwt({"sub": "dora-stub", "scopes": ["api"], "created_at": "2025-05-01"}),
                            {"scopes": ["api"], "soliguide": True}),
    "data_inclusion_widget": ("data_inclusion",
                              jwt({"sub": "stub", "scopes": ["widget"], "created_at": "2025-05-01"}),
                              {"scopes": ["widget"]}),
    "entreprise": ("entreprise", _entreprise("all", ENTREPRISE_SCOPES),
                   {"scopes": ENTREPRISE_SCOPES, "all_scopes": True}),
    "entreprise_autre": ("entreprise", _entreprise("other", ENTREPRISE_SCOPES),
                         {"scopes": ENTREPRISE_SCOPES, "all_scopes": True}),
    "entreprise_open_data": ("entreprise", _entreprise("open", ["open_data"]), {"scopes": ["open_data"]}),
    "entreprise_preremplissage": ("entreprise", _entreprise("prefill", PREREMPLISSAGE), {"scopes": PREREMPLISSAGE}),
    "entreprise_prequalification": ("entreprise", _entreprise("prequalify", PREQUALIFICATION),
                                    {"scopes": PREQUALIFICATION}),
    "entreprise_instruction": ("entreprise", _entreprise("examine", INSTRUCTION), {"scopes": INSTRUCTION}),
    "entreprise_peu": ("entreprise", _entreprise("few", ["attestation_fiscale_dgfip", "cotisations_msa"]),
                       {"scopes": ["attestation_fiscale_dgfip", "cotisations_msa"]}),
    "entreprise_sans_scope": ("entreprise", _entreprise("none", []), {"scopes": []}),
    "entreprise_ancien": ("entreprise", _entreprise("old", ["open_data", "attestations_sociales"], claim="roles"),
                          {"scopes": ["open_data", "attestations_sociales"]}),
    "entreprise_opaque": ("entreprise", "opaque-token-of-the-stub",
                          {"scopes": ["open_data", "attestations_sociales"]}),
    "entreprise_expire": ("entreprise", _entreprise("expired", ENTREPRISE_SCOPES, exp=1704067200),
                          {"scopes": ENTREPRISE_SCOPES, "refusal": (401, "00103")}),
    "entreprise_noir": ("entreprise", _entreprise("black", ENTREPRISE_SCOPES),
                        {"scopes": ENTREPRISE_SCOPES, "refusal": (401, "00105")}),
    "entreprise_ip": ("entreprise", _entreprise("ip", ENTREPRISE_SCOPES),
                      {"scopes": ENTREPRISE_SCOPES, "refusal": (403, "00107")}),
    "entreprise_blanc": ("entreprise", _entreprise("white", ENTREPRISE_SCOPES),
                         {"scopes": ENTREPRISE_SCOPES, "white": True}),
    "entreprise_quota": ("entreprise", _entreprise("quota", ENTREPRISE_SCOPES),
                         {"scopes": ENTREPRISE_SCOPES, "quota": 3}),
    "particulier": _particulier("p-all", PARTICULIER_SCOPES, all_scopes=True),
    "particulier_autre": _particulier("p-other", PARTICULIER_SCOPES, all_scopes=True),
    "particulier_peu": _particulier("p-few", PARTICULIER_SCOPES),
    "particulier_sans_scope": _particulier("p-none", []),
    "particulier_expire": _particulier("p-expired", PARTICULIER_SCOPES, exp=1704067200, refusal=(401, "00103")),
    "particulier_noir": _particulier("p-black", PARTICULIER_SCOPES, refusal=(401, "00105")),
    "particulier_ip": _particulier("p-ip", PARTICULIER_SCOPES, refusal=(403, "00107")),
    "particulier_quota": _particulier("p-quota", PARTICULIER_SCOPES, all_scopes=True, quota=3, quota_s=60),
}

# name: (client_id, client_secret, scopes it may ask, whether the API accepts its tokens)
CLIENTS = {
    "marche_travail": ("PAR_stub_complet", "secret-complet", TRAVAIL_SCOPES, True),
    "marche_travail_autre": ("PAR_stub_autre", "secret-autre", TRAVAIL_SCOPES, True),
    "marche_travail_partiel": ("PAR_stub_partiel", "secret-partiel", TRAVAIL_SCOPES[:1], True),
    "marche_travail_refuse": ("PAR_stub_refuse", "secret-refuse", TRAVAIL_SCOPES, False),
}


JWT_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")

# The person whom most tokens of FranceConnect stand for, and whom exchanges in files know.
PERSON = {"nomNaissance": "Cartier-Blé", "prenoms": ["Apolline", "Zoé"], "anneeDateNaissance": 2004,
          "moisDateNaissance": 4, "jourDateNaissance": 12, "sexeEtatCivil": "F",
          "codeCogInseePaysNaissance": "99100", "codeCogInseeCommuneNaissance": "35238"}


def france_connect(identity, **facts):
    """The token of a person: what it stands for, readable by this server alone."""
    return "fc-" + _b64(json.dumps({"identity": identity} | facts, sort_keys=True).encode())


def person_of(token):
    """What is known of a FranceConnect token; None for none."""
    if not token.startswith("fc-"):
        return None
    packed = token.removeprefix("fc-")
    try:
        return json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
    except ValueError:
        return None


# name: value; without `scopes`, those of the operation
FRANCE_CONNECT = {
    "france_connect": france_connect(PERSON),
    "france_connect_autre": france_connect(PERSON | {"nomNaissance": "Personne", "prenoms": ["Inconnue"]}),
    "france_connect_peu": france_connect(PERSON, scopes=["cnous_email", "cnaf_quotient_familial", "mesri_admissions"]),
    "france_connect_sans_identite": france_connect({}),
    "france_connect_expire": france_connect(PERSON, refusal=[401, "50002"]),
}


def by_value(api):
    """Token value to (name, facts) for one API."""
    return {value: (name, facts) for name, (owner, value, facts) in TOKENS.items() if owner == api}


def main(names):
    values = {name: value for name, (_, value, _) in TOKENS.items()} | FRANCE_CONNECT
    for name, (client_id, secret, _, _) in CLIENTS.items():
        values[name + "_id"] = client_id
        values[name + "_secret"] = secret
    if not names:
        for name in values:
            print(name)
    for name in names:
        if name.startswith("{"):
            values[name] = france_connect(json.loads(name))
        if name not in values:
            sys.exit(f"tokens.py: no such name: {name}")
        print(values[name])


if __name__ == "__main__":
    main(sys.argv[1:])
