"""What the tests steer: the log, the latency, the faults, the exchanges to replay.

Paths are those that the real server would see: /api/siae/ for marche_inclusion,
/api/v1/services for data_inclusion, /v4/urssaf/... for entreprise.  A path that
starts with the stub's own /NAME-OF-API is accepted too.
"""

import collections
import fnmatch
import json
import re
import time
import urllib.parse

from httpd import Response, dumps

APIS = ("marche_inclusion", "data_inclusion", "entreprise", "marche_travail", "particulier")
FAULT_ACTIONS = ("close", "reset", "cut", "cut_chunks", "stall", "stall_body", "garbage", "giant", "giant_gzip",
                 "bad_gzip", "short_gzip", "redirect")
FAULT_MEMBERS = {"api", "path", "method", "times", "skip", "status", "action", "body", "headers", "delay_ms", "bytes",
                 "location"}
REPLAY_MEMBERS = {"api", "method", "path", "query", "body", "status", "headers", "reply"}
PURPOSE = ("recipient", "context", "object")
DEFAULT_OPTIONS = {
    "next_base": None,        # marche_inclusion: scheme and host of `next`, instead of those of the request
    "gzip": False,            # marche_inclusion: a proxy that compresses
    "token_lifetime_s": 1499,  # marche_travail: life of the tokens to come
    "expire_tokens": False,   # marche_travail: true ends the tokens given so far, once
    "expire_documents": False,  # entreprise: true ends the links to documents given so far, once
}


class Bad(Exception):
    """A control request that cannot be obeyed."""


def api_path(api, path):
    """A path as the real server sees it."""
    prefix = f"/{api}/"
    return path[len(prefix) - 1:] if api and path.startswith(prefix) else path


def parsed(raw_query):
    """A query as a set of pairs, without the purpose parameters."""
    return sorted(pair for pair in urllib.parse.parse_qsl(raw_query, keep_blank_values=True) if pair[0] not in PURPOSE)


def query_pairs(query):
    """The query of a replay: raw text, or an object whose values may be lists."""
    if isinstance(query, str):
        return parsed(query.lstrip("?"))
    pairs = []
    for name, value in query.items():
        pairs += [(name, str(one)) for one in (value if isinstance(value, list) else [value])]
    return sorted(pair for pair in pairs if pair[0] not in PURPOSE)


def canonical_body(body):
    """A body to compare: JSON by value, a form by its pairs."""
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return sorted(urllib.parse.parse_qsl(body, keep_blank_values=True))


class Control:
    def __init__(self, latency_ms, datasets):
        self.began = time.monotonic()
        self.start_latency_ms = latency_ms
        self.datasets = datasets
        self.on_reset = []
        self.trap_url = None
        self.strict = None         # see strict.py
        self.reset()

    def reset(self):
        self.log = []
        self.faults = []
        self.replays = []
        self.latency_ms = self.start_latency_ms
        self.options = dict(DEFAULT_OPTIONS)
        for call in self.on_reset:
            call()

    def now_ms(self):
        return round((time.monotonic() - self.began) * 1000, 3)

    # -- the log ----------------------------------------------------------

    def enter(self, api, path, request, token=""):
        """Open a log entry; secrets stay out of it, so credentials are told by name."""
        body = request.body.decode("utf-8", "replace") if request.body else None
        if body and "client_secret=" in body:
            body = re.sub(r"client_secret=[^&]*", "client_secret=[secret]", body)
        hidden = ("authorization", "x-api-key", "proxy-authorization")
        entry = {
            "api": api, "method": request.method, "path": path, "query": request.raw_query, "body": body,
            "fault": False, "status": None, "started": self.now_ms(), "ended": None, "connection": request.connection,
            "target": request.target, "authorization": "authorization" in request.headers, "token": token,
            "headers": {name: value for name, value in request.headers.items() if name not in hidden},
        }
        self.log.append(entry)
        return entry

    def leave(self, entry, response):
        """To be called when the reply is over."""
        def end():
            entry["ended"] = self.now_ms()
        entry["status"] = response.status if response.action in (None, "giant", "giant_gzip", "garbage", "bad_gzip",
                                                                 "short_gzip", "cut", "cut_chunks",
                                                                 "stall_body") else None
        response.on_end.append(end)

    # -- faults -----------------------------------------------------------

    def fault_for(self, api, path, method):
        """The first fault that fits, counted down; None if none does."""
        for fault in self.faults:
            if fault.get("api") not in (None, api) or fault.get("method") not in (None, method):
                continue
            pattern = fault.get("path")
            if pattern is not None:
                pattern = api_path(api, pattern)
                if any(mark in pattern for mark in "*?["):
                    if not fnmatch.fnmatchcase(path, pattern):
                        continue
                elif not path.startswith(pattern):
                    continue
            if fault["skip"] > 0:
                fault["skip"] -= 1
                continue
            if fault["times"] == 0:
                continue
            fault["times"] -= 1 if fault["times"] > 0 else 0
            return fault
        return None

    def apply_fault(self, fault, real):
        """The reply that a fault asks for; `real` gives the reply without it."""
        action = fault.get("action")
        if action == "redirect":
            response = Response(fault.get("status", 302), b"", "text/html; charset=utf-8",
                                [("Location", fault.get("location") or self.trap_url)])
        elif "status" in fault or "body" in fault:
            body = fault.get("body", "")
            kind = "text/html; charset=utf-8"
            if not isinstance(body, str):
                body, kind = dumps(body).decode(), "application/json"
            response = Response(fault.get("status", 200), body.encode())
            headers = {name.lower() for name in fault.get("headers", {})}
            if "content-type" not in headers:
                response.headers.append(("Content-Type", kind))
        elif action in (None, "cut", "cut_chunks", "stall_body", "bad_gzip", "short_gzip"):
            response = real()
        else:
            response = Response(200, b"", "application/json")
        response.headers += [(name, str(value)) for name, value in fault.get("headers", {}).items()]
        response.action = action if action != "redirect" else None
        response.action_bytes = fault.get("bytes", 200 * 1024 * 1024)
        response.delay_ms += fault.get("delay_ms", 0)
        return response

    # -- replay -----------------------------------------------------------

    def replay_for(self, api, path, request):
        for one in self.replays:
            if one.get("api") not in (None, api) or one.get("method", "GET") != request.method:
                continue
            if api_path(api, one["path"]) != path:
                continue
            if "query" in one and query_pairs(one["query"]) != parsed(request.raw_query):
                continue
            if one.get("body") is not None:
                if canonical_body(one["body"]) != canonical_body(request.body.decode("utf-8", "replace")):
                    continue
            reply = one.get("reply")
            body = b"" if reply is None else reply.encode() if isinstance(reply, str) else dumps(reply)
            headers = [(name, value) for name, value in one.get("headers", {}).items()
                       if name.lower() not in ("content-length", "transfer-encoding", "content-encoding")]
            response = Response(one.get("status", 200), body, None, headers)
            if not response.has_header("content-type") and body:
                response.headers.append(("Content-Type", "application/json"))
            return response
        return None

    # -- /_stub/ ----------------------------------------------------------

    def handle(self, request):
        """Answer a control request."""
        try:
            value = json.loads(request.body) if request.body else None
            result = self.obey(request, value)
        except (Bad, ValueError, KeyError, TypeError) as error:
            return Response(400, dumps({"error": str(error)}), "application/json")
        if result is None:
            return Response(404, dumps({"error": f"no such control: {request.path}"}), "application/json")
        return Response(200, dumps(result), "application/json")

    def obey(self, request, value):
        what = (request.method, request.path.removeprefix("/_stub/"))
        if what == ("GET", "requests"):
            keep = request.last("headers") == "1"
            return [entry if keep else {key: item for key, item in entry.items() if key != "headers"}
                    for entry in self.log]
        if what == ("GET", "options"):
            return {"latency_ms": self.latency_ms, "trap_url": self.trap_url, **self.options}
        if what == ("POST", "reset"):
            self.reset()
            return {}
        if what == ("POST", "forget"):
            seen = collections.Counter(f"{entry['status'] or 'none'}{' ordered' if entry['fault'] else ''}"
                                       for entry in self.log)
            self.log = []
            return dict(seen)
        if what == ("POST", "latency"):
            self.latency_ms = float(value["ms"])
            return {}
        if what == ("POST", "faults"):
            self.faults = [self.checked_fault(dict(fault)) for fault in value]
            return {}
        if what == ("POST", "replay"):
            for one in value:
                self.members(one, REPLAY_MEMBERS)
                one["path"]
            self.replays = value
            return {"exchanges": len(value)}
        if what == ("POST", "options"):
            self.members(value, DEFAULT_OPTIONS)
            self.options.update(value)
            return {}
        if what == ("GET", "strict"):
            return self.strict.told(request.last("arrivals") != "0")
        if what == ("POST", "strict"):
            return self.strict.set(value)
        if what == ("POST", "data"):
            for one in value if isinstance(value, list) else [value]:
                self.change_data(one)
            return {}
        return None

    @staticmethod
    def members(value, known):
        extra = set(value) - set(known)
        if extra:
            raise Bad(f"members not known here: {', '.join(sorted(extra))}")

    def checked_fault(self, fault):
        self.members(fault, FAULT_MEMBERS)
        if fault.get("action") not in (None, *FAULT_ACTIONS):
            raise Bad(f"no such action: {fault['action']}")
        if fault.get("api") not in (None, *APIS):
            raise Bad(f"no such API: {fault['api']}")
        fault.setdefault("times", 1)
        fault.setdefault("skip", 0)
        return fault

    def change_data(self, change):
        """Alter a list now, or once `after` more pages of it have been given."""
        self.members(change, {"api", "add", "remove", "after"})
        if change.get("api") not in self.datasets:
            raise Bad(f"no data of this API can change: {change.get('api')}")
        self.datasets[change["api"]].plan_change(change.get("add", 0), change.get("remove", 0), change.get("after", 0))
