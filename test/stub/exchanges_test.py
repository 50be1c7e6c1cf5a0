"""Checks exchanges.py on definitions and files of its own; run by selftest.py."""

import json
import pathlib
import tempfile
import unittest

from entreprise import FromFiles, Refused
from exchanges import Exchanges

DEFINITION = {"tables": ["t"], "limits": {"few": {"requests": 15}}}
ROUTES = [
    {"operation": "dated", "path": "/v3/x/{siren}/{year}", "limit": "few", "scopes": ["s"], "parameters": [
        {"name": "siren", "in": "path", "column": "siren", "check": "siren"},
        {"name": "year", "in": "path", "column": "annee"},
        {"name": "first[]", "column": "prenoms", "list": "repeat"},
        {"name": "limit", "constant": 1000}]},
    {"operation": "posted", "method": "POST", "path": "/v3/y", "parameters": [
        {"name": "codes", "in": "body", "column": "code", "list": "json"}]},
    {"operation": "fixed", "path": "/v3/x/liste/tout", "auth": {"scheme": "none"}},
]
CASES = {
    "dated/1": ({"siren": "000003012", "year": 2024, "first": ["Élan", "B"]}, 200, {"data": 1}),
    "dated/2": ({"siren": "000003012", "year": 2023}, 200, {"data": 2}),
    "dated/3": ({"siren": "000003020", "year": 2023}, 404, {"errors": [{"code": "12003"}]}),
    "posted/1": ({"codes": ["A", "B"]}, 200, {"data": 4}),
    "posted/2": ({"codes": ["A", "B"]}, 429, None),
}


class ExchangesInFiles(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.directory.name)
        for name, (request, status, body) in CASES.items():
            file = root / "exchanges" / "entreprise" / f"{name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"request": request, "status": status, "body": body}), encoding="utf-8")
        (root / "apis" / "entreprise").mkdir(parents=True)
        (root / "apis" / "entreprise.json").write_text(json.dumps(DEFINITION), encoding="utf-8")
        (root / "apis" / "entreprise" / "t.json").write_text(json.dumps({"routes": ROUTES}), encoding="utf-8")
        self.exchanges = Exchanges([root / "exchanges"], root / "apis")

    def tearDown(self):
        self.directory.cleanup()

    def found(self, path, parameters, method="GET"):
        exchange = self.exchanges.find("entreprise", method, path, parameters)
        return exchange and exchange.body

    def test_exactly_its_parameters(self):
        path = "/v3/x/000003012/2024"
        self.assertEqual(self.found(path, {"first[]": ["élan", "b"]}), {"data": 1})
        self.assertEqual(self.found(path, {"first[]": ["ÉLAN", "B"], "context": ["c"], "object": ["o"]}), {"data": 1})
        self.assertIsNone(self.found(path, {"first[]": ["B", "Élan"]}), "lists have an order")
        self.assertIsNone(self.found(path, {}), "one is missing")
        self.assertIsNone(self.found(path, {"first[]": ["Élan", "B"], "x": ["1"]}), "one too many")
        self.assertIsNone(self.found("/v3/x/000003012/2022", {"first[]": ["Élan", "B"]}), "another value")
        self.assertIsNone(self.found(path + "/z", {"first[]": ["Élan", "B"]}), "another path")

    def test_constants_of_a_definition_may_be_absent(self):
        self.assertEqual(self.found("/v3/x/000003012/2023", {"limit": ["1000"]}), {"data": 2})

    def test_bodies(self):
        self.assertEqual(self.found("/v3/y", {"codes": ["A", "B"]}, "POST"), {"data": 4})
        self.assertIsNone(self.found("/v3/y", {"codes": ["A"]}, "POST"))
        self.assertIsNone(self.found("/v3/y", {"codes": ["A", "B"]}))

    def test_the_more_literal_path_wins(self):
        self.assertEqual(self.exchanges.route("entreprise", "GET", "/v3/x/liste/tout").operation, "fixed")
        self.assertTrue(self.exchanges.route("entreprise", "GET", "/v3/x/liste/tout").open)
        self.assertIsNone(self.exchanges.route("entreprise", "GET", "/v3/z"))

    def operation(self, path):
        route = self.exchanges.route("entreprise", "GET", path)
        return FromFiles(route, route.keys(path), self.exchanges)

    def refusal(self, path):
        with self.assertRaises(Refused) as caught:
            self.operation(path).answer(path, Asked())
        return caught.exception.status, [error["code"] for error in caught.exception.errors]

    def test_an_operation_of_api_entreprise(self):
        operation = self.operation("/v3/x/000003012/2023")
        self.assertEqual((operation.scopes, operation.group, operation.per_minute, operation.version),
                         (["s"], "few", 15, 3))
        self.assertEqual(operation.answer("/v3/x/000003012/2023", Asked()), {"data": 2})
        self.assertEqual(self.refusal("/v3/x/000003020/2023"), (404, ["12003"]))
        self.assertEqual(self.refusal("/v3/x/000003012/2001"), (404, ["12003"]), "the code of its provider")
        self.assertEqual(self.refusal("/v3/x/000003013/2023"), (422, ["00301"]))


class Asked:
    """A request without query."""

    method, query = "GET", {}
