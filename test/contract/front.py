#!/usr/bin/python3
"""Stands before Prism for contract.pl: forwards each request, and tells what Prism said of it.

    front.py PORT_FILE

Prism plays no token endpoint and its examples carry rate limits of a past day: this gives an access token to anybody,
and leaves those headers out; a list's example is a page of it, so the total is made to fit.  POST /_front {"port": N, "totals":
[[total, list], ...]} chooses the Prism to ask and names those members; GET /_front returns what was asked since: method,
path, query (names only), status, violations of the request in Prism's words, body of a refusal.  Loopback only.
"""

import http.client
import http.server
import json
import os
import sys
import urllib.parse

TOKEN = json.dumps({"access_token": "jeton-de-test", "token_type": "Bearer", "expires_in": 1499,
                    "scope": "api_stats-offres-demandes-emploiv1 offresetdemandesemploi"}).encode()
LEFT_OUT = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "connection", "keep-alive",
            "transfer-encoding", "content-length", "retry-after")


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1                  # header and body in one piece: the second of two waits for an acknowledgement
    target = None
    totals = []
    log = []

    def log_message(self, *args):
        pass

    def give(self, status, body, headers=()):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/_front":
            return self.control(body)
        if "/oauth2/access_token" in self.path:
            return self.give(200, TOKEN, [("Content-Type", "application/json")])
        return self.forward(body)

    do_GET = do_POST = answer

    def control(self, body):
        found = []
        if body:
            told = json.loads(body)
            Front.target, Front.totals = told["port"], told["totals"]
        else:
            found, Front.log = Front.log, []
        return self.give(200, json.dumps(found).encode(), [("Content-Type", "application/json")])

    def forward(self, body):
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ("host", "connection", "accept-encoding")}
        connection = http.client.HTTPConnection("127.0.0.1", Front.target, timeout=60)
        connection.request(self.command, for_prism(self.path), body or None, headers)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        path, _, query = self.path.partition("?")
        Front.log.append({
            "method": self.command, "path": path, "status": reply.status,
            "query": sorted({name for name, _ in urllib.parse.parse_qsl(query, keep_blank_values=True)}),
            "violations": [f"{'.'.join(map(str, one['location']))}: {one['message']}"
                           for one in json.loads(reply.getheader("sl-violations") or "[]")
                           if one["location"][0] == "request"],
            "problem": content.decode("utf-8", "replace")[:400] if reply.status >= 400 else None})
        self.give(reply.status, whole(content), [(name, value) for name, value in reply.getheaders()
                                          if name.lower() not in LEFT_OUT])


def for_prism(target):
    """Prism decodes names of a query once more than the ones of its document: "prenoms[]" has to come encoded twice."""
    path, mark, query = target.partition("?")
    return path + mark + "&".join(pair.replace("%5B%5D=", "%255B%255D=", 1) for pair in query.split("&"))


def whole(content):
    """A page of a list, as if it were all of it."""
    try:
        value = json.loads(content)
    except ValueError:
        return content
    for total, rows in Front.totals:
        if isinstance(value, dict) and isinstance(value.get(rows), list) and total in value:
            value[total] = len(value[rows])
            content = json.dumps(value).encode()
    return content


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    server.daemon_threads = True
    with open(sys.argv[1] + ".new", "w", encoding="ascii") as out:
        out.write(f"{server.server_address[1]}\n")
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
