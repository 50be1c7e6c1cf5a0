"""Exchanges in files: what the local API server answers where it plays no simulation.

    FOLDER/API/OPERATION/CASE.json    {"request": {parameter: value}, "status": 200, "body": ...}

OPERATION is the `operation` of a route of apis/, which gives the method and the path.  FOLDER/API/manifest.json
(a list of {"request": "GET /path?query", "file", "status"}) and files that hold a whole request (`method`, `path`,
`query`, `body`) are read too: those are the forms of recorded replies.

A request is answered by the exchange that has exactly its parameters: names without a final [], texts compared without
case, lists in order, purpose aside.  Where none fits, the constants that a definition adds to a query may be absent.
"""

import itertools
import json
import pathlib
import re
import urllib.parse

from population import is_siren, is_siret

ROOT = pathlib.Path(__file__).resolve().parents[2]
PURPOSE = ("recipient", "context", "object")
PREFIX = {"marche_inclusion": "/api", "data_inclusion": "/api/v1",
          "marche_travail": "/partenaire/stats-offres-demandes-emploi"}


class Route:
    """What the definitions say of an operation: where it is, who may call it, how it counts."""

    def __init__(self, api, definition, route, parameters):
        self.api = api
        self.operation = route.get("operation")
        self.method = route.get("method", "GET")
        self.path = PREFIX.get(api, "") + route["path"]
        self.scopes = route.get("scopes", [])
        self.limit = route.get("limit")
        self.per_window = definition.get("limits", {}).get(self.limit, {}).get("requests")
        self.open = route.get("auth", {}).get("scheme") == "none"
        self.purpose = route.get("purpose", True)
        self.checks = {p["name"]: p["check"] for p in parameters if p.get("in") == "path" and "check" in p}
        self.constants = {plain(p["name"]) for p in parameters
                          if "constant" in p and p.get("in", "query") == "query"}
        several = {p["name"] for p in parameters if p.get("slashes")}
        pieces = re.split(r"\{(\w+)\}", self.path)
        self.names = pieces[1::2]
        self.pattern = re.compile("".join(re.escape(piece) if place % 2 == 0 else "(.+)" if piece in several else "([^/]+)"
                                          for place, piece in enumerate(pieces)))

    def keys(self, path):
        """The values of the path's places, or None for another path."""
        found = self.pattern.fullmatch(path)
        return dict(zip(self.names, found.groups())) if found else None

    def refused(self, path):
        """The first place of the path whose value is not the number that it must be, or None."""
        for name, value in self.keys(path).items():
            check = self.checks.get(name)
            if check and not (is_siret if check == "siret" else is_siren)(value):
                return name
        return None


class Exchange:
    def __init__(self, request, status, body, headers=None):
        self.request = parameters_of(request)
        self.status, self.body, self.headers = status, body, headers or {}


def plain(name):
    return name[:-2] if name.endswith("[]") else name


def text(value):
    """A scalar so that 1 and "1", True and "true", "Élan" and "élan" are equal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False).casefold()
    return "" if value is None else str(value).casefold()


def parameters_of(values):
    """Parameters to compare: name to a tuple of texts."""
    found = {}
    for name, value in values.items():
        if name not in PURPOSE:
            found[plain(name)] = tuple(text(one) for one in (value if isinstance(value, list) else [value]))
    return found


def routes_of(directory):
    """Every route of the definitions, one for each choice of its variants, in their order."""
    routes = []
    for file in sorted(directory.glob("*.json")):
        definition = json.loads(file.read_text(encoding="utf-8"))
        for name in definition["tables"]:
            table = json.loads((directory / file.stem / f"{name}.json").read_text(encoding="utf-8"))
            for route in table["routes"]:
                for chosen in itertools.product(*route.get("variants", [])):
                    parameters = route.get("parameters", []) + [p for one in chosen for p in one.get("parameters", [])]
                    routes.append(Route(file.stem, definition, route, parameters))
    return routes


class Exchanges:
    """The exchanges of some folders; the first folder that knows an answer gives it."""

    def __init__(self, folders=(), definitions=None):
        self.routes = routes_of(pathlib.Path(definitions or ROOT / "apis"))
        self.by_operation = {}     # (api, operation) to [Exchange]
        self.by_path = {}          # (api, method, path) to [Exchange]
        for folder in [ROOT / "test" / "fixtures" / "exchanges", *map(pathlib.Path, folders)]:
            for api in sorted(folder.glob("*/")):
                self.read(api)

    # -- reading ----------------------------------------------------------

    def read(self, folder):
        api = folder.name
        for file in sorted(folder.glob("*/*.json")):
            case = json.loads(file.read_text(encoding="utf-8"))
            self.by_operation.setdefault((api, file.parent.name), []).append(
                Exchange(case["request"], case["status"], case["body"], case.get("headers")))
        manifest = folder / "manifest.json"
        if manifest.exists():
            for line in json.loads(manifest.read_text(encoding="utf-8")):
                method, _, target = line["request"].partition(" ")
                path, _, query = target.partition("?")
                body = json.loads((folder / line["file"]).read_text(encoding="utf-8"))
                self.keep(api, method, path, urllib.parse.parse_qs(query, keep_blank_values=True),
                          line["status"], body)
            return
        for file in sorted(folder.glob("*.json")):
            case = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(case, dict) and "path" in case.get("request", {}):
                request = case["request"]
                values = request.get("body") or request.get("query") or {}
                if isinstance(values, dict) and "form" not in request:
                    self.keep(api, request["method"], request["path"], values, case["status"], case["body"])

    def keep(self, api, method, path, values, status, body):
        self.by_path.setdefault((api, method, path), []).append(Exchange(values, status, body))

    # -- answering --------------------------------------------------------

    def route(self, api, method, path):
        """The route of the definitions that asks at this path, or None: rather one whose checks the path passes (a
        place may hold a SIREN, a SIRET or another number), or one with fewer places."""
        found = [route for route in self.routes
                 if (route.api, route.method) == (api, method) and route.keys(path) is not None]
        return min(found, key=lambda route: (route.refused(path) is not None, len(route.names)), default=None)

    def find(self, api, method, path, parameters):
        """The exchange that answers, rather one without error, or None.

        path: as the real server sees it.  parameters: those of the query (name to value or list of values), or the
        members of a body.
        """
        fitting = self.fitting(api, method, path, parameters_of(parameters))
        return min(fitting, key=lambda exchange: exchange.status >= 400, default=None)

    def fitting(self, api, method, path, wanted):
        for exact in (True, False):
            for route in self.routes:
                keys = route.keys(path) if (route.api, route.method) == (api, method) else None
                if keys is None or (not exact and not route.constants):
                    continue
                loose = set() if exact else route.constants
                asked = without({**wanted, **parameters_of(keys)}, loose)
                found = [exchange for exchange in self.by_operation.get((api, route.operation), [])
                         if without(exchange.request, loose) == asked]
                if found:
                    return found
        return [exchange for exchange in self.by_path.get((api, method, path), []) if exchange.request == wanted]

    def of_operation(self, api, operation):
        return self.by_operation.get((api, operation), [])


def without(values, names):
    return {name: value for name, value in values.items() if name not in names}
