#!/usr/bin/python3
"""The rounds of test/refused_memory, in its sandbox."""

import argparse
import collections
import json
import mmap
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from psql_session import Ended, Session  # noqa: E402

STUB = pathlib.Path(__file__).resolve().parents[1] / "stub"
KINDS = {"malloc": 1 | 4, "palloc": 8, "server": 2}
FILES = os.environ["APIGOUV_STUB_URL"] + "/entreprise/proxy/files/11111111-1111-4111-8111-111111111111"
STATEMENTS = {
    "lookup": "SELECT siret, kind, city FROM marche_inclusion.structures WHERE siret = '00000301200028';",
    "tls": "SELECT siret, kind, city FROM protege.structures WHERE siret = '00000301200028';",
    "list": "SELECT count(id), sum(length(id)) FROM data_inclusion.structures WHERE id > '';",
    "count": "SELECT count(*) FROM marche_inclusion.structures;",
    "union": "SELECT type, statut FROM entreprise.entreprise_attestations WHERE siret = '00000301200010' ORDER BY 1, 2;",
    "join": "SELECT e.denomination, a.siren FROM registre.entreprises e"
            " JOIN entreprise.entreprise_attestation_fiscale a ON a.siret = e.siret WHERE e.code_region = '53' ORDER BY 1;",
    "post": "SELECT code_territoire, lib_territoire FROM marche_travail.marche_travail_tensions WHERE code_type_territoire"
            " = 'DEP' AND code_territoire = '35' AND code_indicateur = 'PERSPECTIVE' AND derniere_periode ORDER BY 1, 2;",
    "document": f"SELECT length(apigouv_document('entreprise', '{FILES}'));",
    "refusal": "SELECT * FROM entreprise.entreprise_attestation_fiscale WHERE siret = '00000305300014';",
    "audit": "SET apigouv_fdw.audit = on; SELECT siret, kind FROM marche_inclusion.structures"
             " WHERE siret = '00000301200028'; RESET apigouv_fdw.audit;",
    "expected": "SELECT count(*) FROM data_inclusion.structures WHERE code_insee = '35238';",
    "import": "BEGIN; CREATE SCHEMA essai; IMPORT FOREIGN SCHEMA marche_travail FROM SERVER marche_travail INTO essai;"
              " SELECT count(*) FROM information_schema.columns WHERE table_schema = 'essai'; ROLLBACK;",
}


class Order:
    """What the allocator is told, and what it tells (Order of refuse.c)."""

    FORM = "<iiqiiqqq80s"

    def __init__(self):
        with open(os.environ["APIGOUV_REFUSE"], "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)

    def arm(self, pid, kinds, at, for_ever):
        struct.pack_into(self.FORM, self.map, 0, pid, 0, at, for_ever, 0, 0, 0, 0, b"")
        struct.pack_into("<i", self.map, 4, kinds)

    def disarm(self):
        """How many calls were counted, how many refused, where."""
        struct.pack_into("<i", self.map, 4, 0)
        found = struct.unpack_from(self.FORM, self.map, 0)
        return found[5], found[6], f"{os.path.basename(found[8].rstrip(bytes(1)).decode())}+{found[7]:#x}"


def control(what, value=None):
    data = None if value is None else json.dumps(value).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(os.environ["APIGOUV_STUB_URL"] + "/_stub/" + what, data)) as reply:
        return json.load(reply)


def connect():
    deadline = time.monotonic() + 30
    while True:
        try:
            # kept replies would spare the next round its requests
            return Session(options="-c apigouv_fdw.keep_after_error_s=0 -c statement_timeout=20s")
        except (Ended, IndexError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def tls_server(folder):
    """Tables of schema protege, of a server behind TLS in this folder; the process that decrypts."""
    os.chmod(folder, 0o755)
    key, certificate, ports = (os.path.join(folder, name) for name in ("key", "certificate.pem", "ports"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", certificate, "-subj", "/CN=Server", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-days", "2"], check=True, stderr=subprocess.DEVNULL)
    front = subprocess.Popen([sys.executable, str(STUB / "tls_front.py"),
                              os.environ["APIGOUV_STUB_URL"].rpartition(":")[2], ports, key, certificate])
    deadline = time.monotonic() + 30
    while not os.path.exists(ports):
        if front.poll() is not None or time.monotonic() > deadline:
            sys.exit("no TLS server")
        time.sleep(0.05)
    with open(ports, encoding="ascii") as file:
        port = file.read().strip()
    token, limits = (subprocess.run([sys.executable, str(STUB / name), "marche_inclusion"], check=True, text=True,
                                    capture_output=True).stdout.strip() for name in ("tokens.py", "generous_limits.py"))
    sql = f"""CREATE SCHEMA protege;
        CREATE SERVER protege FOREIGN DATA WRAPPER apigouv_fdw OPTIONS (api 'marche_inclusion', limits '{limits}',
            base_url 'https://127.0.0.1:{port}/marche_inclusion/api', ca_file '{certificate}');
        CREATE USER MAPPING FOR CURRENT_USER SERVER protege OPTIONS (token '{token}');
        IMPORT FOREIGN SCHEMA marche_inclusion LIMIT TO (structures) FROM SERVER protege INTO protege;"""
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True)
    return front


class Trial:
    """One statement, allocations of one kind."""

    def __init__(self, name, kind, args):
        self.name, self.kind, self.sql, self.args = name, kind, STATEMENTS[name], args
        self.order, self.session = Order(), connect()
        self.session.query(self.sql)
        self.right = self.session.query(self.sql)[:2]
        self.states = collections.Counter()
        self.said = {}
        self.findings = []

    def found(self, at, place, what):
        self.findings.append(f"{self.name}, {self.kind} {at} ({place}): {what}")

    def reconnect(self):
        self.session.end()
        self.session = connect()

    def ledger(self, at):
        """What was sent was counted: the windows are long, and this is asked before they end."""
        sent = collections.Counter(entry["api"] for entry in control("requests") if "connexion" not in entry["path"]
                                   and "/files/" not in entry["path"])
        rows, state, said = self.session.query("SELECT api, sum(used) FROM apigouv_quota GROUP BY 1;")
        used = {row[0]: int(row[1]) for row in rows}
        for api, n in sent.items():
            if state is not None or used.get(api, 0) < n and api in ("entreprise", "marche_travail"):
                self.found(at, "", f"{n} requests to {api}, {used.get(api, 0)} counted {said}")
        self.session.query("SELECT apigouv_quota_forget();")
        control("reset", {})

    def once(self, at):
        """False when the statement makes fewer allocations."""
        # a connection that is kept would spare the next round its handshake
        if self.args.fresh or self.name == "tls":
            self.reconnect()
        self.order.arm(self.session.pid, KINDS[self.kind], at, self.args.on)
        try:
            rows, state, said = self.session.query(self.sql)
            _, refused, place = self.order.disarm()
            if self.sql.startswith("BEGIN"):
                self.session.query("ROLLBACK;")
            self.states[state or "rows"] += refused > 0
            if state not in (None, "53200") and refused:
                self.said.setdefault(state, f"{said[:160]} ({self.kind} {at}, {place})")
            if state is None and rows != self.right[0]:
                self.found(at, place, f"wrong rows: {rows[:3]} {said[:200]}")
            elif state == "XX000":
                self.found(at, place, f"internal error: {said[:200]}")
            again = self.session.query(self.sql)
            if again[:2] != self.right:
                self.found(at, place, f"afterwards: {again[0][:3]} {again[1]} {again[2][:200]}")
        except Ended as end:
            _, refused, place = self.order.disarm()
            self.found(at, place, f"the session ended: {str(end)[:200]}")
            self.states["ended"] += 1
            self.reconnect()
            self.session.query(self.sql)
        return refused > 0

    def run(self):
        began, at, done = time.monotonic(), 1, 0
        self.ledger(0)
        self.findings.clear()
        while self.once(at) and len(self.findings) < 20 and time.monotonic() - began < self.args.seconds:
            at, done = at + self.args.step, done + 1
            if done % 100 == 0:
                self.ledger(at)
        self.ledger(at)
        self.session.end()
        how = ", ".join(f"{state} {n}" for state, n in self.states.most_common() if n)
        print(f"{self.name}, {self.kind}: {done} refused of {at - 1}{' and on' if time.monotonic() - began >= self.args.seconds else ''}"
              f" in {time.monotonic() - began:.0f} s: {how}", flush=True)
        for state, text in self.said.items():
            print(f"  {state} {text}", flush=True)
        for text in self.findings:
            print(f"  -- {text}", flush=True)
        return len(self.findings)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--on", action="store_true")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--kinds", default="malloc,palloc,server")
    parser.add_argument("statements", nargs="*", default=list(STATEMENTS))
    args = parser.parse_args()
    for api in ("entreprise", "marche_travail"):
        definition = pathlib.Path(__file__).resolve().parents[2] / "apis" / f"{api}.json"
        names = [name for name in json.loads(definition.read_text(encoding="utf-8"))["limits"] if name != "note"]
        limits = ", ".join(f"{name}=20000/600s" for name in names)
        subprocess.run(["psql", "-X", "-q", "-c", f"ALTER SERVER {api} OPTIONS (SET limits '{limits}')"], check=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        front = tls_server(folder) if "tls" in args.statements else None
        try:
            findings = sum(Trial(name, kind, args).run() for name in args.statements for kind in args.kinds.split(","))
        finally:
            if front is not None:
                front.terminate()
                front.wait()
    print(f"{findings} findings")
    sys.exit(1 if findings else 0)


main()
