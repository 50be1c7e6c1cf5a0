#!/usr/bin/python3
"""Rounds of sqlsmith in the sandbox of test/sqlsmith, watched from outside."""

import bisect
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import psql_session  # noqa: E402

# reading the catalogue costs as much as a thousand queries
ROUND = 5000
# sqlsmith sets statement_timeout to that itself, after it has read the catalogue, which may take longer
TIMEOUT_MS = 1000
# how long a query may go on after its time-out: two cores, and others' work on them
GRACE_S = 5
# how long a cancel may take before it is told, processors' absence aside; it fails the run after ten times as long
CANCEL_MS = 100
CANCEL_EVERY_S = 4

# what the rounds have in turn: role, settings
ROUNDS = [
    ("hasard_cles", ""),
    ("hasard_tout", "-c apigouv_fdw.missing_key=empty"),
    ("hasard_cles", "-c apigouv_fdw.on_failure=row -c apigouv_fdw.keep_after_error_s=0"),
    ("hasard_cles", "-c force_parallel_mode=regress -c parallel_setup_cost=0 -c parallel_tuple_cost=0"),
    ("hasard_cles", "-c enable_hashjoin=off -c enable_mergejoin=off"),
    ("hasard_cles", "-c apigouv_fdw.enable_lookup_join=off -c plan_cache_mode=force_generic_plan"),
    ("hasard_tout", ""),
    ("hasard_cles", "-c enable_nestloop=off -c work_mem=64kB"),
]

# Two roles without rights but to read: one reads everything, keys or not; the other what has rows without a key, and
# views that have one.  A query may end neither the session nor its bounds.
ROLES = """
CREATE ROLE hasard_tout LOGIN;
CREATE ROLE hasard_cles LOGIN;
GRANT USAGE ON SCHEMA marche_inclusion, data_inclusion, entreprise, marche_travail, particulier, inclusion, registre,
    cles
    TO hasard_tout, hasard_cles;
GRANT USAGE ON FOREIGN SERVER marche_inclusion, data_inclusion, entreprise, marche_travail, particulier
    TO hasard_tout, hasard_cles;
GRANT SELECT ON ALL TABLES IN SCHEMA marche_inclusion, data_inclusion, entreprise, marche_travail, particulier,
    inclusion, registre TO hasard_tout;
GRANT SELECT ON ALL TABLES IN SCHEMA registre, cles, inclusion TO hasard_tout, hasard_cles;
SELECT format('GRANT SELECT ON %I.%I TO hasard_cles', api, "table") FROM apigouv_tables
    WHERE keys IS NULL OR keys = '{}'
\\gexec
SELECT format('CREATE USER MAPPING FOR %I SERVER %I OPTIONS (%s)', role, srvname,
    (SELECT string_agg(format('%s %L', option_name, option_value), ', ') FROM pg_options_to_table(umoptions)))
    FROM pg_user_mappings, (VALUES ('hasard_tout'), ('hasard_cles')) AS r (role) WHERE usename = 'postgres'
\\gexec
REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint), pg_cancel_backend(integer),
    set_config(text, text, boolean)
    FROM PUBLIC;
ALTER ROLE hasard_tout SET apigouv_fdw.max_requests_per_query = {requests};
ALTER ROLE hasard_cles SET apigouv_fdw.max_requests_per_query = {requests};
ALTER SYSTEM SET log_line_prefix = '%m|%p|%u|%e|%a|';
ALTER SYSTEM SET log_timezone = 'UTC';
ALTER SYSTEM SET log_duration = on;
ALTER SYSTEM SET log_error_verbosity = verbose;
ALTER SYSTEM SET temp_file_limit = '1GB';
SELECT pg_reload_conf();
"""
REQUESTS = 20
PROGRAM = "sqlsmith::dut"


def psql(sql):
    subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"],
                   input=sql.encode(), check=True)


def control(what, value=None):
    data = None if value is None else json.dumps(value).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(os.environ["APIGOUV_STUB_URL"] + "/_stub/" + what, data)) as reply:
        return json.load(reply)


def delayed_ms(*pids):
    """How long these processes have stood in line for a processor, all together: ours run behind everybody's."""
    waited = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
                waited += int(stat.read().split()[1])
        except OSError:
            pass
    return waited / 1e6


def anonymous_kb(pid):
    """Memory of a process that is its own, in KB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))


class Watch:
    """Looks at the server while sqlsmith runs."""

    def __init__(self, seed):
        self.session = psql_session.Session()
        self.draw = random.Random(seed)
        self.cancels = []
        self.slow_cancels = []
        self.stuck = []
        self.next_cancel = time.monotonic() + CANCEL_EVERY_S
        self.memory = []
        self.pid = None

    def busy(self):
        rows, _, _ = self.session.query(
            "SELECT pid, query_start, extract(epoch FROM clock_timestamp() - query_start), wait_event, state,"
            " translate(query, E'\\n', ' ')"
            " FROM pg_stat_activity WHERE usename LIKE 'hasard%' AND backend_type = 'client backend'"
            f" AND application_name = '{PROGRAM}';")
        return rows

    def look(self):
        for row in self.busy():
            pid, started, seconds, event, state = row[:5]
            self.pid = pid
            if state != "active":
                continue
            if float(seconds) > TIMEOUT_MS / 1000 + GRACE_S:
                self.stuck.append(f"{seconds} s, waiting for {event or 'nothing'}: {' '.join(row[5:])}")
                self.session.query(f"SELECT pg_terminate_backend({pid});")
            elif time.monotonic() >= self.next_cancel and float(seconds) > 0.02:
                self.cancel(pid, started)
        try:
            self.memory.append(anonymous_kb(self.pid)) if self.pid else None
        except (OSError, AttributeError):
            pass

    def cancel(self, pid, started):
        self.next_cancel = time.monotonic() + CANCEL_EVERY_S * self.draw.uniform(0.5, 1.5)
        pids = (pid, os.getpid(), self.session.psql.pid, self.session.pid)
        row, last = None, None
        before, delayed = time.monotonic(), delayed_ms(*pids)
        self.session.query(f"SELECT pg_cancel_backend({pid});")
        while True:
            last, row = row or last, next((row for row in self.busy() if row[0] == pid), None)
            took = (time.monotonic() - before) * 1000
            if row is None or row[1] != started or row[4] != "active":
                break
            if took > 10 * TIMEOUT_MS:
                break
        took = max(took - (delayed_ms(*pids) - delayed), 0)
        self.cancels.append(took)
        if took > CANCEL_MS:
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                state = stat.read().rpartition(")")[2].split()[0]
            event, text = (last[3], last[5]) if last else ("", "")
            self.slow_cancels.append(f"{took:.0f} ms, state {state}, waiting for {event or 'nothing'}: {text[:2000]}")


class Log:
    """The server's log, from where it was read to."""

    LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC\|(\d+)\|(\w*)\|(\w{5})\|([^|]*)\|(\w+):  (.*)")

    def __init__(self):
        self.file = open(pathlib.Path(os.environ["PGHOST"]).parent / "data/server.log",
                         encoding="utf-8", errors="replace")
        self.file.seek(0, 2)
        self.errors = collections.Counter()
        self.internal = {}
        self.fatal = []
        self.ends = []

    def read(self):
        level, internal = None, None
        for line in self.file:
            found = self.LINE.match(line)
            if not found:
                if re.search(r"TRAP:|PANIC|terminated by signal|Sanitizer", line):
                    self.fatal.append(line.strip())
                if internal and line.startswith("\t") and len(self.internal[internal]) < 4000:
                    self.internal[internal] += line
                continue
            moment, _, role, state, program, level, text = found.groups()
            if level in ("PANIC", "FATAL") or "terminated by signal" in text or "TRAP:" in text:
                if "server process" in text or level == "PANIC" or state not in ("57P01", "57P03", "3D000"):
                    self.fatal.append(line.strip())
            # what it asks before, of the catalogue, is not random
            if not role.startswith("hasard") or program != PROGRAM:
                internal = None
                continue
            if level == "STATEMENT" and internal and not self.internal[internal]:
                self.internal[internal] = text + "\n"
                continue
            if level == "LOCATION" and internal and "apigouv" in text:
                self.internal[internal] = self.internal[internal] or ""
            if level in ("DETAIL", "HINT", "CONTEXT", "LOCATION", "QUERY"):
                continue
            internal = None
            if level == "ERROR":
                message = state + " " + re.sub(r'"[^"]*"|\d+', "*", text.removeprefix(state + ": "))
                self.errors[message] += 1
                self.ends.append(when(moment))
                if state in ("XX000", "XX001", "XX002") and message not in self.internal:
                    self.internal[message] = ""
                    internal = message
            elif level == "LOG" and text.startswith(("00000: duration", "duration")):
                self.ends.append(when(moment))


def when(moment):
    """Unix time in seconds of a line's date."""
    import datetime
    return datetime.datetime.strptime(moment + "+0000", "%Y-%m-%d %H:%M:%S.%f%z").timestamp()


def run_round(number, queries, seed, watch, log, until):
    """One process of sqlsmith; how many queries it made, and how many of them made requests."""
    role, settings = ROUNDS[seed % len(ROUNDS)]
    control("reset", {})
    first_end = len(log.ends)
    environment = dict(os.environ, PGUSER=role, PGOPTIONS=settings)
    target = f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} dbname={os.environ['PGDATABASE']} user={role}"
    output = open(pathlib.Path(os.environ["PGHOST"]).parent / "sqlsmith.out", "wb")
    smith = subprocess.Popen(
        ["sqlsmith", f"--target={target}", f"--seed={seed}", f"--max-queries={queries}", "--exclude-catalog"],
        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment)
    watch.memory, watch.pid = [], None
    in_time = True
    while smith.poll() is None:
        watch.look()
        time.sleep(0.1)
        if in_time and time.monotonic() > until:
            in_time = False
            smith.terminate()
    output.close()
    if smith.returncode != 0 and in_time:
        print(pathlib.Path(output.name).read_text(encoding="utf-8", errors="replace")[-600:])
    log.read()
    ends = sorted(log.ends[first_end:])
    with_requests = set()
    # their times are counted from the start of that server
    stub_began = time.time() - control("strict")["now"] / 1000
    requests = control("requests")
    for request in requests:
        with_requests.add(bisect.bisect_left(ends, stub_began + request["started"] / 1000))
    memory = watch.memory[len(watch.memory) // 20:] or [0]
    quarter = max(len(memory) // 4, 1)
    # each has a transaction of its own: BEGIN and ROLLBACK are in the log too
    made = queries if smith.returncode == 0 else len(ends) // 3
    print(f"round {number + 1} ({role} {settings.replace('-c ', '')}): seed {seed}, {made} queries,"
          f" {len(requests)} requests by {len(with_requests)} of them, memory"
          f" {min(memory[:quarter]) // 1024} to {min(memory[-quarter:]) // 1024} MB,"
          f" exit {smith.returncode if in_time else 'at the time that was given'}", flush=True)
    return made, len(requests), len(with_requests), smith.returncode if in_time else 0


def main(argv):
    wanted = int(argv[0]) if argv else 2000
    seed = int(argv[1]) if len(argv) > 1 else int(time.time())
    until = time.monotonic() + (float(argv[2]) * 60 if len(argv) > 2 else 1e9)
    views = subprocess.run(["perl", "-I", str(HERE.parent / "t"), str(HERE / "views.pl")],
                           check=True, stdout=subprocess.PIPE).stdout
    psql(views.decode())
    psql(ROLES.replace("{requests}", str(REQUESTS)))
    log, watch = Log(), Watch(seed)
    began = time.monotonic()
    queries = requests = with_requests = number = broken = 0
    while queries < wanted and broken < 3 and time.monotonic() < until:
        n, sent, sending, status = run_round(number, min(ROUND, wanted - queries), seed + number, watch, log, until)
        queries, requests, with_requests = queries + n, requests + sent, with_requests + sending
        number += 1
        # sqlsmith ends with 1 when its connection is lost
        broken += status != 0 or n == 0
        if log.fatal:
            break
    print(f"{queries} queries in {number} rounds and {time.monotonic() - began:.0f} s; {requests} requests by {with_requests} of them")
    succeeded = queries - sum(log.errors.values())
    print(f"{succeeded} without an error; errors:")
    for message, n in log.errors.most_common():
        print(f"  {n:7} {message[:200]}")
    for message, statement in log.internal.items():
        print(f"-- internal error: {message}\n{statement}")
    times = sorted(watch.cancels) or [0]
    print(f"{len(watch.cancels)} cancels: median {times[len(times) // 2]:.1f} ms, worst {times[-1]:.0f} ms")
    for text in watch.slow_cancels:
        print(f"-- slow cancel: {text}")
    for text in watch.stuck:
        print(f"-- does not end: {text}")
    for text in log.fatal:
        print(f"-- {text}")
    sys.exit(1 if log.fatal or watch.stuck or broken or times[-1] > 10 * CANCEL_MS else 0)


main(sys.argv[1:])
