"""Checks of particulier.py; run by selftest.py."""

import json
import time
import urllib.parse

import exchanges
import tokens

FIXTURES = exchanges.ROOT / "test" / "fixtures" / "exchanges"


def exchanges_of(api):
    """Each exchange in files of an API, with its path."""
    routes = exchanges.routes_of(exchanges.ROOT / "apis")
    for route in {route.operation: route for route in routes if route.api == api}.values():
        for file in sorted((FIXTURES / api / route.operation.strip("/")).glob("*.json")):
            yield json.loads(file.read_text(encoding="utf-8")), route.path


def checks(Case, together):
    """The test case, made of selftest.py's."""
    class Particulier(Case):
        """The person of tokens.py, and those that the exchanges in files know."""

        DSS = "/v3/dss/quotient_familial/identite"

        def person(self, path=DSS, token="particulier", recipient="00000900100017", without=(), more=(), **changes):
            values = {name: text for name, text in (tokens.PERSON | changes).items() if name not in without}
            pairs = [("recipient", recipient)] if recipient else []
            for name, text in [*values.items(), *more]:
                pairs += [(name + "[]", one) for one in text] if isinstance(text, list) else [(name, text)]
            bearer = tokens.FRANCE_CONNECT.get(token) or (tokens.TOKENS[token][1] if token in tokens.TOKENS else token)
            return self.stub.call(f"/particulier{path}?{urllib.parse.urlencode(pairs)}", token=bearer)

        def ask(self, path, token="particulier", **values):
            return self.person(path, token, without=tokens.PERSON, **{}, more=list(values.items()))

        def codes(self, reply):
            return (reply.status, *[error["code"] for error in reply.json["errors"]])

        def test_order_of_the_checks(self):
            self.assertEqual(self.person("/v3/dss/nothing/identite").status, 404)
            self.assertEqual(self.person("/v3/dss/quotient_familial/ine").body, b"Not Found\n")
            for token, refusal in (("particulier_noir", (401, "00105")), ("particulier_ip", (403, "00107")),
                                   ("x", (401, "00101")), ("particulier_expire", (401, "00103")),
                                   ("particulier_sans_scope", (403, "00100"))):
                self.assertEqual(self.codes(self.person(token=token, recipient=None)), refusal)
            older = "/v3/cnous/etudiant_boursier/identite"
            self.assertEqual(self.codes(self.person(older, recipient=None)), (422, "00210"))
            self.assertEqual(self.codes(self.person(older, recipient="1")), (404, "00402"))
            self.assertEqual(self.codes(self.person(recipient="1", nomNaissance="")), (422, "00210"))
            wrong = self.person(nomNaissance="X2", sexeEtatCivil="X", codeCogInseePaysNaissance="1")
            self.assertEqual(self.codes(wrong), (422, "00420", "00427", "00400"))
            reply = self.person()
            self.assertEqual(reply.json["data"]["quotient_familial"]["valeur"], 812)
            self.assertEqual((reply.headers["ratelimit-limit"], reply.headers["content-type"].split(";")[0]),
                             ("20", "application/vnd.api+json"))
            self.assertLessEqual(int(reply.headers["ratelimit-reset"]), time.time() + 1.5)

        def test_civil_status(self):
            self.assertEqual(self.person(prenoms=["apolline", "ZOÉ"], sexeEtatCivil="f").status, 200)
            self.assertEqual(self.codes(self.person(prenoms=["Zoé", "Apolline"])), (404, "37003"))
            self.assertEqual(self.codes(self.person(prenoms="Apolline")), (422, "00367"))
            self.assertEqual(self.codes(self.person(moisDateNaissance=13)), (422, "00363"))
            self.assertEqual(self.codes(self.person(anneeDateNaissance=1899)), (422, "00363"))
            self.assertEqual(self.codes(self.person(codeCogInseeCommuneNaissance="3523")), (422, "00365"))
            named = self.person(without=["codeCogInseeCommuneNaissance"],
                                more=[("nomCommuneNaissance", "rennes"), ("codeCogInseeDepartementNaissance", "35")])
            self.assertEqual(named.status, 200)
            named = self.person(without=["codeCogInseeCommuneNaissance"], more=[("nomCommuneNaissance", "Rennes")])
            self.assertEqual(self.codes(named), (422, "00365"))
            for month, year, refusal in ((6, 2023, "00356"), (13, 2025, "00354"), (12, 2026, "00354")):
                self.assertEqual(self.codes(self.person(annee=year, mois=month)), (422, refusal))
            self.assertEqual(self.person(annee=2025, mois=6).json["data"]["quotient_familial"]["fournisseur"], "MSA")
            student = "/v3/mesri/statut_etudiant/identite"
            self.assertEqual(self.codes(self.person(student, jourDateNaissance=31)), (422, "00425"))
            short = self.person(student, without=["moisDateNaissance", "sexeEtatCivil"])
            self.assertEqual(self.codes(short), (422, "00423", "00427"))
            service = "/v3/dsnj/service_national/identite"
            self.assertEqual(self.codes(self.person(service, anneeDateNaissance=1999)), (422, "39400"))

        def test_other_keys(self):
            for path, key, wanted in (("/v3/mesri/statut_etudiant/ine", {"ine": "12345678901"}, (404, "25003")),
                                      ("/v3/mesri/statut_etudiant/ine", {"ine": "123456789LL"}, (422, "00360")),
                                      ("/v3/sdh/statut_sportif/identifiant", {"identifiant": "a"}, (422, "00380")),
                                      ("/v3/france_travail/statut/identifiant", {"identifiant": " "}, (422, "00380")),
                                      ("/v4/cnous/etudiant_boursier/ine", {"ine": "0770770770K", "campaignYear": 2026},
                                       (422, "00368"))):
                self.assertEqual(self.codes(self.ask(path, **key)), wanted)
            school = "/v5/men/scolarites/identite"
            place = ["codeCogInseePaysNaissance", "codeCogInseeCommuneNaissance"]
            self.assertEqual(self.codes(self.person(school, without=place)), (422, "00411", "00412", "00413"))
            for more, refusal in (({"codeEtablissement": "035"}, "00410"),
                                  ({"codeEtablissement": "0350001A", "codesBcnRegions": ["14"]}, "00419"),
                                  ({"degreEtablissement": "2D", "codesBcnDepartements": ["35"]}, "00416")):
                more = [("anneeScolaire", "2025"), *more.items()]
                self.assertEqual(self.codes(self.person(school, without=place, more=more)), (422, refusal))
            more = [("anneeScolaire", "2025-2026"), ("degreEtablissement", "2D"),
                    ("codesBcnDepartements", ["035", "022"])]
            found = self.person(school, without=place, more=more)
            self.assertEqual(found.json["data"]["annee_scolaire"], "2025-2026")

        def test_scopes_mask(self):
            self.assertEqual(list(self.person(token="particulier_peu").json["data"]), ["quotient_familial", "adresse"])
            student = self.ask("/v3/mesri/statut_etudiant/ine", "particulier_peu", ine="0770770770K").json["data"]
            self.assertEqual(set(student["admissions"][0]), {"date_debut", "date_fin", "est_inscrit"})
            civic = self.person("/v3/gip_mds/service_civique/identite", "particulier_peu",
                                without=["sexeEtatCivil", "codeCogInseePaysNaissance", "codeCogInseeCommuneNaissance"])
            self.assertEqual(civic.json["data"], {"statut_actuel": {"contrat_trouve": True}})

        def test_france_connect(self):
            path = "/v4/cnous/etudiant_boursier/france_connect"
            self.assertEqual(self.ask(path, "france_connect").json["data"]["email"], "apolline@exemple.invalid")
            self.assertNotIn("identite", self.ask(path, "france_connect").json["data"])
            self.assertEqual(list(self.ask(path, "france_connect_peu").json["data"]), ["email"])
            for token, refusal in (("particulier", (401, "50001")), ("", (401, "50001")), ("fc-x", (401, "50002")),
                                   ("france_connect_expire", (401, "50002")),
                                   ("france_connect_sans_identite", (401, "50003")),
                                   ("france_connect_autre", (404, "26003"))):
                self.assertEqual(self.codes(self.ask(path, token)), refusal)
            vehicle = "/v3/ants/extrait_immatriculation_vehicule/france_connect"
            self.assertEqual(self.codes(self.ask(vehicle, "france_connect")), (422, "00430"))
            found = self.ask(vehicle, "france_connect", immatriculation="zz-001-zz").json
            self.assertTrue(found["meta"]["identity_matching"]["overall_match"])

        def test_every_exchange_answers(self):
            """Each file is what the server gives for its request: none asks for what the checks refuse."""
            for exchange, path in exchanges_of("particulier"):
                request, kind = exchange["request"], path.rpartition("/")[2]
                token = "particulier"
                if kind == "france_connect":
                    identity = {name: text for name, text in request.items() if name in tokens.PERSON} or tokens.PERSON
                    token = tokens.france_connect(identity)
                    request = {name: text for name, text in request.items() if name not in tokens.PERSON}
                reply = self.ask(path, token, **request)
                self.assertEqual((reply.status, reply.json), (exchange["status"], exchange["body"]), (path, request))

        def test_the_token_and_the_state(self):
            few = self.stub.call("/particulier/api/introspect", token=tokens.TOKENS["particulier_peu"][1]).json
            self.assertEqual((few["name"], few["scopes"]), ("", tokens.PARTICULIER_SCOPES))
            self.assertEqual(self.stub.call("/particulier/api/introspect").status, 401)
            whole = self.stub.call("/particulier/v3/token/introspect", token=tokens.TOKENS["particulier"][1]).json
            self.assertEqual(whole["data"]["type"], "standard")
            states = [self.stub.call("/particulier/api/" + what).status
                      for what in ("ping", "pings", "men_scolarite/ping", "x/ping")]
            self.assertEqual(states, [200, 200, 200, 404])

        def test_identical_calls_and_quota(self):
            self.stub.control("latency", {"ms": 200})
            replies = together([self.person] * 2)
            self.assertEqual(sorted(reply.status for reply in replies), [200, 409])
            self.stub.control("latency", {"ms": 0})
            if time.time() % 60 > 55:        # a window that ends now proves nothing
                time.sleep(60 - time.time() % 60)
            replies = [self.person(token="particulier_quota") for _ in range(4)]
            self.assertEqual([reply.status for reply in replies], [200, 200, 200, 429])

    return Particulier
