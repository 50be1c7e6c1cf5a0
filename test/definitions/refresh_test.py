#!/usr/bin/env python3
"""What apis/schema/refresh tells, and writes, when an OpenAPI document has changed.

A made-up API is put in a copy of apis/, with its document; each test changes the document.
Last line: N passed, N failed.
"""
import copy
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
API = {"api": "ports", "title": "Ports", "source": "made up", "base_url": "https://ports.example",
       "auth": {"scheme": "none"}, "tables": ["navires"]}
TABLE = {
    "table": "navires", "comment": "Navires d'un port.", "source": "made up", "rows": 10,
    "columns": [
        {"name": "port", "type": "text", "comment": "Port demandé.", "echo": "port"},
        {"name": "nom", "type": "text", "comment": "Nom du navire.", "path": "nom"},
        {"name": "longueur", "type": "numeric", "comment": "En mètres.", "path": "coque.longueur"},
        {"name": "escales", "type": "jsonb", "comment": "Escales, telles qu'envoyées.", "path": "escales"}],
    "routes": [{"name": "port", "path": "/v1/ports/{port}/navires", "operation": "ports_v1_navires",
                "parameters": [{"name": "port", "in": "path", "column": "port"}], "rows": "data[]"}]}
SHIP = {"type": "object", "properties": {
    "nom": {"type": "string"},
    "coque": {"type": "object", "properties": {"longueur": {"type": "number"}}},
    "escales": {"type": "array", "items": {"type": "object", "properties": {"quai": {"type": "string"}}}}}}


def reply(operation, items):
    schema = {"type": "object", "properties": {"data": {"type": "array", "items": items}}}
    return {"200": {"x-operationId": operation, "content": {"application/json": {"schema": schema}}}}


DOCUMENT = {"paths": {"/v1/ports/{port}/navires": {"get": {
    "parameters": [{"name": "port", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": reply("ports_v1_navires", SHIP)}}}}


class Refresh(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="apigouv_refresh"))
        self.addCleanup(shutil.rmtree, self.work)
        self.apis = self.work / "apis"
        shutil.copytree(ROOT / "apis" / "schema", self.apis / "schema")
        (self.apis / "schema" / "refresh.json").write_text('{"ports": {}}')
        (self.apis / "ports").mkdir()
        (self.apis / "ports.json").write_text(json.dumps(API))
        self.table = self.apis / "ports" / "navires.json"
        self.table.write_text(json.dumps(TABLE))
        self.document = copy.deepcopy(DOCUMENT)

    def ship(self):
        operation = self.document["paths"]["/v1/ports/{port}/navires"]["get"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        return schema["properties"]["data"]["items"]["properties"]

    def run_script(self, name, *arguments):
        return subprocess.run([sys.executable, self.apis / "schema" / name, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def refresh(self, *options):
        path = self.work / "document.json"
        path.write_text(json.dumps(self.document))
        return self.run_script("refresh", "ports", path, *options)

    def says(self, line, *options):
        done = self.refresh(*options)
        self.assertIn(line, done.stdout.splitlines())
        self.assertEqual(done.returncode, 1)

    def test_same_document_is_no_change(self):
        done = self.refresh()
        self.assertEqual((done.stdout, done.returncode), ("no change\n", 0))

    def test_new_field_is_told(self):
        self.ship()["pavillon"] = {"type": "string"}
        self.says("ports_v1_navires: new field data[].pavillon (string)")

    def test_field_inside_an_object_that_a_column_holds_is_no_news(self):
        self.ship()["escales"]["items"]["properties"]["duree"] = {"type": "integer"}
        self.assertEqual(self.refresh().stdout, "no change\n")

    def test_type_change_is_told(self):
        self.ship()["coque"]["properties"]["longueur"] = {"type": "boolean"}
        self.says("ports_v1_navires: data[].coque.longueur is boolean, its column numeric")

    def test_field_that_is_gone_is_told(self):
        del self.ship()["nom"]
        self.says("ports_v1_navires: data[].nom of navires is not in the document")

    def test_new_operation_is_told(self):
        self.document["paths"]["/v1/quais"] = {"get": {"responses": reply("ports_v1_quais", SHIP)}}
        self.says("ports_v1_quais: new operation GET /v1/quais")

    def test_newer_version_of_an_operation_is_told(self):
        newer = copy.deepcopy(self.document["paths"]["/v1/ports/{port}/navires"])
        newer["get"]["responses"]["200"]["x-operationId"] = "ports_v2_navires"
        self.document["paths"]["/v2/ports/{port}/navires"] = newer
        self.says("ports_v1_navires: a newer version exists")

    def test_operation_that_is_gone_is_told(self):
        self.document["paths"] = {}
        self.says("ports_v1_navires: not in the document")

    def test_new_required_parameter_is_told(self):
        self.document["paths"]["/v1/ports/{port}/navires"]["get"]["parameters"].append(
            {"name": "annee", "in": "query", "required": True, "schema": {"type": "integer"}})
        self.says("ports_v1_navires: required parameter annee is not in navires")

    def test_what_is_to_be_left_alone_is_not_told(self):
        self.ship()["pavillon"] = {"type": "string"}
        (self.apis / "schema" / "refresh.json").write_text(
            json.dumps({"ports": {"fields": {"data\\[\\]\\.pavillon": "nobody needs it"}}}))
        self.assertEqual(self.refresh().stdout, "no change\n")

    def test_write_adds_a_column_and_keeps_what_was_made_by_hand(self):
        self.ship()["pavillon"] = {"type": "string"}
        self.says("written: ports/navires.json", "--write")
        table = json.loads(self.table.read_text())
        self.assertEqual(table["columns"][:-1], TABLE["columns"])
        self.assertEqual(table["routes"], TABLE["routes"])
        self.assertEqual(table["columns"][-1], {"name": "pavillon", "type": "text", "path": "pavillon"})
        self.assertIn("navires.pavillon: no comment", self.run_script("naming").stdout)
        self.assertEqual(self.refresh().stdout, "no change\n")

    def test_write_makes_a_table_of_a_new_operation(self):
        self.document["paths"]["/v1/quais"] = {"get": {"responses": reply("ports_v1_quais", SHIP)}}
        self.says("written: ports/ports_quais.json", "--write")
        table = json.loads((self.apis / "ports" / "ports_quais.json").read_text())
        self.assertEqual([(c["name"], c["type"]) for c in table["columns"]],
                         [("nom", "text"), ("coque_longueur", "numeric"), ("escales", "jsonb")])
        self.assertEqual(self.run_script("check", self.apis).returncode, 0)
        self.assertIn("ports_quais: no comment", self.run_script("naming").stdout)
        self.assertEqual(self.refresh().stdout, "no change\n")

    def test_new_table_of_a_list_has_its_count_its_key_and_no_empty_members(self):
        element = {"type": "object", "properties": {
            "data": {"type": "object", "properties": {"jour": {"type": "string"}, "siret": {"type": "string"}}},
            "links": {"type": "object"}, "meta": {"type": "object"}}}
        responses = reply("ports_v1_horaires", element)
        schema = responses["200"]["content"]["application/json"]["schema"]
        schema["properties"]["meta"] = {"type": "object", "properties": {"count": {"type": "integer"}}}
        schema["properties"]["links"] = {"type": "object"}
        self.document["paths"]["/v1/{siret}/horaires"] = {"get": {"responses": responses, "parameters": [
            {"name": "siret", "in": "path", "required": True, "schema": {"type": "string"}}]}}
        self.says("written: ports/ports_horaires.json", "--write")
        table = json.loads((self.apis / "ports" / "ports_horaires.json").read_text())
        self.assertEqual(table["columns"], [
            {"name": "siret", "type": "text", "echo": "siret"},
            {"name": "jour", "type": "text", "path": "data.jour"},
            {"name": "siret_retourne", "type": "text", "path": "data.siret"},
            {"name": "meta_count", "type": "integer", "envelope": "meta.count"}])
        self.assertEqual(table["routes"][0]["parameters"],
                         [{"name": "siret", "in": "path", "column": "siret", "check": "siret"}])
        self.assertEqual(self.run_script("check", self.apis).returncode, 0)
        self.assertEqual(self.refresh().stdout, "no change\n")

    def test_new_table_of_an_api_that_counts_asks_for_its_limit(self):
        api = API | {"limits": {"json": {"requests": 5, "window_s": 60}}}
        (self.apis / "ports.json").write_text(json.dumps(api))
        self.document["paths"]["/v1/quais"] = {"get": {"responses": reply("ports_v1_quais", SHIP)}}
        self.says("written: ports/ports_quais.json", "--write")
        self.assertIn('ports/ports_quais.json: routes[0].limit: there is no limit ""',
                      self.run_script("check", self.apis).stdout)

    def test_naming_asks_for_the_limit_of_a_route_that_needs_a_scope(self):
        api = API | {"limits": {"json": {"requests": 5, "window_s": 60}}}
        (self.apis / "ports.json").write_text(json.dumps(api))
        route = TABLE["routes"][0] | {"scopes": ["navires"]}
        self.table.write_text(json.dumps(TABLE | {"routes": [route]}))
        self.assertIn("navires: route port has no limit: one of json", self.run_script("naming").stdout)

    def test_every_file_is_in_the_one_form_after_write(self):
        self.ship()["pavillon"] = {"type": "string"}
        self.refresh("--write")
        self.assertEqual(self.run_script("format", "--check", self.table).returncode, 0)


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)
