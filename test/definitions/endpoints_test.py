#!/usr/bin/env python3
"""Do the definitions of API Entreprise and API Particulier say what the list of endpoints says?

Usage: test/definitions/endpoints_test.py ENDPOINTS.json

The list (one object per operation: path, version, scopes, limit, cache, documented errors) was taken from the source
of the service, which knows more than its OpenAPI document: scopes, limits and caches are not in the latter.
Last line: N passed, N failed.
"""
import fnmatch
import itertools
import json
import pathlib
import re
import sys
import unittest

APIS = pathlib.Path(__file__).resolve().parents[2] / "apis"
# Two rules of rate are published, of which it is not known which one holds: the definition obeys both.
STRICTER = {("particulier", "json"): (20, 5)}
# Answers in spite of their status, and refusals of a key that nothing but the API can judge.
ANSWERS = {"38422", "04501", "04502"}
REFUSED_KEYS = {"00304", "00307"}


def fitting_rule(rules, status, code):
    """The first reply rule for a status and a code, as the engine finds it; {} where the engine's own decide."""
    for rule in rules:
        def any_of(member):
            value = rule.get(member, [])
            return any(fnmatch.fnmatchcase(code, pattern) for pattern in ([value] if isinstance(value, str) else value))
        statuses = rule.get("status", status)
        statuses = statuses if isinstance(statuses, list) else [statuses]
        if (status in statuses or f"{status // 100}xx" in statuses) and ("code" not in rule or any_of("code")) \
                and not any_of("not_code") and "message_has" not in rule and "empty" not in rule:
            return rule
    return {}


def for_each_route(check):
    """A test of every route that reads a listed operation, each named when it fails."""
    def test(self):
        for api, table, route, endpoint in self.routes:
            if endpoint is not None:
                with self.subTest(table=table["table"], route=route["name"]):
                    check(self, api, table, route, endpoint)
    test.__doc__ = check.__doc__
    return test


class Endpoints(unittest.TestCase):
    listed = {}

    def setUp(self):
        self.apis = {api: json.loads((APIS / f"{api}.json").read_text()) for api in self.listed}
        self.routes = []
        for api, table in ((api, table) for api in self.apis for table in self.apis[api]["tables"]):
            definition = json.loads((APIS / api / f"{table}.json").read_text())
            for route in definition["routes"]:
                endpoint = next((e for e in self.listed[api] if e["operation"] == route.get("operation")), None)
                self.routes.append((api, definition, route, endpoint))

    def test_the_latest_version_of_every_operation_has_a_table(self):
        latest = {e["operation"] for endpoints in self.listed.values() for e in endpoints if e["latest"]}
        self.assertEqual({e["operation"] for *_, e in self.routes if e is not None}, latest)

    @for_each_route
    def test_paths(self, _api, _table, route, endpoint):
        self.assertEqual(route["path"], endpoint["path"])

    @for_each_route
    def test_scopes(self, api, _table, route, endpoint):
        """All of the list's, but for tables of the elements of a masked list, and of FranceConnect, which masks less."""
        scopes, listed = route.get("scopes", []), endpoint["scopes_any_of"]
        if api == "particulier" and (route["rows"].endswith("[]") or endpoint["path"].endswith("france_connect")):
            self.assertEqual(scopes, [scope for scope in listed if scope in scopes])
            self.assertEqual(bool(scopes), bool(listed))
        else:
            self.assertEqual(scopes, listed)

    @for_each_route
    def test_limits(self, api, _table, route, endpoint):
        limit = self.apis[api]["limits"][route["limit"]]
        expected = STRICTER.get((api, route["limit"]), (endpoint["rate_limit"], endpoint["rate_period_s"]))
        self.assertEqual((limit["requests"], limit["window_s"]), expected)

    def test_what_shares_a_counter_shares_a_limit(self):
        """An operation counted alone shares its limit with no other; those of a shared counter have the same one."""
        limits = {}
        for api, _, route, endpoint in self.routes:
            if endpoint is not None:
                alone = endpoint["operation"] if endpoint["rate_counter"] == "own" else ""
                limits.setdefault((api, endpoint["rate_group"], alone), set()).add((api, route["limit"]))
        self.assertEqual({counter: names for counter, names in limits.items() if len(names) > 1}, {})
        self.assertEqual(len(set().union(*limits.values())), len(limits))

    @for_each_route
    def test_first_requests_that_find_a_key(self, _api, _table, route, _endpoint):
        """They have the path, the scopes and the limit of an operation that is read elsewhere."""
        known = {e["path"]: {"scopes": e["scopes_any_of"], "limit": r["limit"]} for _, _, r, e in self.routes if e}
        for lookup in (part.get("lookup") for part in [route, *itertools.chain(*route.get("variants", []))]):
            if lookup is not None:
                self.assertEqual({member: lookup[member] for member in ("scopes", "limit")}, known.get(lookup["path"]))

    @for_each_route
    def test_no_longer_kept_than_by_the_api(self, _api, table, _route, endpoint):
        hours = re.fullmatch(r"(\d+) h", endpoint["server_cache"])
        if hours:
            self.assertLessEqual(table.get("recommended_cache_ttl_s", 0), 3600 * int(hours[1]))

    @for_each_route
    def test_documented_errors(self, api, table, route, endpoint):
        """A provider that knows nothing is no row; no failure is, nor a refused key, but for those above."""
        rules = [*route.get("replies", []), *table.get("replies", []), *self.apis[api]["replies"]]
        for status, code in ((int(s), code) for s, codes in endpoint["documented_errors"].items() for code in codes):
            outcome = fitting_rule(rules, status, code).get("is", "error")
            if code in ANSWERS:
                self.assertIn(outcome, ("row", "no_row") if table.get("union") else ("row",), f"{status} {code}")
            elif status == 404:
                self.assertEqual(outcome, "no_row", f"{status} {code}")
            elif code not in REFUSED_KEYS:
                self.assertNotIn(outcome, ("row", "no_row", "rows"), f"{status} {code}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Endpoints.listed = json.loads(pathlib.Path(sys.argv.pop()).read_text())
    result = unittest.main(exit=False).result
    failed = min(len(result.failures) + len(result.errors), result.testsRun)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)
