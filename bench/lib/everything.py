"""All measures of one run."""
import math
import statistics
import sys
import time

import sessions
from contenders import Contest

CONCURRENCY = 16
PLANS = {
    "a local table and a look-up": "SELECT * FROM lookups_200 l JOIN etablissements e USING (siret)",
    "a local table and `marche_inclusion.structures`":
        "SELECT * FROM lookups_200 l JOIN marche_inclusion.structures s USING (siret)",
    "a local table and `entreprise.entreprise_attestations` (13 routes)":
        "SELECT * FROM lookups_200 l JOIN entreprise.entreprise_attestations a USING (siret)",
}
MEMORY = {
    "1,000,000 rows in pages of 10,000": ("million", ""),
    "the same, `cache_size` 16MB": ("million", "SET apigouv_fdw.cache_size = '16MB';"),
    "100,000 rows in one reply": ("bloc", ""),
    "the same, `cache_size` 16MB ": ("bloc", "SET apigouv_fdw.cache_size = '16MB';"),
}


def prepare(setting):
    """The extension with the tables of the benchmarks, and those of two real definitions, which are only planned."""
    env = setting.env
    if not setting.has_extension("apigouv_fdw"):
        raise SystemExit("apigouv_fdw is not installed")
    names = {"url": env["BENCH_URL"], "url_tls": env["BENCH_URL_TLS"], "ca": env["BENCH_CA"],
             "definitions": env["BENCH_APIS"]}
    script = "CREATE EXTENSION IF NOT EXISTS apigouv_fdw;\n"
    script += "".join(f"\\set {name} '{value}'\n" for name, value in names.items())
    script += f"\\i {env['BENCH_HERE']}/setup.sql\n"
    for api in ("marche_inclusion", "entreprise"):
        script += (f"CREATE SERVER {api} FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api '{api}');\n"
                   f"CREATE SCHEMA {api};\nIMPORT FOREIGN SCHEMA {api} FROM SERVER {api} INTO {api};\n")
    setting.sql(script)


def repeat(times, measure, *arguments):
    """Medians of each figure of a measure; the first of several times warms up."""
    rounds = [measure(*arguments) for _ in range(times + 1)]
    rounds = rounds[1:] or rounds
    return [statistics.median(figures) for figures in zip(*rounds)]


def say(what):
    print(time.strftime("%H:%M:%S"), what, file=sys.stderr)


def check(found):
    """Contenders that answer another thing than the others, or another number of rows, would be compared in vain."""
    for what, contest in found.items():
        wrong = {}
        if what == "agg":
            answers = {name: a for name, a in contest.answers.items() if "|" in a}
            wrong = answers if len(set(answers.values())) > 1 else {}
        elif what != "ctas":
            wrong = {name: a for name, a in contest.answers.items() if a != str(what)}
        if wrong:
            raise SystemExit(f"wrong answers of {what}: {wrong}")


def spoken(setting):
    """The versions of HTTP that the two servers are asked in."""
    query = "SELECT protocole FROM %setablissements, (SELECT siret FROM lookups_200 LIMIT 1) l WHERE l.siret = %s;\n"
    return setting.sql("".join(query % (schema, f"{schema}etablissements.siret") for schema in ("", "tls."))).split()


def contests(setting, quick, rounds):
    n = rounds or (2 if quick else 9)
    found = {}
    for mode in ("agg", "ctas"):
        say(f"list scan, {mode}")
        found[mode] = Contest(setting, "a", mode, BENCH_LOOKUPS="200").run(n)
    for lookups, times in ((200, rounds or (2 if quick else 5)), (2000, rounds or (1 if quick else 3))):
        say(f"{lookups} look-ups")
        found[lookups] = Contest(setting, "b", str(lookups), BENCH_LOOKUPS=str(lookups)).run(times)
        found[lookups].ideal = math.ceil(lookups / CONCURRENCY) * setting.delay_ms / 1000
    return found


def reread(setting, times):
    """Medians in ms: first read, read again, network alone; in turn."""
    return repeat(times, lambda: (*sessions.reread(setting), sessions.network(setting)))


def measure(setting, quick, rounds):
    prepare(setting)
    few = 3 if quick else 9
    sirets = setting.sql("SELECT siret FROM lookups_200 LIMIT 2").split()
    if spoken(setting) != ["1.1", "2.0"]:
        raise SystemExit(f"HTTP/1.1 and HTTP/2 were to be spoken, not {spoken(setting)}")
    found = contests(setting, quick, rounds)
    check(found)
    say("cached re-read")
    found["reread"] = reread(setting, few)
    say("first query, planning")
    found["first"] = repeat(4 * few, sessions.first_query, setting, sirets)
    found["plans"] = {name: sessions.planning(setting, query) for name, query in PLANS.items()}
    say("ledger")
    found["ledger"] = repeat(few, sessions.ledger, setting)
    say("memory")
    found["memory"] = {name: repeat(0 if quick else 2, sessions.memory, setting, *how) for name, how in MEMORY.items()}
    say("first query, ssl off")
    setting.control_cluster("restart", "ssl=off")
    found["first_without"] = repeat(4 * few, sessions.first_query, setting, sirets)
    found["megabytes"] = setting.megabytes
    found["versions"] = setting.sql("SELECT split_part(version(), ' ', 2)").strip()
    say("done")
    return found
