#!/usr/bin/python3
"""Checks the local API server: on its own, then against recorded replies when they are at hand.

    python3 selftest.py [-v]      last line: N passed, N failed

Recorded replies are looked for in ../shared/samples beside the project, or in $APIGOUV_SAMPLES.
"""

import gzip
import http.client
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

import control
import httpd
import particulier_test
import strict
import tokens
from exchanges_test import ExchangesInFiles  # noqa: F401 (found by unittest)
from marche_inclusion import OPCS_ID
from population import is_siret, siren_of, siret_of
from selftest_travail import TravailChecks

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = os.environ.get("APIGOUV_SAMPLES") or os.path.join(HERE, "..", "..", "..", "shared", "samples")
COUNT = 600
PURPOSE = "context=marche&object=dossier%201&recipient=35600000012345"
TENSION = "/partenaire/stats-offres-demandes-emploi/v1/indicateur/stat-perspective-employeur"
REF = "/partenaire/stats-offres-demandes-emploi/v1/referentiel"
BODY = {"codeTypeTerritoire": "REG", "codeTerritoire": "53", "codeTypeActivite": "ROME", "codeActivite": "D1102",
        "codeTypePeriode": "ANNEE", "codeTypeNomenclature": "TYPE_TENSION"}


def value(name):
    return tokens.TOKENS[name][1]


def sample(*parts):
    with open(os.path.join(SAMPLES, *parts), encoding="utf-8") as source:
        return json.load(source)


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = {name.lower(): text for name, text in response.getheaders()}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


class Stub:
    """The server under test."""

    def __init__(self, *options):
        self.directory = tempfile.TemporaryDirectory()
        port_file = os.path.join(self.directory.name, "port")
        self.process = subprocess.Popen([sys.executable, os.path.join(HERE, "apigouv_stub.py"), "--port", "0",
                                         "--port-file", port_file, "--structures", str(COUNT), *options])
        while not os.path.exists(port_file):
            if self.process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.02)
        with open(port_file, encoding="ascii") as source:
            self.port = int(source.read())

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()

    def call(self, path, method="GET", headers=None, body=None, token=None, timeout=20, connection=None):
        headers = {"Accept": "application/json"} | (headers or {})
        if token is not None:
            headers["Authorization"] = "Bearer " + token
        if isinstance(body, (dict, list)):
            headers.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        link = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            link.request(method, path, body=body, headers={name: text for name, text in headers.items() if text is not None})
            response = link.getresponse()
            return Reply(response, response.read())
        finally:
            if connection is None:
                link.close()

    def control(self, what, body=None):
        reply = self.call("/_stub/" + what, "GET" if body is None else "POST", body=body)
        if reply.status != 200:
            raise RuntimeError(reply.body)
        return reply.json

    def access(self, client="marche_travail", scope=" ".join(tokens.TRAVAIL_SCOPES), grant="client_credentials", secret=None,
               realm="?realm=%2Fpartenaire"):
        client_id, known, _, _ = tokens.CLIENTS[client]
        form = urllib.parse.urlencode({"grant_type": grant, "client_id": client_id, "client_secret": secret or known, "scope": scope})
        return self.call("/marche_travail/connexion/oauth2/access_token" + realm, "POST", body=form,
                         headers={"Content-Type": "application/x-www-form-urlencoded"})


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stub = shared_stub()

    def setUp(self):
        self.stub.control("reset", {})

    def siae(self, query="", **more):
        return self.stub.call("/marche_inclusion/api/siae/" + query, token=value("marche_inclusion"), **more)

    def data(self, path, **more):
        more.setdefault("token", value("data_inclusion"))
        return self.stub.call("/data_inclusion/api/v1" + path, **more)

    def company(self, path, query=PURPOSE, token="entreprise", **more):
        return self.stub.call(f"/entreprise{path}?{query}", token=value(token), **more)

    def tension(self, token=None, headers=None, **changes):
        body = {name: text for name, text in (BODY | changes).items() if text is not None}
        token = token or self.stub.access().json["access_token"]
        return self.stub.call("/marche_travail" + TENSION, "POST", body=body, token=token, headers=headers)


class MarcheInclusion(Case):
    def test_pages_lose_rows_and_one_big_page_does_not(self):
        seen, offset = [], 0
        while True:
            page = self.siae(f"?limit=7&offset={offset}").json
            self.assertEqual(page["count"], COUNT)
            seen += [row["id"] for row in page["results"]]
            offset += 7
            if page["next"] is None:
                break
        self.assertEqual(len(seen), COUNT)
        self.assertLess(len(set(seen)), COUNT)
        whole = self.siae("?limit=100000").json
        self.assertEqual(len({row["id"] for row in whole["results"]}), COUNT)
        names = [row["name"] for row in whole["results"]]
        self.assertEqual(names, sorted(names))

    def test_filters_select_what_they_say(self):
        everything = self.siae("?limit=9999").json["results"]

        def check(query, test):
            got = self.siae("?limit=9999&" + query).json["results"]
            self.assertEqual({row["id"] for row in got}, {row["id"] for row in everything if test(row)}, query)
            self.assertTrue(got, query)
        check("kind=EI&kind=ACI", lambda row: row["kind"] in ("EI", "ACI"))
        check("department=35", lambda row: row["department"] == "35")
        check("department=%2035%20", lambda row: row["department"] == "35")
        check("department=", lambda row: True)
        check("is_active=false", lambda row: not row["is_active"])
        for ignored in ("is_active=1", "is_active=0", "is_active=TRUE", "siret=00000301200010", "region=Bretagne", "page=2"):
            check(ignored, lambda row: True)
        check("sectors=peinture&sectors=traiteur",
              lambda row: {"peinture", "traiteur"} & {sector["slug"] for sector in row["sectors"]})
        check("networks=union-des-ateliers", lambda row: "union-des-ateliers" in [network["slug"] for network in row["networks"]])
        check("presta_types=BUILD", lambda row: "BUILD" in row["presta_types"])
        check("updated_at_after=2026-08-17T05:00:00Z", lambda row: (row["updated_at"] or "") >= "2026-08-17T07:00:00")
        exact = next(row["updated_at"] for row in everything if row["updated_at"])
        check("updated_at_after=" + urllib.parse.quote(exact) + "&updated_at_before=" + urllib.parse.quote(exact),
              lambda row: row["updated_at"] == exact)
        check("department=35&department=29", lambda row: row["department"] == "29")

    def test_data_have_the_traps(self):
        rows = self.siae("?limit=9999").json["results"]
        self.assertFalse([row for row in rows if row["kind"] == "OPCS"])
        self.assertEqual(self.stub.call(f"/marche_inclusion/api/siae/{OPCS_ID}/", token=value("marche_inclusion")).status, 404)
        self.assertTrue([row for row in rows if row["updated_at"] is None])
        self.assertTrue([row for row in rows if not row["is_active"]])
        self.assertTrue([row for row in rows if row["department"] == "" and row["region"] == ""])
        sirets = [row["siret"] for row in rows]
        self.assertLess(len(set(sirets)), len(sirets))
        self.assertTrue(all(siret.startswith("0") and is_siret(siret) for siret in sirets if len(siret) == 14))
        self.assertTrue({"2A", "2B", "974"} <= {row["department"] for row in rows})

    def test_lenient_limit(self):
        for query in ("", "?limit=", "?limit=0", "?limit=-3", "?limit=abc"):
            self.assertEqual(len(self.siae(query).json["results"]), 100, query)
        past = self.siae("?limit=3&offset=100000").json
        self.assertEqual((past["results"], past["next"]), ([], None))
        self.assertIn("offset=99997", past["previous"])

    def test_next_is_absolute_and_sorted(self):
        page = self.siae("?limit=2&kind=EI&kind=ACI&offset=2").json
        self.assertEqual(page["next"], f"http://127.0.0.1:{self.stub.port}/marche_inclusion/api/siae/?kind=EI&kind=ACI&limit=2&offset=4")
        self.assertNotIn("offset", page["previous"])
        self.stub.control("options", {"next_base": "http://other.example"})
        self.assertTrue(self.siae("?limit=2").json["next"].startswith("http://other.example/"))

    def test_single_structures(self):
        siret, siren = siret_of(siren_of(301), 1), siren_of(301)

        def get(path):
            return self.stub.call("/marche_inclusion/api/siae" + path, token=value("marche_inclusion"))
        self.assertEqual(len(get(f"/siret/{siret}/?kind=GEIQ").json), 2)
        self.assertEqual(len(get(f"/siren/{siren}/").json), 4)
        self.assertEqual(get("/siret/00000000000018/").json, [])
        row = get("/1001/").json
        self.assertEqual(row["siret"], siret)
        self.assertEqual(get("/0001001/").json["id"], 1001)
        self.assertEqual(get(f"/slug/{row['slug']}/").json["id"], 1001)

    def test_arrays_change_order(self):
        row = next(row for row in self.siae("?limit=9999").json["results"] if len(row["sectors"]) > 1)
        seen = {json.dumps(self.stub.call(f"/marche_inclusion/api/siae/{row['id']}/", token=value("marche_inclusion")).json["sectors"])
                for _ in range(30)}
        self.assertGreater(len(seen), 1)

    def test_lists_of_reference(self):
        for path, least in (("siae/kinds", 10), ("siae/presta-types", 3), ("sectors", 12), ("networks", 4), ("perimeters", 100),
                            ("perimeters/kinds", 3), ("tenders/kinds", 3), ("tenders/amounts", 14)):
            reply = self.stub.call(f"/marche_inclusion/api/{path}/?limit=9999", token=value("marche_inclusion"))
            self.assertEqual(reply.json["count"], len(reply.json["results"]), path)
            self.assertGreaterEqual(reply.json["count"], least, path)

    def test_total_changes_between_pages(self):
        self.stub.control("data", {"api": "marche_inclusion", "add": 5, "after": 1})
        self.assertEqual([self.siae("?limit=2").json["count"] for _ in range(3)], [COUNT, COUNT + 5, COUNT + 5])
        self.stub.control("reset", {})
        self.assertEqual(self.siae("?limit=2").json["count"], COUNT)


class DataInclusion(Case):
    def test_envelope(self):
        first = self.data("/structures?size=250&page=1").json
        total = first["total"]
        self.assertEqual((first["size"], first["pages"]), (250, -(-total // 250)))
        seen = [row["id"] for page in range(1, first["pages"] + 1) for row in self.data(f"/structures?size=250&page={page}").json["items"]]
        self.assertEqual(len(set(seen)), total)
        self.assertEqual(seen, sorted(seen))
        past = self.data("/structures?size=250&page=99").json
        self.assertEqual((past["items"], past["size"], past["page"], past["total"]), ([], 0, 99, total))

    def test_structure_filters(self):
        everything = self.data("/structures?size=10000").json["items"]
        self.assertFalse([row for row in everything if row["source"] == "soliguide"])
        self.assertTrue(self.data("/structures?sources=soliguide", token=value("data_inclusion_dora")).json["total"])

        def check(query, test):
            got = self.data("/structures?size=10000&" + query).json
            self.assertEqual([row["id"] for row in got["items"]], [row["id"] for row in everything if test(row)], query)
        check("code_departement=2A", lambda row: (row["code_insee"] or "").startswith("2A"))
        check("slug_departement=ille-et-vilaine", lambda row: (row["code_insee"] or "").startswith("35"))
        check("code_region=53", lambda row: (row["code_insee"] or "")[:2] in ("22", "29", "35", "56"))
        check("slug_region=bretagne&code_region=94", lambda row: (row["code_insee"] or "")[:2] in ("2A", "2B"))
        check("code_commune=75111", lambda row: row["code_insee"] == "75111")
        check("code_commune=75056", lambda row: row["code_insee"] == "75056")
        check("sources=dora&sources=fredo", lambda row: row["source"] in ("dora", "fredo"))
        check("sources=dora,fredo", lambda row: False)
        check("sources=", lambda row: False)
        check("siret=12345&nom=x", lambda row: True)
        check("reseaux_porteurs=ei&reseaux_porteurs=aci", lambda row: {"ei", "aci"} & set(row["reseaux_porteurs"] or ()))
        unique = self.data("/structures?size=10000&exclure_doublons=oui").status
        self.assertEqual(unique, 422)
        self.assertLess(self.data("/structures?exclure_doublons=yes").json["total"], len(everything))

    def test_service_filters(self):
        everything = self.data("/services?size=10000").json["items"]

        def check(query, test):
            got = self.data("/services?size=10000&" + query).json
            self.assertEqual([row["id"] for row in got["items"]], [row["id"] for row in everything if test(row)], query)
            self.assertTrue(got["items"], query)
        check("types=atelier&types=formation", lambda row: row["type"] in ("atelier", "formation"))
        check("frais=gratuit", lambda row: row["frais"] == "gratuit")
        check("modes_accueil=a-distance", lambda row: "a-distance" in (row["modes_accueil"] or ()))
        check("publics=jeunes", lambda row: {"jeunes", "tous-publics"} & set(row["publics"] or ()))
        check("publics=jeunes&publics=tous-publics", lambda row: True)
        check("thematiques=mobilite", lambda row: any(one.startswith("mobilite--") for one in row["thematiques"] or ()))
        check("score_qualite_minimum=0.5", lambda row: row["score_qualite"] >= 0.5)
        check("code_departement=35", lambda row: (row["code_insee"] or "").startswith("35"))
        check("frais=gratuit&types=atelier", lambda row: row["frais"] == "gratuit" and row["type"] == "atelier")
        self.assertIn("extra", self.data("/services?size=1&extra=TRUE").json["items"][0])
        self.assertNotIn("extra", self.data("/services?size=1&extra=1").json["items"][0])

    def test_details_say_what_the_list_says(self):
        for listed in self.data("/structures?size=40").json["items"]:
            detail = self.data("/structures/" + listed["id"]).json
            self.assertEqual([twin["id"] for twin in detail.pop("doublons")], [twin["id"] for twin in listed.pop("doublons")])
            for service in detail.pop("services"):
                alone = self.data("/services/" + service["id"]).json
                self.assertEqual(alone.pop("structure")["id"], listed["id"])
                self.assertEqual(alone["nom"], service["nom"])
            for row in (detail, listed):
                row["reseaux_porteurs"] = row["reseaux_porteurs"] and sorted(row["reseaux_porteurs"])
            self.assertEqual(detail, listed)

    def test_gzip_and_head(self):
        reply = self.data("/structures?size=20", headers={"Accept-Encoding": "gzip"})
        self.assertEqual(reply.headers["content-encoding"], "gzip")
        self.assertEqual(len(json.loads(gzip.decompress(reply.body))["items"]), 20)
        big = self.data("/structures?size=10000", headers={"Accept-Encoding": "gzip"})
        page = json.loads(gzip.decompress(big.body))
        self.assertEqual(page["size"], page["total"])
        self.assertNotIn("content-encoding", self.data("/structures?size=20").headers)
        self.assertEqual(self.data("/structures", method="HEAD").status, 405)

    def test_searches_and_references(self):
        found = self.data("/search/services?code_commune=59350&size=10000").json["items"]
        self.assertTrue(found)
        distances = [row["distance"] for row in found if row["distance"] is not None]
        self.assertEqual(distances, sorted(distances))
        self.assertIsNone(self.data("/search/services?size=1").json["items"][0]["distance"])
        self.assertTrue(self.data("/search?q=numerique").json["total"])
        self.assertTrue(self.data("/sources").json)
        for name, count in (("frais", 2), ("thematiques", 69), ("publics", 14), ("reseaux-porteurs", 108)):
            self.assertEqual(len(self.data("/doc/" + name, token=None).json), count, name)

    def test_total_changes_between_pages(self):
        before = self.data("/structures?size=5&page=1").json["total"]
        self.stub.control("data", {"api": "data_inclusion", "remove": 50, "after": 1})
        self.assertEqual(self.data("/structures?size=5&page=1").json["total"], before)
        self.assertLess(self.data("/structures?size=5&page=2").json["total"], before)


class Entreprise(Case):
    def code(self, reply):
        return (reply.status, reply.json["errors"][0]["code"])

    def test_order_of_the_checks(self):
        path = f"/v4/urssaf/unites_legales/{siren_of(301)}/attestation_vigilance"
        self.assertEqual(self.company("/v4/urssaf/nothing").status, 404)
        self.assertEqual(self.company("/v2/attestations_sociales").status, 410)
        self.assertEqual(self.code(self.company(path, "", "entreprise_noir")), (401, "00105"))
        self.assertEqual(self.code(self.company(path, "", "entreprise_ip")), (403, "00107"))
        self.assertEqual(self.code(self.stub.call("/entreprise" + path)), (401, "00101"))
        self.assertEqual(self.code(self.company(path, "", "entreprise_expire")), (401, "00103"))
        self.assertEqual(self.code(self.company(path, "", "entreprise_peu")), (403, "00100"))
        missing = self.company(path, "context=%20")
        self.assertEqual([error["code"] for error in missing.json["errors"]], ["00201", "00203", "00202"])
        self.assertEqual(missing.headers["content-type"].split(";")[0], "application/json")
        wrong = "context=a&object=b&recipient=1234"
        self.assertEqual(self.code(self.company(path.replace("/v4/", "/v3/"), wrong)), (404, "00402"))
        self.assertEqual(self.code(self.company(path, wrong)), (422, "00210"))
        self.assertEqual(self.code(self.company(path.replace(siren_of(301), "000003013"))), (422, "00301"))
        good = self.company(path)
        self.assertEqual(good.headers["content-type"].split(";")[0], "application/vnd.api+json")
        self.assertEqual((good.headers["ratelimit-limit"], int(good.headers["ratelimit-reset"]) % 60), ("100", 0))
        self.assertLess(int(good.headers["ratelimit-remaining"]), 100)
        self.assertNotIn("ratelimit-limit", self.company(path, token="entreprise_blanc").headers)

    def test_sirets_of_la_poste_need_no_checksum(self):
        self.assertIn(self.company("/v3/msa/etablissements/35600000012345/conformite_cotisations").status, (200, 404))
        self.assertEqual(self.code(self.company("/v3/msa/etablissements/00000301200011/conformite_cotisations")), (422, "00302"))

    def test_outcomes(self):
        def get(number, name, rank=1):
            siren = siren_of(number)
            where = {"vigilance": f"/v4/urssaf/unites_legales/{siren}/attestation_vigilance",
                     "fiscale": f"/v4/dgfip/unites_legales/{siren}/attestation_fiscale",
                     "msa": f"/v3/msa/etablissements/{siret_of(siren, rank)}/conformite_cotisations",
                     "probtp": f"/v3/probtp/etablissements/{siret_of(siren, rank)}/conformite_cotisations_retraite",
                     "cibtp": f"/v3/cibtp/etablissements/{siret_of(siren, rank)}/attestation_cotisations_conges_payes_chomage_intemperies",
                     "rge": f"/v3/ademe/etablissements/{siret_of(siren, rank)}/certification_rge",
                     "qualibat": f"/v4/qualibat/etablissements/{siret_of(siren, rank)}/certification_batiment",
                     "siege": f"/v4/insee/sirene/unites_legales/{siren}/siege_social"}[name]
            return self.company(where)
        self.assertEqual(get(301, "vigilance").json["data"]["entity_status"]["code"], "ok")
        self.assertEqual(get(302, "vigilance").json["data"]["entity_status"]["code"], "refus_de_delivrance")
        self.assertEqual(self.code(get(303, "vigilance")), (404, "04003"))
        review = get(304, "vigilance")
        self.assertEqual((self.code(review), review.json["errors"][0]["meta"]["retry_in"]), ((502, "04501"), 172800))
        self.assertEqual(get(305, "fiscale").status, 503)
        self.assertLess(get(306, "vigilance").json["data"]["date_fin_validite"], "2026")
        self.assertIsNone(get(307, "vigilance").json["data"]["date_fin_validite"])
        self.assertEqual([get(number, "msa").json["data"]["status"] for number in (301, 302, 304)],
                         ["up_to_date", "outdated", "under_investigation"])
        self.assertEqual([get(number, "probtp").json["data"]["eligible"] for number in (301, 302, 307)], [True, False, None])
        self.assertEqual([self.code(get(number, "cibtp")) for number in (302, 303)], [(404, "38422"), (404, "38003")])
        self.assertEqual([len(get(number, "rge").json["data"]) for number in (301, 306, 307, 311, 312)], [2, 2, 1, 3, 0])
        self.assertIn("data", get(301, "rge").json["data"][0])
        self.assertEqual(get(307, "qualibat").json["meta"], {"extractor_error": "invalid_file"})
        self.assertEqual(get(301, "siege").json["data"]["siret"], siret_of(siren_of(301), 1))
        self.assertEqual(get(308, "siege").status, 404)
        redirected = get(309, "siege").json
        self.assertEqual((redirected["data"]["unite_legale"]["siren"], redirected["meta"]["redirect_from_siren"]), (siren_of(301), siren_of(309)))
        self.assertEqual(self.code(get(310, "siege")), (502, "01501"))

    def test_limit_of_rge(self):
        path = f"/v3/ademe/etablissements/{siret_of(siren_of(311), 1)}/certification_rge"
        self.assertEqual(len(self.company(path, PURPOSE + "&limit=1").json["data"]), 1)
        self.assertEqual(self.code(self.company(path, PURPOSE + "&limit=0")), (422, "00313"))

    def test_privileges_and_pings(self):
        self.assertEqual(self.company("/privileges", "", "entreprise_open_data").json, {"data": {"privileges": ["open_data"]}})
        self.assertEqual(self.company("/v3/ping").status, 200)
        self.assertEqual(self.company("/ping/nobody").status, 404)

    def test_documents(self):
        def link(**headers):
            path = f"/v4/urssaf/unites_legales/{siren_of(301)}/attestation_vigilance"
            return urllib.parse.urlsplit(self.company(path, headers=headers).json["data"]["document_url"]).path
        first = link()
        self.assertEqual(self.stub.call(first).body[:5], b"%PDF-")
        self.stub.control("options", {"expire_documents": True})
        self.assertEqual((self.stub.call(link()).status, link()), (404, first))
        self.assertEqual(self.stub.call(link(**{"Cache-Control": "no-cache"})).status, 200)
        step = self.stub.call("/entreprise/proxy/inpi/download/pdf").json["data"]["document_url"]
        self.assertEqual(self.stub.call(urllib.parse.urlsplit(step).path).headers["content-type"], "application/pdf")

    def test_identical_calls_at_once(self):
        self.stub.control("latency", {"ms": 200})
        path = f"/v3/fntp/unites_legales/{siren_of(301)}/carte_professionnelle_travaux_publics"
        replies = together([lambda: self.company(path)] * 3 + [lambda: self.company(path, token="entreprise_autre")])
        self.assertEqual(sorted(reply.status for reply in replies), [200, 200, 409, 409])
        self.assertEqual(self.company(path).status, 200)

    def test_own_quota(self):
        path = f"/v3/opqibi/unites_legales/{siren_of(301)}/certification_ingenierie"
        if time.time() % 60 > 55:        # a window that ends now proves nothing
            time.sleep(60 - time.time() % 60)
        replies = [self.company(path, token="entreprise_quota") for _ in range(4)]
        self.assertEqual([reply.status for reply in replies], [200, 200, 200, 429])
        self.assertLessEqual(int(replies[3].headers["retry-after"]), 60)


class MarcheTravail(Case):
    def test_tokens(self):
        good = self.stub.access()
        self.assertEqual((good.json["expires_in"], good.json["token_type"], good.headers["cache-control"]), (1499, "Bearer", "no-store"))
        self.assertEqual(self.stub.access("marche_travail_partiel").json["error"], "invalid_scope")
        alone = self.stub.access("marche_travail_partiel", scope=tokens.TRAVAIL_SCOPES[0]).json["access_token"]
        self.assertEqual(self.tension(alone).status, 403)
        self.assertEqual(self.tension(self.stub.access("marche_travail_refuse").json["access_token"]).status, 403)
        self.assertEqual(self.stub.access(realm="").status, 400)
        lost = self.tension("unknown")
        self.assertEqual((lost.status, lost.body), (401, b""))
        old = good.json["access_token"]
        self.assertEqual(self.tension(old).status, 200)
        self.stub.control("options", {"expire_tokens": True})
        self.assertEqual(self.tension(old).status, 401)
        self.assertEqual(self.tension().status, 200)

    def test_narrowing(self):
        whole = self.tension().json["listeValeursParPeriode"]
        last = self.tension(dernierePeriode=True).json["listeValeursParPeriode"]
        self.assertEqual(last, [row for row in whole if row["codePeriode"] == "2024"])
        some = self.tension(listeCodePeriode=["2022", "2023"], listeCodeNomenclature=["PERSPECTIVE"]).json["listeValeursParPeriode"]
        self.assertEqual([row["codePeriode"] for row in some], ["2023", "2022"])
        both = self.tension(listeCodePeriode=["2022"], dernierePeriode=True).json["listeValeursParPeriode"]
        self.assertEqual(both, last)
        self.assertEqual([row["codeNomenclature"] for row in last], sorted(row["codeNomenclature"] for row in last))

    def test_faces_of_no_data(self):
        absent = self.tension(codeTerritoire="06").json
        self.assertNotIn("listeValeursParPeriode", absent)
        self.assertEqual(self.tension(codeTypeTerritoire="DEP", codeTerritoire="978").status, 204)
        empty = self.tension(codeTerritoire="03")
        self.assertEqual((empty.status, empty.body), (200, b""))
        none = self.tension(codeActivite="Z9999")
        self.assertEqual(none.status, 500)
        self.assertIn("pas pu trouver la liste", none.json["message"])
        self.assertIn("n'est pas disponible pour cet indicateur", self.tension(codeTypeTerritoire="EPCI").json["message"])
        self.assertEqual(self.tension(codeTypeNomenclature=None).status, 400)

    def test_both_eras(self):
        self.assertIsInstance(self.tension().json["listeValeursParPeriode"][0]["valeurPrincipaleNombre"], int)
        for changes in ({"codeTypeTerritoire": "BASBMO", "codeTerritoire": "1126"}, {"codeActivite": "L1304", "codeTypeTerritoire": "NAT", "codeTerritoire": "FR"}):
            row = self.tension(**changes).json["listeValeursParPeriode"][0]
            self.assertIsInstance(row["valeurPrincipaleNom"], str)
            self.assertNotIn("valeurPrincipaleNombre", row)

    def test_xml_unless_json_is_named(self):
        reply = self.tension(headers={"Accept": "*/*"}, dernierePeriode=True)
        self.assertTrue(reply.headers["content-type"].startswith("application/xml"))
        self.assertIn(b"<IndicateurRetour>", reply.body)

    def test_references(self):
        token = self.stub.access().json["access_token"]

        def get(path):
            return self.stub.call("/marche_travail" + REF + path, token=token)
        self.assertEqual(len(get("/territoires/REG").json["territoires"]), 18)
        self.assertEqual(len(get("/territoires/DEP").json["territoires"]), 103)
        self.assertTrue(all(row["codeActivite"].startswith("A12") for row in get("/activites/ROME?filtreActivite=A12").json["activites"]))
        self.assertEqual(get("/activite?codeActivite=A1203&codeTypeActivite=ROME").json["codeActivite"], "A1203")
        self.assertEqual(get("/territoire?codeTerritoire=33&codeTypeTerritoire=DEP").json["libelleTerritoire"], "GIRONDE")
        self.assertEqual(get("/territoire?codeTerritoire=33").status, 400)
        self.assertEqual(len(get("/type-territoires").json["typeTerritoires"]), 7)
        self.assertEqual(get("/type-activite/ROME").json["codeTypeActivite"], "ROME")


class MarcheTravailIndicators(TravailChecks, Case):
    pass


class Control(Case):
    def test_log(self):
        link = http.client.HTTPConnection("127.0.0.1", self.stub.port)
        self.siae("?limit=1", connection=link)
        self.siae("?limit=2", connection=link)
        self.tension(dernierePeriode=True)
        link.close()
        log = self.stub.control("requests")
        self.assertEqual([entry["path"] for entry in log],
                         ["/api/siae/", "/api/siae/", "/connexion/oauth2/access_token", TENSION])
        self.assertEqual(log[0]["connection"], log[1]["connection"])
        self.assertNotEqual(log[1]["connection"], log[2]["connection"])
        self.assertEqual((log[1]["query"], log[1]["status"], log[1]["method"], log[1]["api"]), ("limit=2", 200, "GET", "marche_inclusion"))
        self.assertLessEqual(log[0]["started"], log[0]["ended"])
        self.assertEqual(json.loads(log[3]["body"])["dernierePeriode"], True)
        text = json.dumps(self.stub.control("requests?headers=1"))
        for secret in (value("marche_inclusion"), tokens.CLIENTS["marche_travail"][1], "acces-"):
            self.assertNotIn(secret, text)

    def test_latency_and_concurrency(self):
        self.stub.control("latency", {"ms": 200})
        began = time.monotonic()
        together([lambda: self.siae("?limit=1")] * 64)
        self.assertLess(time.monotonic() - began, 2)
        self.assertGreater(time.monotonic() - began, 0.19)
        log = self.stub.control("requests")
        self.assertTrue(all(entry["ended"] - entry["started"] >= 199 for entry in log))

    def test_faults(self):
        def fault(**what):
            self.stub.control("faults", [{"api": "marche_inclusion"} | what])
        fault(status=503, headers={"Retry-After": "2"}, body="<html>", times=2)
        replies = [self.siae() for _ in range(3)]
        self.assertEqual([reply.status for reply in replies], [503, 503, 200])
        self.assertEqual(replies[0].headers["retry-after"], "2")
        fault(path="/api/siae/siret/", status=500)
        self.assertEqual(self.siae().status, 200)
        fault(path="/marche_inclusion/api/s*", status=500, skip=1)
        self.assertEqual([self.siae().status for _ in range(3)], [200, 500, 200])
        fault(status=400, body={"kind": ["x"]})
        self.assertEqual(self.siae().json, {"kind": ["x"]})
        fault(delay_ms=150)
        began = time.monotonic()
        self.assertEqual(self.siae().status, 200)
        self.assertGreater(time.monotonic() - began, 0.14)
        for action in ("close", "reset"):
            fault(action=action)
            with self.assertRaises(OSError):
                self.siae()
        for action in ("cut", "cut_chunks"):
            fault(action=action)
            with self.assertRaises(http.client.IncompleteRead):
                self.siae()
        for action in ("stall", "stall_body"):
            fault(action=action)
            with self.assertRaises(TimeoutError):
                self.siae(timeout=0.3)
        fault(action="garbage")
        with self.assertRaises(ValueError):
            self.siae().json
        fault(action="giant", bytes=3000000)
        self.assertGreaterEqual(len(self.siae().body), 3000000)
        fault(action="giant_gzip", bytes=3000000)
        self.assertGreaterEqual(len(gzip.decompress(self.siae().body)), 3000000)
        fault(action="bad_gzip")
        spoilt = self.siae()
        self.assertEqual(spoilt.headers["content-encoding"], "gzip")
        with self.assertRaises(Exception):
            gzip.decompress(spoilt.body)
        fault(action="short_gzip")
        short = self.siae()
        self.assertEqual(int(short.headers["content-length"]), len(short.body))
        with self.assertRaises(EOFError):
            gzip.decompress(short.body)
        fault(action="redirect")
        away = self.siae()
        self.assertEqual((away.status, away.headers["location"]), (302, self.stub.control("options")["trap_url"]))
        self.assertEqual(self.siae().status, 200)

    def test_redirect_leads_to_another_origin_that_is_logged(self):
        where = urllib.parse.urlsplit(self.stub.control("options")["trap_url"])
        self.assertNotEqual(where.port, self.stub.port)
        link = http.client.HTTPConnection(where.hostname, where.port)
        link.request("GET", where.path)
        link.getresponse().read()
        link.close()
        self.assertEqual([entry["api"] for entry in self.stub.control("requests")], ["trap"])

    def test_replay(self):
        self.stub.control("replay", [
            {"api": "entreprise", "path": "/v4/x/1", "query": {"limit": 5}, "reply": {"a": 1}},
            {"api": "entreprise", "path": "/v4/x/1", "status": 404, "reply": {"b": "é"}, "headers": {"X-A": "1"}},
            {"api": "marche_travail", "method": "POST", "path": TENSION, "body": {"x": 1}, "status": 204, "reply": None}])
        self.assertEqual(self.company("/v4/x/1", PURPOSE + "&limit=5").json, {"a": 1})
        other = self.company("/v4/x/1", PURPOSE)
        self.assertEqual((other.status, other.json, other.headers["x-a"]), (404, {"b": "é"}, "1"))
        self.assertEqual(self.stub.call("/marche_travail" + TENSION, "POST", body={"x": 1}).status, 204)
        self.assertEqual(self.stub.call("/marche_travail" + TENSION, "POST", body={"x": 2}).status, 401)

    def test_wrong_controls_are_refused(self):
        for what, body in (("faults", [{"action": "explode"}]), ("faults", [{"pth": "/"}]), ("latency", {}), ("options", {"x": 1}),
                           ("data", {"api": "entreprise"})):
            self.assertEqual(self.stub.call("/_stub/" + what, "POST", body=body).status, 400, what)
        self.assertEqual(self.stub.call("/_stub/nothing").status, 404)

    def test_request_ids(self):
        self.assertIn("x-request-id", self.siae().headers)
        self.assertEqual(self.siae(headers={"X-Request-Id": "abc"}).headers["x-request-id"], "abc")

    def test_half_a_request_at_a_time(self):
        with socket.create_connection(("127.0.0.1", self.stub.port)) as link:
            text = b"GET /_stub/options HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            for place in range(0, len(text), 10):
                link.sendall(text[place:place + 10])
                time.sleep(0.005)
            data = b""
            while True:
                piece = link.recv(65536)
                if not piece:
                    break
                data += piece
        self.assertTrue(data.startswith(b"HTTP/1.1 200"))


class Strict(unittest.TestCase):
    """The server with its limits enforced."""

    @classmethod
    def setUpClass(cls):
        cls.stub = Stub("--strict")

    @classmethod
    def tearDownClass(cls):
        cls.stub.stop()

    def test_ten_a_second(self):
        token = self.stub.access().json["access_token"]
        replies = [self.stub.call("/marche_travail" + REF + "/type-activites", token=token) for _ in range(12)]
        self.assertIn(429, [reply.status for reply in replies])
        self.assertEqual(next(reply for reply in replies if reply.status == 429).headers["retry-after"], "1")

    def test_group_limit_and_lasting_lock(self):
        def get(number, query=PURPOSE):
            return self.stub.call(f"/entreprise/v4/dgfip/unites_legales/{siren_of(number)}/attestation_fiscale?{query}", token=value("entreprise"))
        if time.time() % 60 > 50:
            time.sleep(60 - time.time() % 60)
        self.assertEqual([get(20000 + place).status == 429 for place in range(6)], [False] * 5 + [True])
        self.stub.control("reset", {})
        self.assertEqual([get(20000, "context=a").status for _ in range(2)], [422, 409])


    def test_generous_limits(self):
        generous = Stub("--limit-factor", "1000")
        try:
            path = f"/v4/dgfip/unites_legales/{siren_of(301)}/attestation_fiscale?{PURPOSE}"
            reply = generous.call("/entreprise" + path, token=value("entreprise"))
            self.assertEqual((reply.headers["ratelimit-limit"], reply.headers["ratelimit-remaining"]), ("5000", "4999"))
            reply = generous.call("/entreprise" + path, token=value("entreprise_quota"))
            self.assertEqual(reply.headers["ratelimit-limit"], "3")
            reply = generous.call("/marche_travail" + REF + "/type-activites", token=generous.access().json["access_token"])
            self.assertEqual(reply.headers["x-ratelimit-burst-capacity-clientidlimiter"], "10000")
        finally:
            generous.stop()


class StrictCounting(Case):
    """Every window counts, wherever it starts; see strict.py."""

    def strict(self, requests, window_ms, api="entreprise", counted_by="token", headers=False, paths="*", **more):
        limit = {"api": api, "name": "essai", "paths": paths, "requests": requests, "window_ms": window_ms,
                 "counted_by": counted_by, "headers": headers}
        self.stub.control("strict", {"limits": [limit], **more})

    def ask(self, number=301, token="entreprise", **more):
        return self.company(f"/v4/urssaf/unites_legales/{siren_of(number)}/attestation_vigilance", token=token, **more)

    def seen(self, counter=0):
        told = self.stub.control("strict")
        self.told = told
        return told["limits"][0]["counters"][counter]

    def silent(self, call):
        with self.assertRaises((http.client.BadStatusLine, ConnectionError)):
            call()

    def test_the_first_excess_bans_for_good(self):
        self.strict(5, 1000)
        self.assertEqual([self.ask(320 + number).status for number in range(5)], [200] * 5)
        self.assertEqual(self.stub.control("strict")["bans"], [])
        self.silent(self.ask)
        seen = self.seen()
        self.assertEqual((seen["counted"], seen["largest"], seen["excess"], seen["counter"]), (6, 6, 1, "entreprise"))
        self.assertLess(seen["slack_ms"], 0)
        time.sleep(1.05)
        self.silent(self.ask)
        (ban,) = self.stub.control("strict")["bans"]
        self.assertEqual((ban["api"], ban["limit"], ban["address"], ban["requests_after"]),
                         ("entreprise", "essai", "127.0.0.1", 1))
        self.assertEqual(self.siae("?limit=1").status, 200)
        self.stub.control("reset", {})
        self.assertEqual(self.ask().status, 200)
        self.assertEqual(self.stub.control("strict")["limits"], [])

    def test_windows_slide(self):
        self.strict(4, 1000, ban=False)
        for _ in range(3):
            self.ask()
        time.sleep(0.5)
        self.assertEqual(self.ask().status, 200)
        time.sleep(0.6)                       # the first three are out, the fourth is not
        self.assertEqual([self.ask().status for _ in range(4)], [200, 200, 200, 429])
        seen = self.seen()
        self.assertEqual((seen["largest"], seen["excess"], seen["counted"]), (5, 1, 8))
        times = seen["arrivals"]
        self.assertEqual(times, sorted(times))
        self.assertAlmostEqual(seen["slack_ms"], min(times[4 + at] - times[at] for at in range(4)) - 1000, places=2)

    def test_refusals(self):
        self.strict(1, 60000, ban=False)
        self.ask()
        refused = self.ask()
        self.assertEqual((refused.status, refused.json["errors"][0]["code"]), (429, "00429"))
        self.assertEqual(refused.headers["retry-after"], "60")
        self.assertNotIn("ratelimit-limit", refused.headers)
        self.strict(1, 60000, ban=False, retry_after=False, headers=True)
        self.ask()
        refused = self.ask()
        self.assertNotIn("retry-after", refused.headers)
        self.assertEqual((refused.headers["ratelimit-limit"], refused.headers["ratelimit-remaining"]), ("1", "0"))
        self.assertEqual(int(refused.headers["ratelimit-reset"]) % 60, 0)

    def test_whose(self):
        for counted_by, counters in (("token", {"entreprise": 2, "entreprise_autre": 1}), ("ip", {"127.0.0.1": 3}),
                                     ("all", {"all": 3})):
            self.strict(10, 1000, counted_by=counted_by)
            for token in ("entreprise", "entreprise_autre", "entreprise"):
                self.ask(token=token)
            found = self.stub.control("strict")["limits"][0]["counters"]
            self.assertEqual({one["counter"]: one["counted"] for one in found}, counters, counted_by)
        self.strict(10, 1000, api="marche_travail", counted_by="client", paths=["/partenaire/*"], headers=True)
        tokens_of_one = [self.stub.access().json["access_token"] for _ in range(2)]
        shown = [self.tension(token=token).headers["x-ratelimit-burst-capacity-clientidlimiter"]
                 for token in tokens_of_one]
        self.assertEqual((self.seen()["counter"], self.seen()["counted"], shown), ("marche_travail", 2, ["10", "10"]))

    def test_paths_of_a_limit(self):
        self.strict(1, 60000, paths=["/v*/urssaf/*"])
        self.ask()
        self.company(f"/v3/ademe/etablissements/{siret_of(siren_of(301), 1)}/certification_rge")
        self.assertEqual(self.seen()["counted"], 1)

    def test_other_users_of_the_token(self):
        self.strict(100, 60000, headers=True, foreign={"limit": "essai", "per_s": 1000000})
        if time.time() % 60 > 55:
            time.sleep(60 - time.time() % 60)
        first = self.ask()
        self.assertEqual((first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]), ("100", "0"))
        self.assertEqual((self.seen()["past_remaining"], self.seen()["excess"]), (1, 0))

    def test_dates_lie_between_sending_and_receiving(self):
        self.strict(1000, 1000, delay_ms=[0, 50], share=r"/unites_legales/(\d+)")
        moments = {}

        def some(first):
            link = http.client.HTTPConnection("127.0.0.1", self.stub.port)
            for number in range(first, first + 10):
                sent = time.monotonic()
                self.ask(number, connection=link)
                moments[siren_of(number)] = (sent, time.monotonic())
            link.close()
        began = time.monotonic()
        together([lambda first=first: some(first) for first in range(20000, 20160, 10)])
        took = time.monotonic() - began
        before, seen, after = time.monotonic(), self.seen(), time.monotonic()
        self.assertEqual((seen["counted"], seen["largest"] > 16), (160, True))
        self.assertLess(took, 160 * 0.025 / 2)              # one after the other: more
        origin = self.told["now"] / 1000
        for moment, share in zip(seen["arrivals"], seen["shares"]):
            sent, received = moments[share]
            self.assertLess(sent - after, moment / 1000 - origin + 0.001)
            self.assertGreater(received - before, moment / 1000 - origin - 0.001)

    def test_who_leaves_is_counted(self):
        self.strict(10, 1000, delay_ms=100)
        with socket.create_connection(("127.0.0.1", self.stub.port)) as link:
            link.sendall(b"GET /entreprise/v4/urssaf/unites_legales/000003012/attestation_vigilance HTTP/1.1\r\n"
                         b"Host: x\r\n\r\n")
        until = time.monotonic() + 10
        while not self.stub.control("strict")["limits"][0]["counters"] and time.monotonic() < until:
            time.sleep(0.01)
        self.assertEqual(self.seen()["counted"], 1)
        entry = self.stub.control("requests")[-1]
        self.assertIsNotNone(entry["ended"])

    @unittest.skipUnless(sys.platform == "linux", "only Linux tells when bytes came")
    def test_bytes_that_are_read_late_are_dated_when_they_came(self):
        with httpd.StampedSocket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, listener.SO_TIMESTAMPNS, 1)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
            before = time.monotonic()
            client.sendall(b"GET")
            after = time.monotonic()
            time.sleep(0.2)
            self.assertEqual(server.recv(100), b"GET")
            self.assertTrue(before - 0.01 <= server.received_at() <= after + 0.01)
            server.stamp -= 0.05       # the wall clock was set forward meanwhile
            self.assertTrue(before - 0.02 <= server.received_at() <= after + 0.02)
            client.close()
            server.close()

    def test_a_fault_does_not_hide_an_arrival(self):
        self.strict(10, 1000)
        self.stub.control("faults", [{"api": "entreprise", "status": 503, "body": "x"}])
        self.assertEqual(self.ask().status, 503)
        self.assertEqual(self.seen()["counted"], 1)

    def test_dropped_requests_count(self):
        self.strict(100, 1000, drop=1)
        self.silent(self.ask)
        self.assertEqual((self.seen()["counted"], self.told["bans"]), (1, []))
        self.strict(100, 1000, drop=0.5, seed=3)
        link, silent = None, 0
        for _ in range(20):
            link = link or http.client.HTTPConnection("127.0.0.1", self.stub.port)
            try:
                self.assertEqual(self.ask(connection=link).status, 200)
            except (http.client.BadStatusLine, ConnectionError):
                silent += 1
                link = None
        self.assertTrue(0 < silent < 20)
        self.assertEqual(self.seen()["counted"], 20)

    def test_mistakes(self):
        one = {"api": "entreprise", "name": "x", "requests": 1, "window_ms": 1}
        self.assertEqual(self.stub.call("/_stub/strict", "POST", body={"drop": 2}).status, 400)
        for wrong in ({"limit": []}, {"delay_ms": [5, 1]}, {"share": "("}, {"limits": [one | {"api": "nobody"}]},
                      {"limits": [one | {"requests": 0}]}, {"limits": [one | {"counted_by": "day"}]}):
            self.assertEqual(self.stub.call("/_stub/strict", "POST", body=wrong).status, 400, wrong)

    def test_counter_against_its_definition(self):
        draw = random.Random(7)
        for _ in range(50):
            counter, times = strict.Counter(draw.randint(1, 6), 1.0), []
            for _ in range(40):
                moment = draw.uniform(0, 12)                # in no order
                times = sorted(times + [moment])
                gaps = [late - early for early, late in zip(times, times[counter.requests:])]
                in_excess = [(early, late) for early, late in zip(times, times[counter.requests:])
                             if late - early < 1.0]
                self.assertEqual(counter.add(moment, None), any(early <= moment <= late for early, late in in_excess))
                self.assertEqual(counter.slack, min(gaps) - 1.0 if gaps else None)
                largest = max(sum(low <= other < low + 1.0 for other in times) for low in times)
                self.assertEqual(counter.largest, largest)
                self.assertEqual(counter.slack is not None and counter.slack < 0, counter.largest > counter.requests)

    def test_delays_follow_the_seed(self):
        limit = {"api": "entreprise", "name": "x", "requests": 1, "window_ms": 1000}
        one = strict.Strict(control.Control(0, {}), None)

        def dates(seed):
            one.set({"limits": [limit], "delay_ms": [0, 50], "seed": seed})
            return [one.date("entreprise", 0.0) for _ in range(20)]
        self.assertEqual(dates(3), dates(3))
        self.assertNotEqual(dates(3), dates(4))
        self.assertTrue(all(0 <= date <= 0.05 for date in dates(3)))
        self.assertIsNone(one.date("marche_travail", 0.0))


@unittest.skipUnless(os.path.isdir(SAMPLES), "no recorded replies at hand")
class Recorded(Case):
    """The server's own replies have the shape of the recorded ones; recorded ones are replayed as they are."""

    def same_shape(self, ours, theirs, where=""):
        """Every member of each is in the other; the types agree where both have a value."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            self.assertEqual(set(ours), set(theirs), where)
            for name in theirs:
                self.same_shape(ours[name], theirs[name], f"{where}.{name}")
        elif isinstance(theirs, list) and isinstance(ours, list):
            if ours and theirs:
                self.same_shape(ours[0], theirs[0], where + "[]")
        elif ours is not None and theirs is not None:
            numbers = (int, float)
            self.assertTrue(type(ours) is type(theirs) or (type(ours) in numbers and type(theirs) in numbers), f"{where}: {ours!r} {theirs!r}")

    def errors_of(self, api, token, other_token, body_matters):
        for case in sample(api, "http_errors.json"):
            method, target = case["request"].split(" ", 1)
            if case["name"] == "404_excluded_kind_opcs":
                target = f"/api/siae/{OPCS_ID}/"
            headers = dict(case.get("extra_request_headers", {}))
            given = case["authorization"]
            if given.startswith("valid"):
                headers["Authorization"] = "Bearer " + (other_token if "without" in given else token)
            elif given != "none":
                headers["Authorization"] = given
            reply = self.stub.call(f"/{api}{target}", method, headers=headers)
            self.assertEqual(reply.status, case["status"], case["name"])
            for name, text in case["headers"].items():
                if name.lower() == "location":
                    text = re.sub("^http://<host>", f"http://127.0.0.1:{self.stub.port}", text).replace("/api/", f"/{api}/api/", 1)
                self.assertEqual(reply.headers.get(name.lower()), text, case["name"])
            if "body_json" in case and body_matters(case):
                ours, theirs = reply.json, case["body_json"]
                if isinstance(theirs.get("detail"), list):
                    ours, theirs = ([(error["type"], error["loc"], error["input"]) for error in body["detail"]] for body in (ours, theirs))
                self.assertEqual(ours, theirs, case["name"])
            elif not case.get("body_text", "<").startswith("<"):
                self.assertEqual(reply.body.decode(), case["body_text"], case["name"])

    def test_errors_of_marche_inclusion(self):
        self.errors_of("marche_inclusion", value("marche_inclusion"), None, lambda case: True)

    def test_errors_of_data_inclusion(self):
        self.errors_of("data_inclusion", value("data_inclusion"), value("data_inclusion_widget"), lambda case: True)

    def test_shapes_of_marche_inclusion(self):
        token = value("marche_inclusion")
        full = max(self.siae("?limit=9999").json["results"], key=lambda row: sum(bool(item) for item in row.values()))
        self.same_shape(full, sample("marche_inclusion", "siae_detail.json"))
        for path, name in (("siae/", "siae_list_limit3_page2"), ("siae/kinds/", "siae_kinds"), ("siae/presta-types/", "siae_presta_types"),
                           ("sectors/", "sectors"), ("networks/", "networks"), ("perimeters/", "perimeters"), ("perimeters/kinds/", "perimeters_kinds"),
                           ("perimeters/autocomplete/?q=lil", "perimeters_autocomplete"), ("tenders/kinds/", "tenders_kinds"),
                           ("tenders/amounts/", "tenders_amounts"), ("inclusive-potential/?sector=peinture", "inclusive_potential")):
            self.same_shape(self.stub.call("/marche_inclusion/api/" + path, token=token).json, sample("marche_inclusion", name + ".json"), name)

    def test_shapes_of_data_inclusion(self):
        ids = [row["id"] for row in self.data("/structures?size=10000").json["items"] if row["doublons"]]
        detail = next(row for row in (self.data("/structures/" + ident).json for ident in ids) if row["services"])
        self.same_shape(detail, sample("data_inclusion", "structure_detail.json"))
        service = detail["services"][0]["id"]
        self.same_shape(self.data("/services/" + service).json, sample("data_inclusion", "service_detail.json"))
        for path, name in (("/structures", "structures_page1"), ("/services", "services_page1"), ("/search?q=numerique", "search_q"),
                           ("/search/services?code_commune=59350", "search_services_commune_59512"), ("/sources", "sources"),
                           ("/doc/frais", "doc_frais"), ("/structures?page=999", "structures_past_end")):
            self.same_shape(self.data(path).json, sample("data_inclusion", name + ".json"), name)
        for name in ("frais", "modes-accueil", "modes-mobilisation", "personnes-mobilisatrices", "publics", "reseaux-porteurs", "thematiques", "types-services"):
            self.assertEqual([row["value"] for row in self.data("/doc/" + name).json],
                             [row["value"] for row in sample("data_inclusion", f"doc_{name}.json")], name)

    def test_shapes_of_entreprise(self):
        siren = siren_of(301)
        for directory, path in (("v4_acoss_attestations_sociales/attestation_delivree", "/v4/urssaf/unites_legales/{siren}/attestation_vigilance"),
                                ("v4_dgfip_attestations_fiscales/200", "/v4/dgfip/unites_legales/{siren}/attestation_fiscale"),
                                ("v3_msa_conformites_cotisations/200", "/v3/msa/etablissements/{siret}/conformite_cotisations"),
                                ("v3_probtp_conformites_cotisations_retraite/200_non_conforme", "/v3/probtp/etablissements/{siret}/conformite_cotisations_retraite"),
                                ("v3_probtp_attestations_cotisation_retraite/200", "/v3/probtp/etablissements/{siret}/attestation_cotisations_retraite"),
                                ("v3_cibtp_attestation_cotisations_conges_payes_chomage_intemperies/200", "/v3/cibtp/etablissements/{siret}/attestation_cotisations_conges_payes_chomage_intemperies"),
                                ("v3_cnetp_attestation_cotisations_conges_payes_chomage_intemperies/200", "/v3/cnetp/unites_legales/{siren}/attestation_cotisations_conges_payes_chomage_intemperies"),
                                ("v3_fntp_carte_professionnelle_travaux_publics/200", "/v3/fntp/unites_legales/{siren}/carte_professionnelle_travaux_publics"),
                                ("v4_qualibat_certifications_batiment/200", "/v4/qualibat/etablissements/{siret}/certification_batiment"),
                                ("v3_ademe_certificats_rge/200", "/v3/ademe/etablissements/{siret}/certification_rge"),
                                ("v3_opqibi_certifications_ingenierie/200", "/v3/opqibi/unites_legales/{siren}/certification_ingenierie"),
                                ("v3_qualifelec_certificats/200-certification-qualifelec_rge_sans-domaine", "/v3/qualifelec/etablissements/{siret}/certificats"),
                                ("v3_carif_oref_certifications_qualiopi_france_competences/200", "/v3/carif_oref/etablissements/{siret}/certifications_qualiopi_france_competences"),
                                ("v4_insee_sieges_unites_legales/association", "/v4/insee/sirene/unites_legales/{siren}/siege_social")):
            ours = self.company(path.format(siren=siren, siret=siret_of(siren, 1)))
            self.same_shape(ours.json, sample("entreprise", "api_entreprise_" + directory + ".json")["body"], directory)

    def test_exchanges_of_marche_travail(self):
        """The server's own errors and shapes; then every recorded exchange, replayed."""
        self.same_shape(self.tension(dernierePeriode=True).json, sample("marche_travail", "tension_rome_REG_53_D1102.json")["body"])
        self.same_shape(self.tension(codeTypeTerritoire="BASBMO", codeTerritoire="1126", codeTypeActivite="CUMUL", codeActivite="CUMUL").json,
                        sample("marche_travail", "tension_cumul_BASBMO_1126_legacy_valeurPrincipaleNom.json")["body"])
        for name, changes in (("error_400_missing_parameter", {"codeTypeNomenclature": None}),
                              ("error_400_not_available_for_indicator", {"codeTypeTerritoire": "EPCI", "codeTerritoire": "243500139"}),
                              ("error_500_no_list_is_no_data", {"codeActivite": "Z0000"})):
            reply, theirs = self.tension(**changes), sample("marche_travail", name + ".json")
            self.assertEqual((reply.status, reply.json), (theirs["status"], theirs["body"]), name)
        for name, reply in (("token_invalid_client", self.stub.access(secret="WRONG")), ("token_invalid_scope", self.stub.access(scope="api_quinexistepasv0")),
                            ("token_unsupported_grant_type", self.stub.access(grant="implicit_grant"))):
            self.assertEqual((reply.status, reply.json), (400, sample("marche_travail", name + ".json")["body"]), name)
        exchanges = []
        for name in sorted(os.listdir(os.path.join(SAMPLES, "marche_travail"))):
            if not name.endswith(".json"):
                continue
            one = sample("marche_travail", name)
            request = one["request"]
            body = request.get("body") or ("form" in request and urllib.parse.urlencode(request["form"])) or None
            exchanges.append((name, {"api": "marche_travail", "method": request["method"], "path": request["path"], "query": request.get("query", {}),
                                     "body": body, "status": one["status"], "headers": one["headers"], "reply": one["body"]}))
        for name, one in exchanges:
            self.stub.control("replay", [one])
            query = urllib.parse.urlencode(one["query"])
            reply = self.stub.call("/marche_travail" + one["path"] + (f"?{query}" if query else ""), one["method"], body=one["body"])
            self.assertEqual(reply.status, one["status"], name)
            if isinstance(one["reply"], (dict, list)):
                self.assertEqual(reply.json, one["reply"], name)
            else:
                self.assertEqual(reply.body.decode(), one["reply"] or "", name)


def together(calls):
    """Run calls at the same time; their results in order."""
    results = [None] * len(calls)

    def run(place):
        results[place] = calls[place]()
    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


Particulier = particulier_test.checks(Case, together)

_shared = []


def shared_stub():
    if not _shared:
        _shared.append(Stub())
    return _shared[0]


def main():
    program = unittest.main(exit=False, verbosity=2 if "-v" in sys.argv else 1)
    for stub in _shared:
        stub.stop()
    result = program.result
    bad = len(result.failures) + len(result.errors)
    sys.stderr.flush()
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
