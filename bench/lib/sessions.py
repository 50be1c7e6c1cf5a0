"""What is measured inside one session of the extension: statements with \\timing, memory, plans."""
import re
import statistics

LIST = "SELECT count(siret), max(updated_at) FROM structures"
COLUMNS = "siret, name, kind, address, post_code, city, department, region, sectors, updated_at"
WIDE = ("count(siret), max(name), max(kind), max(address), max(post_code), max(city), max(department), max(region),"
        " count(sectors), max(updated_at)")
MEMORY = ("SELECT 'KB', (regexp_match(s, 'VmRSS:\\s+(\\d+)'))[1], (regexp_match(s, 'VmHWM:\\s+(\\d+)'))[1]"
          " FROM pg_read_file('/proc/self/status') s;\n")


def timed(setting, script):
    """Milliseconds of the statements of a script, in a session of its own."""
    return [float(ms) for ms in re.findall(r"^Time: ([0-9.]+) ms", setting.sql("\\timing on\n" + script), re.M)]


def reread(setting):
    """Milliseconds of the first and of the second read of the list, in one transaction."""
    return timed(setting, f"BEGIN;\n{LIST};\n{LIST};\nCOMMIT;\n")[1:3]


def network(setting):
    """Milliseconds that the pages take to come, over one connection, to a client that throws them away."""
    url = setting.env["BENCH_URL"] + f"/api/siae/?page=[1-{setting.env['BENCH_PAGES']}]"
    out = setting.run("curl", "-fs", "-o", "/dev/null", "-w", "%{time_total}\\n", url, capture_output=True, text=True)
    return 1000 * sum(float(t) for t in out.stdout.split())


def first_query(setting, sirets):
    """Milliseconds of a new backend: by how much its first look-up takes longer than the second; the same of a local
    table, in another; the second look-up; the first's additional processor time, in a third.
    """
    look_up = "SELECT denomination FROM immediats WHERE siret = '%s';\n"
    ours = timed(setting, look_up % sirets[0] + look_up % sirets[1])
    local = "SELECT siret FROM lookups_200 WHERE siret = '%s';\n"
    plain = timed(setting, local % sirets[0] + local % sirets[1])
    used = "SELECT 'NS', split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);\n"
    out = setting.sql(2 * used + look_up % sirets[0] + used + look_up % sirets[1] + used)
    _, begun, first, second = (int(ns) / 1e6 for ns in re.findall(r"^NS\|(\d+)$", out, re.M))
    return ours[0] - ours[1], plain[0] - plain[1], ours[1], (first - begun) - (second - first)


def planning(setting, query, times=200):
    """Milliseconds to plan a query: the first time in a session, and the median of the next."""
    script = f"EXPLAIN (SUMMARY) {query};\n" * (times + 1)
    found = [float(ms) for ms in re.findall(r"Planning Time: ([0-9.]+) ms", setting.sql(script))]
    return found[0], statistics.median(found[1:])


def memory(setting, table, settings=""):
    """(MiB over idle at the peak, milliseconds) of an aggregate over all columns of a table."""
    idle = "SELECT denomination FROM immediats WHERE siret = '00000301200010';\n"
    out = setting.sql(f"{settings}\n{idle}{MEMORY}\\timing on\nSELECT {WIDE} FROM {table};\n\\timing off\n{MEMORY}")
    (idle_rss, _), (_, peak) = re.findall(r"^KB\|(\d+)\|(\d+)$", out, re.M)
    return (int(peak) - int(idle_rss)) / 1024, float(re.search(r"^Time: ([0-9.]+)", out, re.M)[1])


def ledger(setting):
    """Microseconds of a look-up without latency, of 2,000: without limits, with a limit that slows nobody."""
    query = "SELECT count(denomination) FROM %s WHERE siret = ANY (ARRAY(SELECT siret FROM lookups_2000));\n"
    return [1000 * timed(setting, query % table)[0] / 2000 for table in ("immediats", "comptes")]
