"""Strict counting: the upstream that bans, as an adversary of the extension's ledger.

Every request of an API with limits is dated when the kernel received its first
bytes, plus a random delay for the network, and counted by that moment: neither
the client's death nor the work of this server, nor its wait for a processor,
moves the date.  A sliding window begins at
each arrival, so that no window of the given length, wherever it starts, escapes.

Faults, replays and the API itself come after: a request that they serve has
been counted.
"""

import asyncio
import bisect
import fnmatch
import math
import random
import re
import time

from control import APIS, Bad
from httpd import Response, dumps

MEMBERS = {"limits", "delay_ms", "seed", "ban", "retry_after", "foreign", "share", "drop"}
LIMIT_MEMBERS = {"api", "name", "paths", "requests", "window_ms", "counted_by", "headers"}
COUNTED_BY = ("token", "client", "ip", "all")


def is_rate_header(name):
    return name.lower().startswith(("ratelimit-", "x-ratelimit-"))


class Counter:
    """The arrivals that one limit counts for one token, client or address, in order of time (seconds)."""

    def __init__(self, requests, window):
        self.requests, self.window = requests, window
        self.arrivals, self.shares = [], []
        self.excess = 0            # arrivals that made some window hold too many
        self.largest = 0           # most arrivals in any window
        self.slack = None          # least span of requests + 1 arrivals in a row, minus the window
        self.aligned = (0, 0)      # number of the service's own window, arrivals in it
        self.past_remaining = 0    # arrivals that the service's own windows had no room for

    def add(self, moment, share):
        """Count an arrival; whether it is one too many."""
        times = self.arrivals
        place = bisect.bisect_right(times, moment)
        times.insert(place, moment)
        self.shares.insert(place, share)
        too_many = False
        for last in range(place, len(times)):
            if times[last] - moment >= self.window and last > place + self.requests:
                break
            if times[last] - moment < self.window:
                self.largest = max(self.largest, last + 1 - bisect.bisect_right(times, times[last] - self.window))
            if place + self.requests >= last >= self.requests:
                slack = times[last] - times[last - self.requests] - self.window
                self.slack = slack if self.slack is None else min(slack, self.slack)
                too_many = too_many or slack < 0
        self.excess += too_many
        return too_many

    def room_at(self):
        """The moment at which one more would be allowed."""
        return self.arrivals[-self.requests] + self.window if len(self.arrivals) >= self.requests else 0

    def add_aligned(self, wall, foreign):
        """Count in the service's own window: what Remaining says, and when the window ends (both of the header)."""
        number = int(wall // self.window)
        own = self.aligned[1] + 1 if self.aligned[0] == number else 1
        self.aligned = (number, own)
        left = self.requests - own - foreign
        self.past_remaining += left < 0
        return max(0, left), math.ceil((number + 1) * self.window)


class Limit:
    """So many requests per window, to paths of one API."""

    def __init__(self, given):
        self.api, self.name = given["api"], given["name"]
        self.requests, self.window = int(given["requests"]), given["window_ms"] / 1000
        self.counted_by = given.get("counted_by", "token")
        self.headers = given.get("headers", False)
        paths = given.get("paths", "*")
        self.paths = [re.compile(fnmatch.translate(path)) for path in ([paths] if isinstance(paths, str) else paths)]
        if self.api not in APIS or self.counted_by not in COUNTED_BY or self.requests < 1 or self.window <= 0:
            raise Bad(f"limit {self.name}: api, counted_by, requests or window_ms is not right")
        self.counters = {}

    def fits(self, api, path):
        return api == self.api and any(pattern.match(path) for pattern in self.paths)

    def counter(self, whose):
        found = self.counters.get(whose)
        if found is None:
            found = self.counters[whose] = Counter(self.requests, self.window)
        return found


class Strict:
    """What `/_stub/strict` switches on.  `whose(api, request)` names the owner of a request's credentials."""

    def __init__(self, control, whose):
        self.control, self.whose = control, whose
        self.reset()

    def reset(self):
        self.limits = []
        self.bans = {}             # (API, address) to the arrival that was one too many
        self.late = 0.0            # the longest time between the date of an arrival and its counting
        self.delay = (0.0, 0.0)

    def set(self, value):
        self.control.members(value, MEMBERS)
        for one in value.get("limits", []):
            self.control.members(one, LIMIT_MEMBERS)
        limits = [Limit(one) for one in value.get("limits", [])]
        delay = value.get("delay_ms", 0)
        low, high = delay if isinstance(delay, list) else (delay, delay)
        foreign = value.get("foreign") or {"limit": None, "per_s": 0}
        self.control.members(foreign, {"limit", "per_s"})
        drop = value.get("drop", 0)
        if not 0 <= low <= high or not 0 <= drop <= 1:
            raise Bad("delay_ms is a number, or the least and the most; drop is between 0 and 1")
        try:
            share = re.compile(value["share"]) if value.get("share") else None
        except re.error as error:
            raise Bad(f"share: {error}") from error
        self.reset()
        self.limits, self.share = limits, share
        self.delay, self.drop = (low / 1000, high / 1000), drop
        self.random = random.Random(value.get("seed", 1))
        self.ban, self.retry_after = value.get("ban", True), value.get("retry_after", True)
        self.foreign, self.foreign_since = (foreign["limit"], foreign["per_s"]), time.time()
        return {}

    # -- a request ---------------------------------------------------------

    def date(self, api, read_at):
        """When a request that was read at a moment arrives; None when nothing counts those of its API."""
        if not any(limit.api == api for limit in self.limits):
            return None
        return read_at + self.random.uniform(*self.delay)

    def count(self, api, path, request):
        """Count a request: the refusal, or None with the headers that every reply has to have."""
        if request.arrived is None:
            return None, None
        self.late = max(self.late, asyncio.get_running_loop().time() - request.arrived)
        if (api, request.address) in self.bans:
            self.bans[api, request.address]["requests_after"] += 1
            return silence(), None
        refusal = headers = None
        share = self.share_of(path, request)
        for limit in self.limits:
            if not limit.fits(api, path):
                continue
            whose = {"ip": request.address, "all": "all"}.get(limit.counted_by) or self.whose(api, request)
            counter = limit.counter(whose)
            too_many = counter.add(request.arrived, share)
            shown = self.headers(limit, counter, request.arrived)
            headers = headers or (shown if limit.headers else None)
            if too_many and self.ban:
                self.bans[api, request.address] = {
                    "api": api, "address": request.address, "limit": limit.name, "counter": whose,
                    "at": self.ms(request.arrived), "requests_after": 0,
                    "arrivals": [self.ms(moment) for moment in counter.arrivals[-limit.requests - 1:]]}
                return silence(), None
            if too_many:
                refusal = refusal or self.too_many(api, counter, request.arrived)
        if refusal is None and self.random.random() < self.drop:
            refusal = silence()
        return refusal, headers or []

    def share_of(self, path, request):
        if self.share is None:
            return None
        found = self.share.search(f"{path}?{request.raw_query} {request.body.decode('utf-8', 'replace')}")
        return found and found.group(1)

    def headers(self, limit, counter, arrived):
        """The headers of a reply as the service writes them: its windows are aligned, others share the token."""
        wall = time.time() - (time.monotonic() - arrived)
        begun = max(wall // limit.window * limit.window, self.foreign_since)
        name, per_s = self.foreign
        foreign = int(per_s * max(0, wall - begun)) if name == limit.name else 0
        left, reset = counter.add_aligned(wall, foreign)
        if limit.api == "marche_travail":
            return [("X-Ratelimit-Burst-Capacity-Clientidlimiter", limit.requests),
                    ("X-Ratelimit-Remaining-Clientidlimiter", left)]
        return [("RateLimit-Limit", limit.requests), ("RateLimit-Remaining", left), ("RateLimit-Reset", reset)]

    def too_many(self, api, counter, arrived):
        body, kind = b"", "text/plain"
        if api == "entreprise":
            error = {"code": "00429", "title": "Quota dépassé", "detail": "Réponse du serveur local de test.",
                     "meta": {}}
            body, kind = dumps({"errors": [error]}), "application/json; charset=utf-8"
        wait = max(1, math.ceil(counter.room_at() - arrived))
        return Response(429, body, kind, [("Retry-After", wait)] if self.retry_after else [])

    def finish(self, response, headers):
        """Give a reply the headers of strict counting, instead of those of its API."""
        if headers is not None:
            response.headers = [pair for pair in response.headers if not is_rate_header(pair[0])] + headers

    # -- what it has seen ---------------------------------------------------

    def ms(self, moment):
        return round((moment - self.control.began) * 1000, 3)

    def told(self, with_arrivals):
        return {"now": self.control.now_ms(), "bans": list(self.bans.values()), "late_ms": round(self.late * 1000, 3),
                "limits": [{
                    "api": limit.api, "name": limit.name, "requests": limit.requests,
                    "window_ms": round(limit.window * 1000, 3), "counted_by": limit.counted_by,
                    "counters": [self.told_counter(whose, counter, with_arrivals)
                                 for whose, counter in limit.counters.items()]} for limit in self.limits]}

    def told_counter(self, whose, counter, with_arrivals):
        told = {"counter": whose, "counted": len(counter.arrivals), "largest": counter.largest,
                "excess": counter.excess, "slack_ms": None if counter.slack is None else round(counter.slack * 1000, 3),
                "past_remaining": counter.past_remaining,
                "first": self.ms(counter.arrivals[0]), "last": self.ms(counter.arrivals[-1])}
        if with_arrivals:
            told["arrivals"] = [self.ms(moment) for moment in counter.arrivals]
            if self.share is not None:
                told["shares"] = counter.shares
        return told


def silence():
    """What a banned client gets: no answer at all.  Closed at once, so that tests need not wait for it."""
    response = Response(200, b"")
    response.action = "close"
    return response
