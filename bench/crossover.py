#!/usr/bin/python3
"""Does the planner choose the plan that is fastest?

    test/sandbox bench/crossover.py [--rounds N] [--latency MS] [CASE...]

For queries of growing sizes, times the plan that the planner chooses and each plan that it could be made to choose,
over an HTTP server of its own (nginx with njs) that answers after 50 ms and sends 20 MB/s. Prints the time of the
chosen plan over that of the best one, and exits with 1 when it is above 1.3 somewhere.

A plan is forced by what the planner is told of the table's size: that it has one row (so it is read), or a milliard
(so keys are looked up and filters sent). The definition is that of marche_inclusion, with a limit for the cases that
have one.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS, DEPARTMENTS, BYTES_PER_S = 8000, 100, 20_000_000
WORST = 1.3
# name: what the planner believes to be the table's rows
PLANS = {"chosen": ROWS, "read": 1, "spread": 1_000_000_000}

NGINX = """
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000; sendfile on;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s; js_import late from {dir}/late.js;
  map $arg_department $list {{ default department-$arg_department; "" all; }}
  server {{
    listen 127.0.0.1:{port}; root {dir}/replies; limit_rate {rate};
    location = /siae/ {{ set $file /$list.json; js_content late.reply; }}
    location ~ "^/siae/siret/([0-9]+)/$" {{ set $file /$1.json; js_content late.reply; }}
    location / {{ internal; error_page 404 = @none; }}
    location @none {{ return 200 "[]"; }}
  }}
}}
"""
LATE = """
function reply(r) {{ setTimeout(function () {{ r.internalRedirect(r.variables.file); }}, {latency}); }}
export default {{ reply }};
"""


def siret(i):
    return f"{i * 7919:014d}"


def department(i):
    return f"{i % DEPARTMENTS:02d}"


def departments(n):
    return ", ".join(f"'{department(i)}'" for i in range(n))


def structure(i):
    """Structure number i, as /siae/ sends it: about 900 bytes."""
    return {
        "id": i, "name": f"Structure {i}", "brand": "", "slug": f"structure-{i}", "siret": siret(i),
        "nature": "HEAD_OFFICE", "kind": "EI", "kind_parent": "Insertion",
        "contact_website": "https://example.org/" + "x" * 40, "contact_social_website": "", "logo_url": "",
        "address": f"{i} rue de l'Essai", "city": "Ville",
        "post_code": department(i) + "000", "department": department(i), "region": "Bretagne", "is_qpv": False,
        "is_active": True, "sectors": [{"name": "Nettoyage de locaux", "slug": "nettoyage-de-locaux"}] * 3,
        "presta_types": ["PREST", "BUILD"], "networks": [{"name": "Un réseau", "slug": "un-reseau"}],
        "offers": [{"name": "Offre", "description": "y" * 150}], "client_references": [], "labels_old": [],
        "created_at": "2020-01-01T00:00:00+01:00", "updated_at": "2026-01-01T00:00:00+01:00"}


def write_replies(directory):
    directory.mkdir()
    rows = [structure(i) for i in range(ROWS)]

    def write(name, value):
        (directory / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def write_list(name, some):
        write(name, {"count": len(some), "next": None, "previous": None, "results": some})

    write_list("all", rows)
    for number in range(DEPARTMENTS):
        write_list(f"department-{number:02d}", [row for row in rows if row["department"] == f"{number:02d}"])
    for row in rows:
        write(row["siret"], [row])


@contextlib.contextmanager
def upstream(directory, latency_ms):
    """The HTTP server; gives its address."""
    port = 20000 + os.getpid() % 20000
    write_replies(directory / "replies")
    (directory / "late.js").write_text(LATE.format(latency=latency_ms))
    conf = directory / "nginx.conf"
    conf.write_text(NGINX.format(dir=directory, port=port, rate=BYTES_PER_S))
    subprocess.run(["chmod", "-R", "a+rX", str(directory)], check=True)
    server = subprocess.Popen(["nginx", "-p", str(directory), "-c", str(conf)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/siae/siret/{siret(1)}/").read()
                break
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait()


def write_definitions(directory):
    """The definitions, with a limit for marche_inclusion."""
    shutil.copytree(ROOT / "apis", directory)
    api = json.loads((directory / "marche_inclusion.json").read_text())
    api["limits"] = {"appels": {"requests": 100000, "window_s": 1, "counted_by": "token"}}
    (directory / "marche_inclusion.json").write_text(json.dumps(api))
    path = directory / "marche_inclusion" / "structures.json"
    table = json.loads(path.read_text())
    for route in table["routes"]:
        route["limit"] = "appels"
    path.write_text(json.dumps(table))
    subprocess.run(["chmod", "-R", "a+rX", str(directory)], check=True)


def psql(script):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], input=script, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def set_up(url, definitions):
    """Servers with and without the limit, each with a table for each of PLANS; the keys of the joins."""
    sql = [f"ALTER DATABASE apigouv SET apigouv_fdw.definition_dir = '{definitions}'", "CREATE SCHEMA bench",
           "ALTER DATABASE apigouv SET apigouv_fdw.max_requests_per_query = -1"]
    psql(";\n".join(sql) + ";")
    sql = ["CREATE TABLE bench.keys (siret text)"]
    for limit in ("", "20/1s"):
        server = "bench_limited" if limit else "bench"
        options = ", limits 'appels=20/1s'" if limit else ""
        sql += [f"CREATE SERVER {server} FOREIGN DATA WRAPPER apigouv_fdw "
                f"OPTIONS (api 'marche_inclusion', base_url '{url}'{options})",
                f"CREATE USER MAPPING FOR postgres SERVER {server} OPTIONS (token 'x{len(limit)}')",
                f"CREATE SCHEMA {server}_t"]
        for plan, rows in PLANS.items():
            sql += ["IMPORT FOREIGN SCHEMA marche_inclusion LIMIT TO (structures) "
                    f"FROM SERVER {server} INTO {server}_t",
                    f"ALTER FOREIGN TABLE {server}_t.structures RENAME TO {plan}",
                    f"ALTER FOREIGN TABLE {server}_t.{plan} OPTIONS (ADD rows '{rows}')"]
    psql(";\n".join(sql) + ";")


def keys(n):
    return ", ".join(f"'{siret(i * 37 % ROWS)}'" for i in range(n))


def join_keys(n):
    return ("TRUNCATE bench.keys; INSERT INTO bench.keys "
            f"SELECT lpad(((i * 37 % {ROWS})::bigint * 7919)::text, 14, '0') FROM generate_series(0, {n - 1}) i; "
            "ANALYZE bench.keys;")


# name: server, sizes, query before the table's name is put in, what comes before
CASES = {
    "join by SIRET": ("bench", (1, 8, 16, 32, 48, 64, 80, 96, 128, 256, 1024, 5000),
                      "SELECT count(s.name) FROM bench.keys k JOIN {table} s ON s.siret = k.siret", join_keys),
    "semi-join by SIRET": ("bench", (1, 16, 48, 80, 128, 1024),
                           "SELECT count(s.name) FROM {table} s WHERE siret IN (SELECT siret FROM bench.keys)",
                           join_keys),
    "list of SIRETs": ("bench", (1, 8, 16, 32, 48, 64, 80, 96, 128, 1024),
                       lambda n: f"SELECT count(name) FROM {{table}} WHERE siret IN ({keys(n)})", None),
    "list of departments": ("bench", (1, 2, 8, 16, 24, 32, 48, 64, 80, 100),
                            lambda n: f"SELECT count(name) FROM {{table}} WHERE department IN ({departments(n)})",
                            None),
    "join by SIRET, 20 requests a second": (
        "bench_limited", (1, 16, 20, 24, 32, 64),
        "SELECT count(s.name) FROM bench.keys k JOIN {table} s ON s.siret = k.siret", join_keys),
    "list of departments, 20 requests a second": (
        "bench_limited", (1, 16, 20, 24, 48),
        lambda n: f"SELECT count(name) FROM {{table}} WHERE department IN ({departments(n)})", None),
}


def time_plan(server, plan, query, rounds):
    """Plan (how the table is reached) and the median of a few times, in ms."""
    query = query.format(table=f"{server}_t.{plan}")
    pause = "SELECT pg_sleep(1.05) \\g /dev/null\n" if server == "bench_limited" else ""
    script = f"SET jit = off;\nEXPLAIN {query};\n{query} \\g /dev/null\n"
    for _ in range(rounds):
        script += f"{pause}\\timing on\n{query} \\g /dev/null\n\\timing off\n"
    output = psql(script)
    times = [float(ms) for ms in re.findall(r"^Time: ([0-9.]+) ms", output, re.M)]
    route = re.findall(r"Route: (\w+)", psql(f"EXPLAIN (VERBOSE) {query};"))
    return "/".join(route), statistics.median(times)


def measure(name, rounds):
    server, sizes, query, before = CASES[name]
    print(f"\n{name}\n{'size':>6} {'route':>8} {'chosen ms':>10} {'read ms':>10} {'spread ms':>10} {'ratio':>6}")
    worst = 0
    for n in sizes:
        if before:
            psql(before(n))
        text = query(n) if callable(query) else query
        took, route = {}, ""
        for plan in PLANS:
            if plan == "spread" and n > 1024:
                continue        # for too long
            how, took[plan] = time_plan(server, plan, text, rounds)
            if plan == "chosen":
                route = how
        ratio = took["chosen"] / min(took.values())
        worst = max(worst, ratio)
        print(f"{n:>6} {route:>8} {took['chosen']:>10.1f} {took['read']:>10.1f} "
              f"{took.get('spread', float('nan')):>10.1f} {ratio:>6.2f}", flush=True)
    return worst


def main():
    parser = argparse.ArgumentParser(description="chosen plan against best plan")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=int, default=50)
    parser.add_argument("case", nargs="*", choices=[[], *CASES])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="apigouv_crossover.") as name:
        directory = pathlib.Path(name)
        write_definitions(directory / "apis")
        with upstream(directory, args.latency) as url:
            set_up(url, directory / "apis")
            worst = max(measure(case, args.rounds) for case in args.case or CASES)
    print(f"\nworst ratio {worst:.2f}, allowed {WORST}")
    sys.exit(worst > WORST)


if __name__ == "__main__":
    main()
