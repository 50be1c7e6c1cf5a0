"""What API Entreprise and API Particulier share: one service, its order of checks, its counters, its error bodies.

A subclass says which call a path is (`call`), what needs no check (`open_routes`), and for what an address is kept
(`no_such_address`).
"""

import time

from httpd import Response, dumps
from population import is_siret
from tokens import by_value

JSON_API = "application/vnd.api+json; charset=utf-8"
JSON = "application/json; charset=utf-8"
IP_LIMIT = 1000
LOCK_S = 60

TITLES = {"00100": "Privilèges insuffisants", "00101": "Jeton absent ou inconnu", "00103": "Jeton expiré",
          "00105": "Jeton révoqué", "00107": "Adresse IP refusée", "00015": "Appel identique en cours",
          "00201": "Paramètre context absent", "00202": "Paramètre object absent",
          "00203": "Paramètre recipient absent", "00210": "Paramètre recipient invalide", "00301": "SIREN invalide", "00302": "SIRET invalide",
          "00313": "Limite invalide", "00402": "Version inexistante", "00429": "Quota dépassé",
          "50001": "Jeton FranceConnect malformé", "50002": "Jeton FranceConnect inconnu ou expiré",
          "50003": "Jeton FranceConnect sans identité"}
NATURES = {"003": "Entité non trouvée", "002": "Délai dépassé chez le fournisseur",
           "015": "Conflit chez le fournisseur", "020": "Fournisseur en maintenance", "422": "Entreprise non à jour"}


def title_of(code):
    if code.startswith(("003", "004")):
        return TITLES.get(code, "Paramètre invalide")
    return TITLES.get(code) or NATURES.get(code[2:], "Erreur du fournisseur")


class Refused(Exception):
    """An error reply; parameter: the one to blame, or one for each code."""

    def __init__(self, status, codes, kind=JSON_API, parameter=None, meta=None, headers=()):
        super().__init__(status)
        self.status, self.kind, self.headers = status, kind, list(headers)
        self.errors = []
        for code in codes:
            error = {"code": code, "title": title_of(code), "detail": "Réponse du serveur local de test."}
            if parameter is not None:
                error["source"] = {"parameter": parameter[code] if isinstance(parameter, dict) else parameter}
            error["meta"] = dict(meta or {})
            self.errors.append(error)

    def response(self, headers=()):
        return Response(self.status, dumps({"errors": self.errors}), self.kind, list(headers) + self.headers)


class Call:
    """One call: the scopes of which one is needed, its counter (requests in window_s), whether it demands a purpose,
    whether its version exists, and provide(request, facts of the token), which gives the body."""

    def __init__(self, provide, scopes, group, requests, window_s=60, purpose=True, exists=True):
        self.provide, self.scopes, self.group, self.requests = provide, scopes, group, requests
        self.window_s, self.purpose, self.exists = window_s, purpose, exists


class Plateforme:
    PURPOSE = ()                   # (code when it is missing, parameter)

    def __init__(self, api, strict, factor):
        self.control = None
        self.strict = strict
        self.factor = factor       # of the documented limits
        self.tokens = by_value(api)
        self.reset()

    def reset(self):
        self.running = {}          # identical calls under way: key to the time they are forgotten
        self.windows = {}          # (token, group) to [number of the window, calls]
        self.banned = set()

    def answer(self, path, request):
        """The checks, in the documented order, then the call itself."""
        if self.banned:
            response = Response(200, b"")
            response.action = "close"
            return response
        reply = self.open_routes(path, request)
        if reply is not None:
            return reply
        call = self.call(path, request)
        if call is None or request.method != "GET":
            return self.no_such_address(path)
        headers, lock = [], None
        try:
            token = self.token(request)
            name, facts = self.known(token, call)
            status, code = facts.get("refusal", (0, ""))
            if code in ("00105", "00107"):
                raise Refused(status, [code], JSON)
            headers = self.quota(token, facts, call)
            if not facts:
                raise Refused(401, [self.unknown(token, call)], JSON)
            if code:
                raise Refused(status, [code], JSON)
            if not facts.get("all_scopes") and call.scopes and not set(call.scopes) & set(facts["scopes"]):
                raise Refused(403, ["00100"], JSON)
            same = (name, path, repr(sorted(request.query.items())))
            if self.running.get(same, 0) > time.monotonic():
                raise Refused(409, ["00015"], JSON)
            self.running[same] = time.monotonic() + LOCK_S
            if not self.strict:          # else the lock outlives a refusal of the next checks
                lock = same
            self.check_purpose(call, request)
            lock = same
            response = Response(200, dumps(call.provide(request, facts)), JSON_API,
                                headers + [("X-Response-Cached", "false"), ("X-Cache-Expires-in", "")])
        except Refused as refusal:
            # A refusal by quota carries the headers itself.
            response = refusal.response(headers)
        if lock is not None:
            response.on_end.append(lambda: self.running.pop(lock, None))
        return response

    @staticmethod
    def token(request):
        given = request.header("authorization")
        if given.lower().startswith("bearer "):
            return given[7:].strip()
        return request.header("x-api-key") or request.last("token") or ""

    def known(self, token, call):
        """The name of a token and what is known of it; empty when nothing is."""
        return self.tokens.get(token, ("", {}))

    def unknown(self, token, call):
        """The code for a token that is not known."""
        return "00101"

    def whose(self, request):
        """The name of a request's token."""
        return self.tokens.get(self.token(request), ("",))[0]

    def quota(self, token, facts, call):
        """Count the call; the RateLimit headers; 429 when the limit is enforced and passed."""
        if facts.get("white"):
            return []
        now = int(time.time())
        limit = facts.get("quota") or call.requests * self.factor
        length = facts.get("quota_s") or call.window_s
        counted = self.count((token, call.group), now // length)
        everybody = self.count(("ip", ""), now // 60)
        reset = (now // length + 1) * length
        headers = [("ratelimit-limit", limit), ("ratelimit-remaining", max(0, limit - counted)),
                   ("ratelimit-reset", reset)]
        if self.strict and everybody > IP_LIMIT * self.factor:
            self.banned.add("127.0.0.1")
        if counted > limit and (self.strict or facts.get("quota")):
            raise Refused(429, ["00429"], JSON, headers=headers + [("retry-after", max(0, reset - int(time.time())))])
        return headers

    def count(self, key, number):
        """One more in a window; how many it has."""
        window = self.windows.setdefault(key, [number, 0])
        if window[0] != number:
            window[:] = [number, 0]
        window[1] += 1
        return window[1]

    def check_purpose(self, call, request):
        if not call.purpose:
            return
        missing = {code: name for code, name in self.PURPOSE if not (request.last(name) or "").strip()}
        if missing:
            raise Refused(422, list(missing), JSON, missing)
        if not call.exists:
            raise Refused(404, ["00402"])
        if not is_siret(request.last("recipient")):
            raise Refused(422, ["00210"], JSON_API, "recipient")
