"""What the programs in Python share: lines of TAP, the control of the local API server."""

import json
import os
import threading
import time
import urllib.parse
import urllib.request

SIRET = "00000301200010"  # the structures 1001 and 1002
PATIENCE = 30             # seconds that something may take to begin
TIME_TO_END = 1.0         # seconds that a cancel may take
_failed = []


def ok(good, name, *notes):
    """One line of TAP, and what explains a failure."""
    print(("ok" if good else "not ok") + " - " + name, flush=True)
    if not good:
        _failed.append(name)
        for note in notes:
            print("#   " + str(note).replace("\n", "\n#   "), flush=True)
    return good


def equal(got, wanted, name):
    """Whether two values are the same."""
    return ok(got == wanted, name, f"got:    {got!r}", f"wanted: {wanted!r}")


def ended():
    """The exit status."""
    return 1 if _failed else 0


def control(what, value=None):
    """A control of the local API server."""
    data = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(os.environ["APIGOUV_STUB_URL"] + "/_stub/" + what, data,
                                     {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as reply:
        return json.load(reply)


def reset():
    """No fault any more, an empty log."""
    control("reset", {})


def received():
    """What the local API server has received since the last reset, as "PATH?QUERY"."""
    return [entry["path"] + ("?" + urllib.parse.unquote_plus(entry["query"]) if entry["query"] else "")
            for entry in control("requests")]


def tokens():
    """The names of the tokens that came with these requests."""
    return {entry["token"] for entry in control("requests")}


def stalled():
    """Let the next requests stall, whatever they ask."""
    reset()
    control("faults", [{"api": "marche_inclusion", "path": "*", "times": -1, "action": "stall"}])


def until(happened, what):
    """Wait for something that does happen."""
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise RuntimeError("timed out: " + what)
        time.sleep(0.005)


def seconds_to_cancel(execute, cancel):
    """Run a query on a stalled API, cancel it when the request has arrived: the seconds from then to its end, and the
    exception it has ended with."""
    stalled()
    result = {}

    def work():
        try:
            execute()
            result["error"] = None
        except Exception as error:  # pylint: disable=broad-except
            result["error"] = error
        result["ended"] = time.monotonic()

    thread = threading.Thread(target=work)
    thread.start()
    until(received, "the request")
    began = time.monotonic()
    cancel()
    thread.join(PATIENCE)
    until(lambda: not [entry for entry in control("requests") if entry["ended"] is None], "the end of the request")
    reset()
    return result.get("ended", began + PATIENCE) - began, result.get("error")
