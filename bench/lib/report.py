"""The figures of a run as Markdown."""
import os
import platform

import contenders

PGSQL_HTTP = "20-", "21-", "22-"
OURS = "90-apigouv_fdw"
# pgsql-http's best medians of another run, by what the floors of that run took (libcurl + simdjson, + jansson)
ELSEWHERE = {"agg": (10.4, 0.63), "ctas": (12.7, 0.77)}
LEDGER_NOTE = "per request, 16 at a time, no latency"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def seconds(value):
    return "" if value is None else f"{value:.3f} s"


def ratio(value, to):
    return "" if value is None or not to else f"{value / to:.2f}"


def name_of(name):
    return contenders.NAMES.get(name, name)


def contest(done, what):
    """Median, minimum and maximum of each contender."""
    rows = [[name_of(name), seconds(done.median(name)), seconds(min(times)), seconds(max(times)),
             seconds(done.statement_median(name))] for name, times in done.times.items()]
    return table([f"contender ({what} of the whole process)", "median", "minimum", "maximum", "statement"], rows)


def list_scan(found):
    agg, ctas = found["agg"], found["ctas"]
    names = list(dict.fromkeys([*agg.times, *ctas.times]))
    ours = agg.median(OURS), ctas.median(OURS)
    rows = [[name_of(n), seconds(agg.median(n)), ratio(agg.median(n), ours[0]), seconds(ctas.median(n)),
             ratio(ctas.median(n), ours[1])] for n in names]
    return table(["contender", "agg", "to ours", "ctas", "to ours"], rows)


def look_ups(found):
    few, many = found[200], found[2000]
    rows = []
    for n in dict.fromkeys([*few.times, *many.times]):
        rows.append([name_of(n)] + [cell for done in (few, many) for cell in (
            seconds(done.median(n)), ratio(done.median(n), done.ideal), ratio(done.statement_median(n), done.ideal))])
    head = ["contender"]
    for done, n in ((few, 200), (many, 2000)):
        head += [f"{n} keys", f"to the ideal ({done.ideal:.2f} s)", "statement alone"]
    return table(head, rows)


def others(found):
    first, again, network = found["reread"]
    more, plain, second, processor = found["first"]
    free, counted = found["ledger"]
    rows = [["list read first, 50,000 rows", f"{first:.0f} ms"],
            ["the same, network of the pages alone", f"{network:.0f} ms"],
            ["the same read again in the transaction", f"{again:.0f} ms"],
            ["first look-up of a backend, more than its second", f"{more:.2f} ms (of a local table: {plain:.2f} ms;"
             f" processor time alone: {processor:.2f} ms)"],
            ["the same in a server with `ssl = off`", f"{found['first_without'][0]:.2f} ms"
             f" (processor time alone: {found['first_without'][3]:.2f} ms)"],
            ["second look-up", f"{second:.2f} ms"]]
    rows += [[f"planning: {name}", f"{median:.3f} ms (first of the session: {cold:.2f} ms)"]
             for name, (cold, median) in found["plans"].items()]
    rows += [[f"look-up {LEDGER_NOTE}, no limit", f"{free:.0f} us"],
             [f"look-up {LEDGER_NOTE}, a limit of 10,000 a second", f"{counted:.0f} us ({counted - free:+.0f})"]]
    rows += [[f"peak memory over idle: {name.strip()}", f"{mib:.0f} MiB ({ms / 1000:.1f} s)"]
             for name, (mib, ms) in found["memory"].items()]
    return table(["measure", "median"], rows)


# -- the bars ---------------------------------------------------------------

def bar(rows, text, value, limit, unit="", least=False):
    if value is None:
        rows.append([text, "not measured", "?"])
        return
    met = value >= limit if least else value <= limit
    rows.append([text, f"{value:.2f}{unit}", "met" if met else "**not met**"])


def peers(done, mode):
    """(what pgsql-http takes, how that is known): measured; else from the floors of this run, the smallest."""
    known = min((done.best(p) for p in PGSQL_HTTP if done.best(p)), default=None)
    if known:
        return [(known, "pgsql-http")]
    floors = done.floors
    found = [(f * r, f"pgsql-http as of {name}")
             for f, r, name in zip(floors, ELSEWHERE[mode], ("simdjson", "jansson")) if f]
    stored = done.best("24-")
    return found + ([(stored, "pgsql-http's SQL without its requests")] if stored else [])


def bars(found):
    rows = []
    for lookups in (200, 2000):
        for name, how in ((OURS, "HTTP/1.1"), ("92-apigouv_fdw-http2", "HTTP/2")):
            value = found[lookups].statement_median(name)
            bar(rows, f"look-ups join, {lookups} keys, {how}: at most 1.15 of the ideal",
                value and value / found[lookups].ideal, 1.15)
    for mode, least in (("agg", 3), ("ctas", 2.5)):
        ours = found[mode].median(OURS)
        found[mode].floors = [found["agg"].best(p) for p in ("13-", "12-")]
        for peer, how in peers(found[mode], mode):
            bar(rows, f"list scan, {mode}: at least {least} times faster than {how}", ours and peer / ours, least,
                least=True)
    first, again, network = found["reread"]
    bar(rows, "cached re-read: less than the first read without its network", again / (first - network), 1)
    for name, (mib, _) in found["memory"].items():
        bar(rows, f"memory, {name.strip()}: under 64 MiB over idle", mib, 64, " MiB")
    bar(rows, "first query of a backend: under 5 ms more than the second", found["first"][0], 5, " ms")
    for name, (_, median) in found["plans"].items():
        bar(rows, f"planning, {name}: under 1 ms", median, 1, " ms")
    return table(["bar", "measured", ""], rows)


def everything(found):
    skipped = sorted({name_of(n) for key in ("agg", "ctas", 200) for n in found[key].skipped
                      if not any(n in found[k].times for k in ("agg", "ctas", 200))})
    parts = [
        f"PostgreSQL {found['versions']}, {os.cpu_count()} cores, {platform.machine()}."
        + (f" Not there: {'; '.join(skipped)}." if skipped else ""),
        "### Bars", bars(found),
        f"### List scan: 50,000 rows, 100 pages, {found['megabytes']:.1f} MB", list_scan(found),
        "### Look-ups: 50 ms each, 16 at a time", look_ups(found),
        "### The rest", others(found)]
    return "\n\n".join(parts) + "\n"
