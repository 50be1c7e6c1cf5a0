#!/usr/bin/python3
"""Talks to the local API server at $APIGOUV_STUB_URL.

    control_client.py reset | requests | count | latency MS | faults JSON | options JSON | data JSON | replay JSON

`requests` prints a line per request, `count` their number; JSON may be "-" for the standard input, or @FILE.
"""

import json
import os
import sys
import urllib.parse
import urllib.request

SHOWN = 14


def ask(what, value=None):
    data = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(os.environ["APIGOUV_STUB_URL"] + "/_stub/" + what, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as reply:
        return json.load(reply)


def line(entry):
    text = f"  {entry['method']} {entry['api']} {entry['path']}"
    if entry["query"]:
        text += "?" + urllib.parse.unquote_plus(entry["query"])
    if entry["body"]:
        text += " " + entry["body"]
    return f"{text} -> {entry['status']}"


def main(argv):
    what, rest = argv[0], argv[1:]
    if what in ("requests", "count"):
        entries = ask("requests")
        if what == "count":
            print(len(entries))
            return
        for entry in entries[:SHOWN]:
            print(line(entry))
        if len(entries) > SHOWN:
            print(f"  ... and {len(entries) - SHOWN} more")
        print(f"  {len(entries)} in all")
    elif what == "reset":
        ask("reset", {})
    elif what == "latency":
        ask("latency", {"ms": float(rest[0])})
    elif what in ("faults", "options", "data", "replay"):
        text = rest[0]
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            with open(text[1:], encoding="utf-8") as file:
                text = file.read()
        ask(what, json.loads(text))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
